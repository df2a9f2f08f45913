//! Thread-safe parallel inference on one device.
#![forbid(unsafe_code)]
