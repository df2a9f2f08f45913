//! The plainest kernels of a kind, which tests vary.

use super::{Conv2d, Function, MatMul, MatrixLayout, Precision};

impl Conv2d {
    /// Windows of 3 × 3 around every pixel, and nothing behind the sums.
    pub(crate) fn plain(batch: usize, channels: [usize; 2], in_size: [usize; 2]) -> Self {
        Self {
            batch,
            in_channels: channels[0],
            out_channels: channels[1],
            in_size,
            kernel: [3, 3],
            stride: [1, 1],
            dilation: [1, 1],
            pads: [1; 4],
            groups: 1,
            bias: false,
            residual: false,
            activation: Function::Identity,
            packed: false,
            precision: Precision::F32,
        }
    }
}

impl MatMul {
    /// An `m × k` matrix by a `k × n` one, all in row-major order, and nothing behind the sums.
    pub(crate) fn plain(m: usize, n: usize, k: usize) -> Self {
        let layout = |columns| MatrixLayout { batch: vec![], row: columns, column: 1 };
        Self {
            batch: vec![],
            m,
            n,
            k,
            a: layout(k),
            b: layout(n),
            y: layout(n),
            alpha: 1.0,
            bias: false,
            residual: false,
            activation: Function::Identity,
            packed: false,
            precision: Precision::F32,
        }
    }
}
