//! What a kernel asks of its operands.
//!
//! This is the memory-safety boundary of the devices: whoever submits a kernel compares its
//! operands with [`Kernel::operands`], and a device relies on it. A descriptor that passes, with
//! operands at least as large as it says, makes every index that the kernel forms lie inside.

use std::fmt;

use super::extent::{element_bytes, elements, injective, positive, same_rank, signed_span, span};
use super::{
    AdaptiveAveragePool2d, Binary, Cast, Conv2d, Gather, Kernel, MatMul, Normalize, Pool2d,
    Precision, Reduce, Routine, Select, Softmax, Statistics, StridedCopy, Unary,
};
use crate::dtype::DType;

/// Bytes of an `f32`.
pub(super) const F32: usize = 4;
/// Bytes of an `f64`.
const F64: usize = 8;

/// Why a descriptor makes no sense. A value; thread-safe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Which part of the descriptor.
    pub what: &'static str,
    /// What it should have been.
    pub expected: String,
    /// What it is.
    pub found: String,
}

impl Mismatch {
    pub(super) fn new(what: &'static str, expected: impl Into<String>, found: String) -> Self {
        Self { what, expected: expected.into(), found }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, found {}", self.what, self.expected, self.found)
    }
}

impl std::error::Error for Mismatch {}

/// Whether a kernel reads or writes an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Only read.
    Read,
    /// Written; every element that the descriptor names is written.
    Write,
}

/// What a kernel asks of one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperandSpec {
    /// The least size in bytes; `None` is the device's own packed size, as
    /// [`Device::packed_bytes`](crate::device::Device::packed_bytes) tells it.
    pub bytes: Option<usize>,
    /// Whether it is read or written.
    pub access: Access,
}

pub(super) fn read(elements: usize, element_bytes: usize) -> OperandSpec {
    // Extents are limited so that a size in bytes always fits.
    OperandSpec { bytes: Some(elements * element_bytes), access: Access::Read }
}

pub(super) fn write(elements: usize, element_bytes: usize) -> OperandSpec {
    OperandSpec { access: Access::Write, ..read(elements, element_bytes) }
}

fn packed(access: Access) -> OperandSpec {
    OperandSpec { bytes: None, access }
}

type Specs = Result<Vec<OperandSpec>, Mismatch>;

impl Kernel {
    /// What each operand has to be, in operand order.
    ///
    /// # Errors
    /// [`Mismatch`] when the descriptor contradicts itself or describes more memory than can be
    /// addressed. Zero extents are legal.
    pub fn operands(&self) -> Result<Vec<OperandSpec>, Mismatch> {
        match self {
            Self::Conv2d(kernel) => conv2d(kernel),
            Self::MatMul(kernel) => matmul(kernel, F32),
            Self::Normalize(kernel) => normalize(kernel),
            Self::Pool2d(kernel) => pool2d(kernel),
            Self::AdaptiveAveragePool2d(kernel) => adaptive(kernel),
            Self::Unary(kernel) => unary(kernel),
            Self::Binary(kernel) => binary(kernel),
            Self::Softmax(kernel) => softmax(kernel),
            Self::Reduce(kernel) => reduce(kernel),
            Self::StridedCopy(kernel) => strided_copy(kernel),
            Self::Gather(kernel) => gather(kernel),
            Self::Resample(kernel) => kernel.operands(),
            Self::Select(kernel) => select(kernel),
            Self::Compare(kernel) => kernel.operands(),
            Self::Sample(kernel) => kernel.operands(F32),
            Self::Peak(kernel) => kernel.operands(F32),
            Self::Fold(kernel) => kernel.operands(F32),
            Self::Regions(kernel) => kernel.operands(F32),
            Self::Determinant(kernel) => kernel.operands(F32),
            Self::Rank(kernel) => kernel.operands(),
            Self::Pick(kernel) => kernel.operands(),
            Self::Locate(kernel) => kernel.operands(),
            Self::Scatter(kernel) => kernel.operands(),
            Self::Scan(kernel) => kernel.operands(),
            Self::Integer(kernel) => kernel.operands(),
            Self::IntegerMatMul(kernel) => kernel.operands(),
            Self::IntegerReduce(kernel) => kernel.operands(),
            Self::Quantize(kernel) => kernel.operands(),
            Self::Dequantize(kernel) => kernel.operands(),
            Self::Cast(kernel) => cast(kernel),
            Self::Routine(kernel) => routine(kernel),
            Self::Double(kernel) => double(kernel),
            Self::Pack(kernel) => pack(kernel),
        }
    }
}

fn conv2d(kernel: &Conv2d) -> Specs {
    positive("groups of the convolution", kernel.groups)?;
    for (what, channels) in [
        ("input channels of the convolution", kernel.in_channels),
        ("output channels of the convolution", kernel.out_channels),
    ] {
        if channels % kernel.groups != 0 {
            let expected = format!("a multiple of {} groups", kernel.groups);
            return Err(Mismatch::new(what, expected, channels.to_string()));
        }
    }
    for axis in 0..2 {
        positive("kernel of the convolution", kernel.kernel[axis])?;
        positive("stride of the convolution", kernel.stride[axis])?;
        positive("dilation of the convolution", kernel.dilation[axis])?;
    }
    let [oh, ow] = kernel.out_size().ok_or_else(|| {
        let found = format!(
            "kernel {:?}, dilation {:?}, input {:?}, pads {:?}",
            kernel.kernel, kernel.dilation, kernel.in_size, kernel.pads
        );
        Mismatch::new("window of the convolution", "one that fits the padded input", found)
    })?;
    let [h, w] = kernel.in_size;
    let [top, left, bottom, right] = kernel.pads;
    // `out_size` has checked these sums. The padded image is what a device may have to stage.
    let padded = [kernel.in_channels, h + top + bottom, w + left + right];
    elements("padded input of the convolution", &padded)?;
    let input = elements("input of the convolution", &[kernel.batch, kernel.in_channels, h, w])?;
    let output = [kernel.batch, kernel.out_channels, oh, ow];
    let output = elements("output of the convolution", &output)?;
    let weight = constant_of_conv2d(kernel)?;
    reduced("precision of the convolution", kernel.precision, kernel.packed)?;
    if kernel.precision == Precision::Int8 && Precision::INT8_DEPTH_MAX < kernel.depth() {
        let expected = format!("at most {} products in a sum", Precision::INT8_DEPTH_MAX);
        let found = format!("{} channels and a window of {:?}", kernel.in_channels, kernel.kernel);
        return Err(Mismatch::new("precision of the convolution", expected, found));
    }
    let mut specs = vec![read(input, F32)];
    specs.push(if kernel.packed { packed(Access::Read) } else { read(weight, F32) });
    specs.extend(kernel.bias.then(|| read(kernel.out_channels, F32)));
    specs.extend(kernel.residual.then(|| read(output, F32)));
    specs.push(write(output, F32));
    Ok(specs)
}

fn constant_of_conv2d(kernel: &Conv2d) -> Result<usize, Mismatch> {
    let [kh, kw] = kernel.kernel;
    let channels = kernel.in_channels.checked_div(kernel.groups).unwrap_or(0);
    elements("weight of the convolution", &[kernel.out_channels, channels, kh, kw])
}

/// Whether a product has plain factors, of which nothing is left out.
pub(super) fn is_plain(kernel: &MatMul) -> bool {
    !kernel.packed && kernel.precision == Precision::F32
}

/// The operands of a product of elements of so many bytes.
pub(super) fn matmul(kernel: &MatMul, element: usize) -> Specs {
    let view = |what, layout: &super::MatrixLayout, rows, columns| {
        same_rank(what, kernel.batch.len(), layout.batch.len())?;
        let mut shape = kernel.batch.clone();
        shape.extend([rows, columns]);
        let mut strides = layout.batch.clone();
        strides.extend([layout.row, layout.column]);
        Ok((span(what, &shape, &strides)?, shape, strides))
    };
    let (m, n, k) = (kernel.m, kernel.n, kernel.k);
    let mut all = kernel.batch.clone();
    all.extend([m, n]);
    elements("output of the matrix multiplication", &all)?;
    elements("operands of the matrix multiplication", &[m, k])?;
    // A device rounds columns up to whole registers when it packs.
    elements("operands of the matrix multiplication", &[k, n.saturating_add(64)])?;
    let (a, ..) = view("a of the matrix multiplication", &kernel.a, m, k)?;
    let (b, ..) = view("b of the matrix multiplication", &kernel.b, k, n)?;
    let (y, shape, strides) = view("y of the matrix multiplication", &kernel.y, m, n)?;
    if y > 0 {
        injective("y of the matrix multiplication", &shape, strides.into_iter())?;
    }
    if kernel.packed {
        without_batch(kernel)?;
    }
    reduced("precision of the matrix multiplication", kernel.precision, kernel.packed)?;
    short_sums(kernel)?;
    let mut specs = vec![read(a, element)];
    specs.push(if kernel.packed { packed(Access::Read) } else { read(b, element) });
    specs.extend(kernel.bias.then(|| read(n, element)));
    specs.extend(kernel.residual.then(|| read(y, element)));
    specs.push(write(y, element));
    Ok(specs)
}

fn reduced(what: &'static str, precision: Precision, packed: bool) -> Result<(), Mismatch> {
    if !packed && !precision.takes_plain() {
        let found = format!("{precision} and a plain constant");
        return Err(Mismatch::new(what, "f32 or tf32 unless the constant is packed", found));
    }
    Ok(())
}

fn short_sums(kernel: &MatMul) -> Result<(), Mismatch> {
    if kernel.precision == Precision::Int8 && Precision::INT8_DEPTH_MAX < kernel.k {
        let expected = format!("at most {} columns of a", Precision::INT8_DEPTH_MAX);
        let what = "precision of the matrix multiplication";
        return Err(Mismatch::new(what, expected, kernel.k.to_string()));
    }
    Ok(())
}

fn without_batch(kernel: &MatMul) -> Result<(), Mismatch> {
    if kernel.b.batch.iter().all(|&stride| stride == 0) {
        Ok(())
    } else {
        let found = format!("batch strides {:?}", kernel.b.batch);
        Err(Mismatch::new("b of the matrix multiplication", "one matrix, to be packed", found))
    }
}

fn normalize(kernel: &Normalize) -> Specs {
    let Normalize { outer, channels, inner, .. } = *kernel;
    let count = elements("input of the normalisation", &[outer, channels, inner])?;
    let parameters = match kernel.statistics {
        Statistics::Row | Statistics::RowRms => inner,
        Statistics::Given => channels,
        Statistics::Group { groups } => {
            positive("groups of the normalisation", groups)?;
            if channels % groups != 0 {
                let expected = format!("a multiple of {groups} groups");
                let what = "channels of the normalisation";
                return Err(Mismatch::new(what, expected, channels.to_string()));
            }
            channels
        }
    };
    let given = kernel.statistics == Statistics::Given;
    let mut specs = vec![read(count, F32)];
    for present in [kernel.scale, kernel.shift, given, given] {
        specs.extend(present.then(|| read(parameters, F32)));
    }
    let planes = Statistics::Group { groups: channels };
    if kernel.pooled && (kernel.statistics != planes || inner == 0) {
        let found = format!("{:?} of {inner} elements", kernel.statistics);
        return Err(Mismatch::new("pooled normalisation", "one of planes with elements", found));
    }
    specs.push(write(if kernel.pooled { outer * channels } else { count }, F32));
    Ok(specs)
}

fn pool2d(kernel: &Pool2d) -> Specs {
    for axis in 0..2 {
        positive("kernel of the pooling", kernel.kernel[axis])?;
        positive("stride of the pooling", kernel.stride[axis])?;
        positive("dilation of the pooling", kernel.dilation[axis])?;
        // The farthest element that a window names, before it is clipped to the image.
        let reach = kernel.out_size[axis]
            .saturating_sub(1)
            .checked_mul(kernel.stride[axis])
            .zip((kernel.kernel[axis] - 1).checked_mul(kernel.dilation[axis]))
            .and_then(|(first, window)| first.checked_add(window))
            .filter(|&reach| reach <= isize::MAX as usize / 4);
        let padded = kernel.in_size[axis]
            .checked_add(kernel.pads[axis])
            .and_then(|sum| sum.checked_add(kernel.pads[axis + 2]))
            .filter(|&padded| padded <= isize::MAX as usize / 4);
        if reach.is_none() || padded.is_none() {
            let found = format!("{kernel:?}");
            return Err(Mismatch::new("windows of the pooling", "addressable windows", found));
        }
    }
    pool_operands("pooling", kernel.planes, kernel.in_size, kernel.out_size)
}

fn adaptive(kernel: &AdaptiveAveragePool2d) -> Specs {
    for axis in 0..2 {
        // Bounds of windows are computed as products of the two sizes.
        let sizes = [kernel.in_size[axis], kernel.out_size[axis].saturating_add(1)];
        elements("sizes of the adaptive pooling", &sizes)?;
    }
    pool_operands("adaptive pooling", kernel.planes, kernel.in_size, kernel.out_size)
}

fn pool_operands(what: &'static str, planes: usize, from: [usize; 2], to: [usize; 2]) -> Specs {
    let input = elements(what, &[planes, from[0], from[1]])?;
    let output = elements(what, &[planes, to[0], to[1]])?;
    Ok(vec![read(input, F32), write(output, F32)])
}

fn unary(kernel: &Unary) -> Specs {
    let count = elements("elements of the function", &[kernel.count])?;
    Ok(vec![read(count, F32), write(count, F32)])
}

fn binary(kernel: &Binary) -> Specs {
    let a = span("a of the binary function", &kernel.shape, &kernel.a_strides)?;
    let b = span("b of the binary function", &kernel.shape, &kernel.b_strides)?;
    let y = elements("output of the binary function", &kernel.shape)?;
    Ok(vec![read(a, F32), read(b, F32), write(y, F32)])
}

fn softmax(kernel: &Softmax) -> Specs {
    let count = elements("input of the softmax", &[kernel.outer, kernel.axis, kernel.inner])?;
    Ok(vec![read(count, F32), write(count, F32)])
}

fn reduce(kernel: &Reduce) -> Specs {
    same_rank("reduced axes", kernel.shape.len(), kernel.reduced.len())?;
    let x = elements("input of the reduction", &kernel.shape)?;
    let kept: Vec<usize> = kernel
        .shape
        .iter()
        .zip(&kernel.reduced)
        .filter(|&(_, &reduced)| !reduced)
        .map(|(&extent, _)| extent)
        .collect();
    Ok(vec![read(x, F32), write(elements("output of the reduction", &kept)?, F32)])
}

fn strided_copy(kernel: &StridedCopy) -> Specs {
    let bytes = element_bytes("elements of the copy", kernel.element_bytes)?;
    let shape = &kernel.shape;
    let source =
        signed_span("source of the copy", shape, kernel.source_offset, &kernel.source_strides)?;
    let target =
        signed_span("target of the copy", shape, kernel.target_offset, &kernel.target_strides)?;
    if target > 0 {
        let strides = kernel.target_strides.iter().map(|stride| stride.unsigned_abs());
        injective("target of the copy", shape, strides)?;
    }
    Ok(vec![read(source, bytes), write(target, bytes)])
}

fn gather(kernel: &Gather) -> Specs {
    let bytes = element_bytes("elements of the gather", kernel.element_bytes)?;
    if !matches!(kernel.index, DType::I64 | DType::I32) {
        let found = kernel.index.to_string();
        return Err(Mismatch::new("indices of the gather", "i64 or i32", found));
    }
    let x = elements("input of the gather", &[kernel.outer, kernel.axis, kernel.inner])?;
    let count = elements("indices of the gather", &[kernel.count])?;
    let y = elements("output of the gather", &[kernel.outer, kernel.count, kernel.inner])?;
    Ok(vec![read(x, bytes), read(count, kernel.index.bytes()), write(y, bytes)])
}

fn select(kernel: &Select) -> Specs {
    let bytes = element_bytes("elements of the selection", kernel.element_bytes)?;
    let condition = span("condition of the selection", &kernel.shape, &kernel.condition_strides)?;
    let a = span("a of the selection", &kernel.shape, &kernel.a_strides)?;
    let b = span("b of the selection", &kernel.shape, &kernel.b_strides)?;
    let y = elements("output of the selection", &kernel.shape)?;
    Ok(vec![read(condition, 1), read(a, bytes), read(b, bytes), write(y, bytes)])
}

fn cast(kernel: &Cast) -> Specs {
    if let Some(narrow) = [kernel.from, kernel.to].into_iter().find(|dtype| dtype.is_narrow()) {
        let what = "element type of the conversion";
        return Err(Mismatch::new(what, "a type of whole bytes", narrow.to_string()));
    }
    let count = elements("elements of the conversion", &[kernel.count])?;
    Ok(vec![read(count, kernel.from.bytes()), write(count, kernel.to.bytes())])
}

fn routine(kernel: &Routine) -> Specs {
    let specs = |bytes: &[usize], access| {
        let sizes = bytes.iter().map(|&bytes| elements("operand of the routine", &[bytes]));
        let spec = move |bytes| OperandSpec { bytes: Some(bytes), access };
        sizes.map(move |size| size.map(spec)).collect::<Result<Vec<_>, _>>()
    };
    Ok([specs(&kernel.inputs, Access::Read)?, specs(&kernel.outputs, Access::Write)?].concat())
}

/// The operands of the same kernel, whose floats have twice the size.
fn double(kernel: &Kernel) -> Specs {
    let takes = match kernel {
        Kernel::Sample(kernel) => return kernel.operands(F64),
        Kernel::Peak(kernel) => return kernel.operands(F64),
        Kernel::Fold(kernel) => return kernel.operands(F64),
        Kernel::Regions(kernel) => return kernel.operands(F64),
        Kernel::Determinant(kernel) => return kernel.operands(F64),
        Kernel::Unary(_) | Kernel::Binary(_) | Kernel::Reduce(_) => true,
        Kernel::MatMul(kernel) if is_plain(kernel) => return matmul(kernel, F64),
        _ => false,
    };
    if !takes {
        let expected = "a kernel that there is in f64, or a product of plain factors in f32";
        let found = kernel.name().to_owned();
        return Err(Mismatch::new("kernel in double precision", expected, found));
    }
    // Extents are limited so that this fits as well.
    let twice = |spec: OperandSpec| OperandSpec { bytes: spec.bytes.map(|n| 2 * n), ..spec };
    Ok(kernel.operands()?.into_iter().map(twice).collect())
}

fn pack(kernel: &Kernel) -> Specs {
    let plain = match kernel {
        Kernel::Conv2d(kernel) => {
            conv2d(kernel)?;
            constant_of_conv2d(kernel)?
        }
        Kernel::MatMul(kernel) => {
            matmul(kernel, F32)?;
            without_batch(kernel)?;
            let strides = [kernel.b.row, kernel.b.column];
            span("b of the matrix multiplication", &[kernel.k, kernel.n], &strides)?
        }
        other => {
            let expected = "conv2d or matmul";
            return Err(Mismatch::new("packed kernel", expected, other.name().into()));
        }
    };
    Ok(vec![read(plain, F32), packed(Access::Write)])
}

#[cfg(test)]
mod tests;
