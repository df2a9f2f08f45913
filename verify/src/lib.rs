//! Evidence: what shows that the runtime does what it promises, and that the showing can fail.
#![forbid(unsafe_code)]

pub mod conformance;
pub mod programs;
pub mod promises;
pub mod register;
pub mod round;
