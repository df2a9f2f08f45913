//! A model from any bytes: read, optimised and planned, it ends in a plan or in a typed error.
#![no_main]

use anabranch_nn::{Dim, Limits, Model};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { folded_bytes_max: 1 << 20, ..Limits::default() };
    let Ok(model) = Model::parse(bytes, &limits) else { return };
    for open in [0, 1, 3] {
        let extent = |dim: &Dim| if let Dim::Known(extent) = dim { *extent } else { open };
        let ports = model.inputs().iter();
        let shapes: Vec<Vec<usize>> =
            ports.map(|port| port.dims.iter().flatten().map(extent).collect()).collect();
        let _ = model.describe(&shapes, &limits);
    }
});
