//! What the device functions are written in.

/// The source that includes the others.
pub(in crate::cuda) const UNIT: &str = include_str!("anabranch.cu");

/// What it is compiled with, beside the architecture.
pub(in crate::cuda) const OPTIONS: &str = include_str!("options.txt");

macro_rules! sources {
    ($($name:literal)*) => { &[$(($name, include_str!($name))),*] };
}

/// The sources with their names, in the order of these.
pub(in crate::cuda) const SOURCES: &[(&str, &str)] = sources![
    "anabranch.cu"
    "compare.cu"
    "convolution.cu"
    "determinant.cu"
    "double.cu"
    "elementwise.cu"
    "integer.cu"
    "matmul.cu"
    "movement.cu"
    "number.cu"
    "patch.cu"
    "pooling.cu"
    "product.cu"
    "quantize.cu"
    "rank.cu"
    "resample.cu"
    "rows.cu"
    "sample.cu"
    "scan.cu"
    "scatter.cu"
    "spatial.cu"
    "tensor.cu"
    "thin.cu"
];
