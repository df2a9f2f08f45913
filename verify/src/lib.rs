//! Evidence.
#![forbid(unsafe_code)]
