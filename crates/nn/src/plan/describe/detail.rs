//! What a kernel does, in a few words.

use anabranch_hal::command::Operation;
use anabranch_hal::kernel::{
    Conv2d, Function, IntegerMatMul, Kernel, MatMul, Normalize, Pool2d, Pooling, Precision, Sample,
};

/// The words for a step; empty where the kernel's name says it all.
pub(super) fn of(operation: &Operation) -> String {
    let words = match operation {
        Operation::Kernel(kernel) => match &**kernel {
            Kernel::Double(inner) => [kernel_words(inner), vec!["in f64".to_owned()]].concat(),
            kernel => kernel_words(kernel),
        },
        Operation::Fill(byte) => vec![format!("bytes of {byte}")],
        Operation::Copy => Vec::new(),
    };
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", ")
}

fn kernel_words(kernel: &Kernel) -> Vec<String> {
    match kernel {
        Kernel::Conv2d(conv) => convolution(conv),
        Kernel::MatMul(product) => matrix_product(product),
        Kernel::Normalize(norm) => normalization(norm),
        Kernel::Pool2d(pool) => pooling(pool),
        Kernel::AdaptiveAveragePool2d(pool) => {
            vec![format!("{} to {}", window(pool.in_size), window(pool.out_size))]
        }
        Kernel::Unary(unary) => vec![function(unary.function)],
        Kernel::Binary(binary) => {
            let name = format!("{:?}", binary.function).to_lowercase();
            let stretched = [&binary.a_strides, &binary.b_strides].into_iter().any(|strides| {
                strides
                    .iter()
                    .zip(&binary.shape)
                    .any(|(&stride, &extent)| stride == 0 && extent > 1)
            });
            vec![name, when(stretched, "broadcast"), function(binary.activation)]
        }
        Kernel::Softmax(softmax) => {
            vec![format!("along {}", softmax.axis), when(softmax.log, "logarithm")]
        }
        Kernel::Reduce(reduce) => {
            let name = format!("{:?}", reduce.reduction).to_lowercase();
            let axes = reduce.reduced.iter().enumerate().filter(|(_, reduced)| **reduced);
            let axes: Vec<String> = axes.map(|(axis, _)| axis.to_string()).collect();
            vec![format!("{name} over axes {}", axes.join(" "))]
        }
        Kernel::StridedCopy(copy) => vec![extents(&copy.shape)],
        Kernel::Gather(gather) => vec![format!("{} of {}", gather.count, gather.axis)],
        Kernel::Resample(resample) => {
            let sizes = format!("{} to {}", window(resample.in_size), window(resample.out_size));
            vec![sizes, when_other(resample.taps, "taps")]
        }
        Kernel::Sample(sample) => sampling(sample),
        Kernel::Peak(peak) => vec![extents(&peak.windows.kernel)],
        Kernel::Fold(fold) => vec![extents(&fold.windows.kernel)],
        Kernel::Regions(regions) => vec![format!("{} of {}", regions.count, window(regions.parts))],
        Kernel::Determinant(determinant) => vec![window([determinant.side; 2])],
        Kernel::Rank(rank) => vec![format!("first {} of {}", rank.count, rank.axis)],
        Kernel::Pick(pick) => vec![format!("{} of {}", pick.count, pick.axis)],
        Kernel::Locate(locate) => vec![format!("{} indices each", locate.extents.len())],
        Kernel::Scatter(scatter) => {
            let way = format!("{:?}", scatter.combine).to_lowercase();
            vec![format!("{way} {} of {}", scatter.count, scatter.rows)]
        }
        Kernel::Scan(scan) => {
            let name = if scan.product { "products" } else { "sums" };
            vec![format!("{name} of {} along {}", scan.dtype, scan.axis)]
        }
        Kernel::Integer(integer) => {
            vec![format!("{} of {}", lower_case(integer.function), integer.dtype)]
        }
        Kernel::IntegerMatMul(IntegerMatMul { dtype, product }) => {
            [matrix_product(product), vec![format!("of {dtype}")]].concat()
        }
        Kernel::IntegerReduce(reduce) => {
            vec![format!("{} of {}", lower_case(reduce.reduction), reduce.dtype)]
        }
        Kernel::Select(select) => vec![extents(&select.shape)],
        Kernel::Compare(compare) => vec![lower_case(compare.comparison)],
        Kernel::Cast(cast) => vec![format!("{} to {}", cast.from, cast.to)],
        Kernel::Quantize(codes) => vec![format!("to {}, {} scales", codes.to, codes.channels)],
        Kernel::Dequantize(codes) => {
            vec![format!("from {}, {} scales", codes.from, codes.channels)]
        }
        Kernel::Pack(inner) => vec![inner.name().to_owned()],
        Kernel::Double(_) | Kernel::Routine(_) => Vec::new(),
    }
}

fn lower_case(name: impl std::fmt::Debug) -> String {
    format!("{name:?}").to_lowercase()
}

fn convolution(conv: &Conv2d) -> Vec<String> {
    let depthwise = conv.groups == conv.in_channels && conv.groups == conv.out_channels;
    let groups = match conv.groups {
        1 => String::new(),
        _ if depthwise => "depthwise".to_owned(),
        groups => format!("{groups} groups"),
    };
    vec![
        window(conv.kernel),
        step(conv.stride),
        when_other(conv.dilation, "dilation"),
        groups,
        when(conv.bias, "bias"),
        when(conv.residual, "residual"),
        function(conv.activation),
        match conv.precision {
            Precision::F32 => when(conv.packed, "weights packed"),
            reduced => packed_in(conv.packed, reduced),
        },
    ]
}

fn matrix_product(product: &MatMul) -> Vec<String> {
    let MatMul { m, n, k, alpha, .. } = product;
    let batch = product.batch.iter().fold(1_usize, |count, &extent| count.saturating_mul(extent));
    vec![
        format!("{m}×{k} · {k}×{n}"),
        when(batch != 1, &format!("batch {batch}")),
        when(alpha.to_bits() != 1_f32.to_bits(), &format!("times {alpha}")),
        when(product.bias, "bias"),
        when(product.residual, "residual"),
        function(product.activation),
        match product.precision {
            Precision::F32 => when(product.packed, "weights packed"),
            Precision::Tf32 => packed_in(product.packed, Precision::Tf32),
            reduced => format!("weights packed as {reduced}"),
        },
    ]
}

fn normalization(norm: &Normalize) -> Vec<String> {
    vec![
        format!("{}×{}×{}", norm.outer, norm.channels, norm.inner),
        when(norm.scale, "scale"),
        when(norm.shift, "shift"),
        function(norm.activation),
        when(norm.pooled, "mean"),
    ]
}

fn pooling(pool: &Pool2d) -> Vec<String> {
    let name = match pool.pooling {
        Pooling::Max => "max",
        Pooling::Average { .. } => "average",
    };
    let window = format!("{name} {}", window(pool.kernel));
    vec![window, step(pool.stride), when_other(pool.dilation, "dilation")]
}

/// What is packed as it is, but multiplied in fewer bits.
fn packed_in(packed: bool, precision: Precision) -> String {
    format!("{}in {precision}", when(packed, "weights packed, "))
}

fn when(is_so: bool, word: &str) -> String {
    if is_so { word.to_owned() } else { String::new() }
}

fn sampling(sample: &Sample) -> Vec<String> {
    let name = format!("{:?}", sample.sampling).to_lowercase();
    vec![format!("{name}, {} of {}", sample.count, extents(&sample.in_size))]
}

fn window([height, width]: [usize; 2]) -> String {
    format!("{height}x{width}")
}

fn step(stride: [usize; 2]) -> String {
    match stride {
        [h, w] if h == w => format!("stride {h}"),
        stride => format!("stride {}", window(stride)),
    }
}

fn when_other(extents: [usize; 2], word: &str) -> String {
    when(extents != [1, 1], &format!("{word} {}", window(extents)))
}

fn extents(shape: &[usize]) -> String {
    shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("×")
}

/// The name of a function of elements; none for the identity.
fn function(function: Function) -> String {
    match function {
        Function::Identity => String::new(),
        Function::LeakyRelu { alpha } => format!("leakyrelu {alpha}"),
        Function::HardSigmoid { alpha, beta } => format!("hardsigmoid {alpha} {beta}"),
        Function::Clip { low, high } => format!("clip {low} to {high}"),
        Function::Elu { alpha, beta, gamma } => format!("elu {alpha} {beta} {gamma}"),
        Function::Swish { alpha } => format!("swish {alpha}"),
        Function::ThresholdedRelu { alpha } => format!("thresholdedrelu {alpha}"),
        plain => format!("{plain:?}").to_lowercase(),
    }
}
