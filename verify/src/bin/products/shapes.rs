//! What is measured: products and convolutions of networks, and larger ones.

use anabranch_hal::kernel::{Conv2d, Function, Kernel, MatMul, MatrixLayout, Precision};

/// A kernel with its name in the table.
pub(super) struct Shape {
    pub(super) name: String,
    pub(super) kernel: Kernel,
}

/// Rows, columns and depth of products by constants.
const PRODUCTS: [[usize; 3]; 12] = [
    [1, 1024, 1024],
    [64, 1024, 1024],
    [256, 1024, 1024],
    [512, 768, 256],
    [512, 1024, 256],
    [512, 256, 1024],
    [512, 512, 512],
    [1024, 1024, 1024],
    [1024, 4096, 1024],
    [4096, 1024, 4096],
    [2048, 2048, 2048],
    [4096, 4096, 4096],
];

/// Products of two operands: how many, rows, columns and depth.
const PAIRS: [[usize; 4]; 3] = [[32, 128, 128, 32], [32, 128, 32, 128], [64, 512, 512, 64]];

/// Images, channels in and out, side, window and step of convolutions.
const CONVOLUTIONS: [[usize; 6]; 17] = [
    [4, 3, 32, 32, 3, 1],
    [4, 32, 64, 16, 3, 1],
    [1, 3, 64, 224, 7, 2],
    [1, 64, 64, 56, 3, 1],
    [1, 64, 128, 56, 1, 2],
    [1, 128, 128, 28, 3, 1],
    [1, 256, 256, 14, 3, 1],
    [1, 512, 512, 7, 3, 1],
    [8, 64, 64, 56, 3, 1],
    [8, 128, 128, 28, 3, 1],
    [8, 256, 256, 14, 3, 1],
    [8, 512, 512, 7, 3, 1],
    [32, 64, 64, 56, 3, 1],
    [32, 256, 256, 14, 3, 1],
    [32, 512, 512, 7, 3, 1],
    [8, 256, 1024, 14, 1, 1],
    [32, 256, 1024, 14, 1, 1],
];

pub(super) fn all() -> Vec<Shape> {
    let products = PRODUCTS.into_iter().map(|[m, n, k]| {
        let kernel = matmul(1, [m, n, k], true);
        Shape { name: format!("product {m}x{n}x{k}"), kernel: Kernel::MatMul(kernel) }
    });
    let pairs = PAIRS.into_iter().map(|[count, m, n, k]| {
        let kernel = matmul(count, [m, n, k], false);
        Shape { name: format!("{count} pairs {m}x{n}x{k}"), kernel: Kernel::MatMul(kernel) }
    });
    let convolutions =
        CONVOLUTIONS.into_iter().map(|[batch, inputs, outputs, side, window, step]| {
            let kernel = convolution(batch, [inputs, outputs], [side, window, step]);
            let name = format!("{batch} of {inputs}x{side}x{side} to {outputs} by {window}/{step}");
            Shape { name, kernel: Kernel::Conv2d(kernel) }
        });
    products.chain(pairs).chain(convolutions).collect()
}

fn matmul(count: usize, [m, n, k]: [usize; 3], is_constant: bool) -> MatMul {
    let batch = if count == 1 { Vec::new() } else { vec![count] };
    let layout = |rows: usize, columns: usize| MatrixLayout {
        batch: batch.iter().map(|_| rows * columns).collect(),
        row: columns,
        column: 1,
    };
    MatMul {
        m,
        n,
        k,
        a: layout(m, k),
        b: layout(k, n),
        y: layout(m, n),
        alpha: 1.0,
        bias: is_constant,
        residual: false,
        activation: if is_constant { Function::Relu } else { Function::Identity },
        packed: is_constant,
        precision: Precision::F32,
        batch,
    }
}

fn convolution(
    batch: usize,
    [inputs, outputs]: [usize; 2],
    [side, window, step]: [usize; 3],
) -> Conv2d {
    Conv2d {
        batch,
        in_channels: inputs,
        out_channels: outputs,
        in_size: [side; 2],
        kernel: [window; 2],
        stride: [step; 2],
        dilation: [1; 2],
        pads: [window / 2; 4],
        groups: 1,
        bias: true,
        residual: false,
        activation: Function::Relu,
        packed: true,
        precision: Precision::F32,
    }
}

/// The same in another precision.
pub(super) fn in_precision(kernel: &Kernel, precision: Precision) -> Kernel {
    match kernel {
        Kernel::Conv2d(kernel) => Kernel::Conv2d(Conv2d { precision, ..kernel.clone() }),
        Kernel::MatMul(kernel) => Kernel::MatMul(MatMul { precision, ..kernel.clone() }),
        other => other.clone(),
    }
}
