//! The kernels as their documentation says them, in `f64` and without any art.

use crate::kernel::*;

/// The results of a product, and for each the sum of the magnitudes of what was added.
pub(crate) struct Sums {
    pub(crate) values: Vec<f64>,
    pub(crate) magnitudes: Vec<f64>,
}

pub(crate) fn conv2d(kernel: &Conv2d, inputs: &[Vec<f32>]) -> Sums {
    let [oh, ow] = kernel.out_size().unwrap();
    let [h, w] = kernel.in_size;
    let [kh, kw] = kernel.kernel;
    let (icg, ocg) = (kernel.in_channels / kernel.groups, kernel.out_channels / kernel.groups);
    let (mut values, mut magnitudes) = (Vec::new(), Vec::new());
    for n in 0..kernel.batch {
        for oc in 0..kernel.out_channels {
            for (oy, ox) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
                let (mut sum, mut magnitude) = (0.0, 0.0);
                for ic in 0..icg {
                    for (ky, kx) in (0..kh).flat_map(|y| (0..kw).map(move |x| (y, x))) {
                        let y = oy * kernel.stride[0] + ky * kernel.dilation[0];
                        let x = ox * kernel.stride[1] + kx * kernel.dilation[1];
                        let y = y.checked_sub(kernel.pads[0]).filter(|&y| y < h);
                        let x = x.checked_sub(kernel.pads[1]).filter(|&x| x < w);
                        if let Some((y, x)) = y.zip(x) {
                            let channel = oc / ocg * icg + ic;
                            let at = ((n * kernel.in_channels + channel) * h + y) * w + x;
                            let weight = ((oc * icg + ic) * kh + ky) * kw + kx;
                            let term = f64::from(inputs[0][at]) * f64::from(inputs[1][weight]);
                            sum += term;
                            magnitude += term.abs();
                        }
                    }
                }
                let mut next = 2;
                if kernel.bias {
                    sum += f64::from(inputs[next][oc]);
                    next += 1;
                }
                if kernel.residual {
                    sum += f64::from(inputs[next][values.len()]);
                }
                values.push(kernel.activation.of(sum));
                magnitudes.push(magnitude + 2.0);
            }
        }
    }
    Sums { values, magnitudes }
}

pub(super) fn at(shape: &[usize], strides: &[usize], mut index: usize) -> usize {
    let mut offset = 0;
    for (&extent, &stride) in shape.iter().zip(strides).rev() {
        offset += index % extent * stride;
        index /= extent;
    }
    offset
}

/// Results by position in the output, which starts out as `NaN`.
pub(crate) fn matmul<T: Copy + Into<f64>>(
    kernel: &MatMul,
    inputs: &[Vec<T>],
    count: usize,
) -> Sums {
    let mut sums = Sums { values: vec![f64::NAN; count], magnitudes: vec![0.0; count] };
    let matrices: usize = kernel.batch.iter().product();
    for matrix in 0..matrices {
        let place = |layout: &MatrixLayout, row: usize, column: usize| {
            at(&kernel.batch, &layout.batch, matrix) + row * layout.row + column * layout.column
        };
        for (i, j) in (0..kernel.m).flat_map(|i| (0..kernel.n).map(move |j| (i, j))) {
            let (mut sum, mut magnitude) = (0.0, 0.0);
            for k in 0..kernel.k {
                let a: f64 = inputs[0][place(&kernel.a, i, k)].into();
                let b: f64 = inputs[1][place(&kernel.b, k, j)].into();
                sum += a * b;
                magnitude += (a * b).abs();
            }
            sum *= f64::from(kernel.alpha);
            let y = place(&kernel.y, i, j);
            let mut next = 2;
            if kernel.bias {
                sum += inputs[next][j].into();
                next += 1;
            }
            if kernel.residual {
                sum += inputs[next][y].into();
            }
            sums.values[y] = kernel.activation.of(sum);
            sums.magnitudes[y] = magnitude * f64::from(kernel.alpha).abs() + 2.0;
        }
    }
    sums
}

pub(crate) fn normalize(kernel: &Normalize, inputs: &[Vec<f32>]) -> Vec<f64> {
    let Normalize { channels, inner, .. } = *kernel;
    let x: Vec<f64> = inputs[0].iter().map(|&x| x.into()).collect();
    let mut next = 0;
    let mut take = |present: bool| {
        next += usize::from(present);
        present.then(|| inputs[next].clone())
    };
    let (scale, shift) = (take(kernel.scale), take(kernel.shift));
    let given = kernel.statistics == Statistics::Given;
    let (means, variances) = (take(given), take(given));
    let row = matches!(kernel.statistics, Statistics::Row | Statistics::RowRms);
    let moments = |members: &[f64]| {
        let n = members.len() as f64;
        let mean = members.iter().sum::<f64>() / n;
        (mean, members.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n)
    };
    let length = match kernel.statistics {
        Statistics::Given => 1,
        Statistics::Group { groups } => channels / groups * inner,
        Statistics::Row | Statistics::RowRms => inner,
    };
    let all: Vec<(f64, f64)> = x
        .chunks(length.max(1))
        .map(|members| match kernel.statistics {
            Statistics::Given => (0.0, 0.0),
            Statistics::Group { .. } | Statistics::Row => moments(members),
            Statistics::RowRms => (0.0, members.iter().map(|x| x * x).sum::<f64>() / inner as f64),
        })
        .collect();
    let mut y = Vec::new();
    for (i, &value) in x.iter().enumerate() {
        let channel = i / inner % channels;
        let (mean, variance) = match kernel.statistics {
            Statistics::Given => {
                let of = |table: &Option<Vec<f32>>| f64::from(table.as_ref().unwrap()[channel]);
                (of(&means), of(&variances))
            }
            _ => all[i / length],
        };
        let parameter = if row { i % inner } else { channel };
        let scale = scale.as_ref().map_or(1.0, |scale| f64::from(scale[parameter]));
        let shift = shift.as_ref().map_or(0.0, |shift| f64::from(shift[parameter]));
        let deviation = (variance + f64::from(kernel.epsilon)).sqrt();
        y.push(kernel.activation.of((value - mean) / deviation * scale + shift));
    }
    if kernel.pooled {
        return y.chunks(inner).map(|plane| plane.iter().sum::<f64>() / inner as f64).collect();
    }
    y
}

pub(crate) fn pool2d(kernel: &Pool2d, x: &[f32]) -> Vec<f64> {
    let [h, w] = kernel.in_size;
    let [oh, ow] = kernel.out_size;
    let mut y = Vec::new();
    for plane in 0..kernel.planes {
        for (oy, ox) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
            let (mut sum, mut count, mut padded) = (0.0, 0u32, 0u32);
            let mut max = f64::NEG_INFINITY;
            for ky in 0..kernel.kernel[0] {
                for kx in 0..kernel.kernel[1] {
                    let y = oy * kernel.stride[0] + ky * kernel.dilation[0];
                    let x_ = ox * kernel.stride[1] + kx * kernel.dilation[1];
                    if y < h + kernel.pads[0] + kernel.pads[2]
                        && x_ < w + kernel.pads[1] + kernel.pads[3]
                    {
                        padded += 1;
                    }
                    let y = y.checked_sub(kernel.pads[0]).filter(|&y| y < h);
                    let x_ = x_.checked_sub(kernel.pads[1]).filter(|&x| x < w);
                    if let Some((y, x_)) = y.zip(x_) {
                        let value = f64::from(x[(plane * h + y) * w + x_]);
                        sum += value;
                        count += 1;
                        if value > max || value.is_nan() {
                            max = value;
                        }
                    }
                }
            }
            y.push(match kernel.pooling {
                Pooling::Max => max,
                Pooling::Average { count_padding: true } => sum / f64::from(padded),
                Pooling::Average { count_padding: false } => sum / f64::from(count),
            });
        }
    }
    y
}

pub(crate) fn adaptive(kernel: &AdaptiveAveragePool2d, x: &[f32]) -> Vec<f64> {
    let ([h, w], [oh, ow]) = (kernel.in_size, kernel.out_size);
    let mut y = Vec::new();
    for plane in 0..kernel.planes {
        for (oy, ox) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
            let rows = oy * h / oh..((oy + 1) * h).div_ceil(oh);
            let columns = ox * w / ow..((ox + 1) * w).div_ceil(ow);
            let n = (rows.len() * columns.len()) as f64;
            let sum: f64 = rows
                .flat_map(|y| columns.clone().map(move |x| (y, x)))
                .map(|(y, column)| f64::from(x[(plane * h + y) * w + column]))
                .sum();
            y.push(sum / n);
        }
    }
    y
}

pub(crate) fn softmax(kernel: &Softmax, x: &[f32]) -> Vec<f64> {
    let Softmax { outer, axis, inner, log } = *kernel;
    let mut y = vec![0.0; x.len()];
    for (o, column) in (0..outer).flat_map(|o| (0..inner).map(move |column| (o, column))) {
        let at = |k: usize| (o * axis + k) * inner + column;
        let members = (0..axis).map(|k| f64::from(x[at(k)]));
        let max = members.clone().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = members.map(|x| (x - max).exp()).sum();
        for k in 0..axis {
            let shifted = f64::from(x[at(k)]) - max;
            y[at(k)] = if log { shifted - sum.ln() } else { shifted.exp() / sum };
        }
    }
    y
}

pub(crate) fn reduce<T: Copy + Into<f64>>(kernel: &Reduce, x: &[T]) -> Vec<f64> {
    let kept: usize =
        kernel.shape.iter().zip(&kernel.reduced).filter(|(_, r)| !**r).map(|(e, _)| e).product();
    let mut members = vec![Vec::new(); kept];
    for (i, &x) in x.iter().enumerate() {
        let (mut rest, mut target, mut stride) = (i, 0, 1);
        for (&extent, &reduced) in kernel.shape.iter().zip(&kernel.reduced).rev() {
            if !reduced {
                target += rest % extent * stride;
                stride *= extent;
            }
            rest /= extent;
        }
        members[target].push(x.into());
    }
    let pick = |members: &[f64], empty: f64, better: fn(f64, f64) -> bool| {
        members.iter().fold(empty, |a, &b| if b.is_nan() || better(b, a) { b } else { a })
    };
    members
        .iter()
        .map(|x| match kernel.reduction {
            Reduction::Sum => x.iter().sum(),
            Reduction::Mean => x.iter().sum::<f64>() / x.len() as f64,
            Reduction::Max => pick(x, f64::NEG_INFINITY, |b, a| b > a),
            Reduction::Min => pick(x, f64::INFINITY, |b, a| b < a),
            Reduction::Prod => x.iter().product(),
            Reduction::SumSquare => x.iter().map(|x| x * x).sum(),
            Reduction::L1 => x.iter().map(|x| x.abs()).sum(),
            Reduction::L2 => x.iter().map(|x| x * x).sum::<f64>().sqrt(),
        })
        .collect()
}

pub(crate) fn binary<T: Copy + Into<f64>>(kernel: &Binary, inputs: &[Vec<T>]) -> Vec<f64> {
    let at = |input: usize, strides: &[usize], i| -> f64 {
        inputs[input][super::elementwise::place(&kernel.shape, strides, i)].into()
    };
    let result = |i| {
        let (a, b) = (at(0, &kernel.a_strides, i), at(1, &kernel.b_strides, i));
        let nan = a.is_nan() || b.is_nan();
        let y = match kernel.function {
            BinaryFunction::Add => a + b,
            BinaryFunction::Sub => a - b,
            BinaryFunction::Mul => a * b,
            BinaryFunction::Div => a / b,
            BinaryFunction::Pow => a.powf(b),
            BinaryFunction::Min | BinaryFunction::Max if nan => f64::NAN,
            BinaryFunction::Min => a.min(b),
            BinaryFunction::Max => a.max(b),
            BinaryFunction::Slope if a < 0.0 => a * b,
            BinaryFunction::Slope => a,
            BinaryFunction::Rem => a % b,
        };
        kernel.activation.of(y)
    };
    (0..kernel.shape.iter().product()).map(result).collect()
}
