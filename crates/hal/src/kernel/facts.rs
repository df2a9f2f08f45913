//! What people and schedulers want to know of a kernel.

use super::{Combine, Kernel, MatMul, Statistics};

impl Kernel {
    /// The name in logs and traces, as in `conv2d`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Conv2d(_) => "conv2d",
            Self::MatMul(_) => "matmul",
            Self::Normalize(kernel) => match kernel.statistics {
                Statistics::Given => "batch_norm",
                Statistics::Group { groups } if groups == kernel.channels => "instance_norm",
                Statistics::Group { .. } => "group_norm",
                Statistics::Row => "layer_norm",
                Statistics::RowRms => "rms_norm",
            },
            Self::Pool2d(_) => "pool2d",
            Self::AdaptiveAveragePool2d(_) => "adaptive_average_pool2d",
            Self::Unary(_) => "unary",
            Self::Binary(_) => "binary",
            Self::Softmax(_) => "softmax",
            Self::Reduce(_) => "reduce",
            Self::StridedCopy(_) => "strided_copy",
            Self::Gather(_) => "gather",
            Self::Resample(_) => "resample",
            Self::Sample(_) => "sample",
            Self::Peak(_) => "peak",
            Self::Fold(_) => "fold",
            Self::Regions(_) => "regions",
            Self::Determinant(_) => "determinant",
            Self::Rank(_) => "rank",
            Self::Pick(_) => "pick",
            Self::Locate(_) => "locate",
            Self::Scatter(_) => "scatter",
            Self::Scan(_) => "scan",
            Self::Integer(_) => "integer",
            Self::IntegerMatMul(_) => "integer_matmul",
            Self::IntegerReduce(_) => "integer_reduce",
            Self::Select(_) => "select",
            Self::Compare(_) => "compare",
            Self::Cast(_) => "cast",
            Self::Quantize(_) => "quantize",
            Self::Dequantize(_) => "dequantize",
            Self::Routine(_) => "routine",
            Self::Double(kernel) => kernel.name(),
            Self::Pack(_) => "pack",
        }
    }

    /// Floating-point operations, a fused multiply-add counted as two; 0 for pure data movement.
    /// Saturates, and makes sense for descriptors only that [`Kernel::operands`] accepts.
    pub fn flops(&self) -> u64 {
        match self {
            Self::Conv2d(kernel) => {
                let [oh, ow] = kernel.out_size().unwrap_or([0, 0]);
                let depth = kernel.in_channels.checked_div(kernel.groups).unwrap_or(0);
                let [kh, kw] = kernel.kernel;
                product(&[2, kernel.batch, kernel.out_channels, oh, ow, depth, kh, kw])
            }
            Self::MatMul(kernel) => matmul(kernel),
            Self::IntegerMatMul(kernel) => matmul(&kernel.product),
            Self::Normalize(kernel) => {
                let per_element = if kernel.statistics == Statistics::Given { 2 } else { 7 };
                let per_element = per_element + usize::from(kernel.pooled);
                product(&[per_element, kernel.outer, kernel.channels, kernel.inner])
            }
            Self::Pool2d(kernel) => {
                let ([oh, ow], [kh, kw]) = (kernel.out_size, kernel.kernel);
                product(&[kernel.planes, oh, ow, kh, kw])
            }
            Self::AdaptiveAveragePool2d(kernel) => {
                product(&[kernel.planes, kernel.in_size[0], kernel.in_size[1]])
            }
            Self::Unary(kernel) => product(&[kernel.count]),
            Self::Binary(kernel) => product(&kernel.shape),
            Self::Softmax(kernel) => product(&[4, kernel.outer, kernel.axis, kernel.inner]),
            Self::Reduce(kernel) => product(&kernel.shape),
            Self::Resample(kernel) => {
                let ([rows, columns], [down, across]) = (kernel.out_size, kernel.taps);
                product(&[2, kernel.planes, rows, columns, down, across])
            }
            Self::Compare(kernel) => product(&kernel.shape),
            Self::Sample(kernel) => {
                product(&[2, kernel.batch, kernel.channels, kernel.count, kernel.taps()])
            }
            Self::Peak(kernel) => product(&kernel.comparisons()),
            Self::Fold(kernel) => product(&kernel.additions()),
            Self::Regions(kernel) => product(&kernel.products()),
            Self::Quantize(kernel) => product(&[2, kernel.outer, kernel.channels, kernel.inner]),
            Self::Dequantize(kernel) => product(&[2, kernel.outer, kernel.channels, kernel.inner]),
            Self::Integer(kernel) => product(&kernel.shape),
            Self::IntegerReduce(kernel) => product(&kernel.shape),
            Self::Scan(kernel) => product(&[kernel.outer, kernel.axis, kernel.inner]),
            Self::Scatter(kernel) => match kernel.combine {
                Combine::Replace => 0,
                _ => product(&[kernel.count, kernel.run]),
            },
            Self::Determinant(kernel) => {
                product(&[kernel.count, kernel.side, kernel.side, kernel.side])
            }
            Self::Rank(kernel) => product(&[kernel.outer, kernel.axis, kernel.inner]),
            Self::Routine(kernel) => kernel.flops,
            Self::Double(kernel) => kernel.flops(),
            Self::StridedCopy(_)
            | Self::Gather(_)
            | Self::Pick(_)
            | Self::Locate(_)
            | Self::Select(_)
            | Self::Cast(_)
            | Self::Pack(_) => 0,
        }
    }

    /// Whether the output may be the very slice of an input with the same layout. Every other
    /// overlap of an output with another operand makes the result meaningless.
    pub fn in_place(&self) -> bool {
        match self {
            Self::Unary(_) | Self::Binary(_) | Self::Softmax(_) => true,
            Self::Normalize(kernel) => !kernel.pooled,
            _ => false,
        }
    }
}

fn matmul(kernel: &MatMul) -> u64 {
    product(&kernel.batch).saturating_mul(product(&[2, kernel.m, kernel.n, kernel.k]))
}

fn product(factors: &[usize]) -> u64 {
    factors.iter().fold(1, |product, &factor| {
        product.saturating_mul(u64::try_from(factor).unwrap_or(u64::MAX))
    })
}
