//! An array from any bytes: what is accepted can be written, and reads back the same.
#![no_main]

use anabranch_nn::{Limits, npy};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    if let Ok(tensor) = npy::parse(bytes, &limits) {
        let written = npy::format(&tensor).expect("every type that is read can be written");
        assert!(npy::parse(&written, &limits).is_ok_and(|again| again == tensor));
    }
});
