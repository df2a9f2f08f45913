//! Constant tensors, and declarations of inputs and outputs.

use std::path::PathBuf;

use super::external::Location;
use super::outline::Apart;
use super::proto::{
    DATA_LOCATION_EXTERNAL, DimensionValue, TensorProto, TypeProto, ValueInfoProto,
};
use crate::dtype::{DType, round_f32};
use crate::error::Error;
use crate::graph::Port;
use crate::limits::Limits;
use crate::shape::{Dim, Show, element_count};
use crate::tensor::{Tensor, tensor_bytes};

/// Where a model comes from, and what it may ask for.
pub(super) struct Source<'a> {
    /// The folder of the model, in which its weight files lie.
    pub(super) folder: Option<PathBuf>,
    pub(super) limits: &'a Limits,
}

/// The element type with a number of `TensorProto.DataType`.
pub(super) fn dtype(number: i32) -> Result<DType, Error> {
    Ok(match number {
        1 => DType::F32,
        2 => DType::U8,
        3 => DType::I8,
        4 => DType::U16,
        5 => DType::I16,
        6 => DType::I32,
        7 => DType::I64,
        9 => DType::Bool,
        10 => DType::F16,
        11 => DType::F64,
        12 => DType::U32,
        13 => DType::U64,
        16 => DType::BF16,
        17 => DType::F8E4M3FN,
        18 => DType::F8E4M3FNUZ,
        19 => DType::F8E5M2,
        20 => DType::F8E5M2FNUZ,
        21 => DType::U4,
        22 => DType::I4,
        23 => DType::F4E2M1,
        24 => DType::F8E8M0,
        25 => DType::U2,
        26 => DType::I2,
        0 => return Err(Error::invalid_model("has elements of no type")),
        _ => return Err(Error::unsupported(format!("has elements of ONNX type {number}"))),
    })
}

/// Reads a constant, whose elements may lie apart from it.
pub(super) fn tensor(
    mut proto: TensorProto,
    apart: Option<Apart<'_>>,
    source: &Source<'_>,
) -> Result<Tensor, Error> {
    let dtype = dtype(proto.data_type())?;
    let shape: Vec<usize> = proto
        .dims
        .iter()
        .map(|&dim| usize::try_from(dim))
        .collect::<Result<_, _>>()
        .map_err(|_| Error::invalid_model(format!("has extents {:?}", proto.dims)))?;
    if source.limits.rank_max < shape.len() {
        return Err(Error::limit(format!("has {} axes", shape.len())));
    }
    let bytes = tensor_bytes(dtype, &shape)
        .filter(|&bytes| bytes <= source.limits.tensor_bytes_max)
        .ok_or_else(|| Error::limit(format!("is {dtype}{}, which is too large", Show(&shape))))?;
    if proto.segment.is_some() {
        return Err(Error::unsupported("is a segment of a tensor"));
    }
    if proto.data_location() == DATA_LOCATION_EXTERNAL {
        let location = Location::new(&proto.external_data)?;
        let file_bytes_max = source.limits.model_bytes_max;
        if u64::try_from(bytes).is_ok_and(|bytes| file_bytes_max < bytes) {
            return Err(Error::limit(format!("is larger than {file_bytes_max} bytes")));
        }
        let data = location.read(source.folder.as_deref(), packed_bytes(dtype, &shape, bytes))?;
        return Tensor::from_bytes(dtype, &shape, &unpacked(dtype, &shape, data));
    }
    let fields = [
        proto.raw_data.is_some() || apart.is_some(),
        !proto.float_data.is_empty(),
        !proto.int32_data.is_empty(),
        !proto.int64_data.is_empty(),
        !proto.double_data.is_empty(),
        !proto.uint64_data.is_empty(),
    ];
    if 1 < fields.iter().filter(|&&present| present).count() {
        return Err(Error::invalid_model("has its elements in two places"));
    }
    if let Some(apart) = apart {
        if apart.bytes() == bytes && shared_bits(dtype) == 8 {
            return Tensor::build(dtype, &shape, |target| apart.read(target));
        }
        let mut raw = vec![0; apart.bytes()];
        apart.read(&mut raw)?;
        proto.raw_data = Some(raw);
    }
    let data = match proto.raw_data {
        Some(raw) if raw.len() == packed_bytes(dtype, &shape, bytes) => {
            unpacked(dtype, &shape, raw)
        }
        Some(raw) => raw,
        None => typed_data(dtype, &proto),
    };
    if data.len() != bytes {
        return Err(Error::invalid_model(format!(
            "is {dtype}{} of {bytes} bytes, and has {}",
            Show(&shape),
            data.len()
        )));
    }
    Tensor::from_bytes(dtype, &shape, &data)
}

/// The elements from the field for their type; from any other field there are none.
#[expect(clippy::cast_possible_truncation, reason = "narrow elements are stored in wide fields")]
#[expect(clippy::cast_sign_loss, reason = "bit patterns are stored in signed fields")]
fn typed_data(dtype: DType, proto: &TensorProto) -> Vec<u8> {
    let narrow = &proto.int32_data;
    match dtype {
        DType::F32 => proto.float_data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        DType::F64 => proto.double_data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        DType::I64 => proto.int64_data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        DType::U64 => proto.uint64_data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        DType::U32 => {
            proto.uint64_data.iter().flat_map(|&value| (value as u32).to_le_bytes()).collect()
        }
        DType::I32 => narrow.iter().flat_map(|value| value.to_le_bytes()).collect(),
        DType::I16 | DType::U16 | DType::F16 | DType::BF16 => {
            narrow.iter().flat_map(|&value| (value as u16).to_le_bytes()).collect()
        }
        DType::I8 | DType::U8 | DType::Bool => narrow.iter().map(|&value| value as u8).collect(),
        _ => {
            let bytes = narrow.iter().map(|&value| value as u8).collect();
            let shape: Vec<usize> =
                proto.dims.iter().map(|&dim| usize::try_from(dim).unwrap_or(0)).collect();
            unpacked(dtype, &shape, bytes)
        }
    }
}

/// Bits of one element in a file, where elements share bytes.
fn shared_bits(dtype: DType) -> usize {
    match dtype {
        DType::I4 | DType::U4 | DType::F4E2M1 => 4,
        DType::I2 | DType::U2 => 2,
        _ => 8,
    }
}

/// Bytes in a file of a tensor that has `bytes` here.
fn packed_bytes(dtype: DType, shape: &[usize], bytes: usize) -> usize {
    match shared_bits(dtype) {
        8 => bytes,
        bits => element_count(shape).unwrap_or(usize::MAX).div_ceil(8 / bits),
    }
}

/// One byte for each element of those that share bytes, the lowest bits first.
fn unpacked(dtype: DType, shape: &[usize], packed: Vec<u8>) -> Vec<u8> {
    let bits = shared_bits(dtype);
    if bits == 8 {
        return packed;
    }
    let parts = packed.iter().flat_map(|byte| {
        (0..8).step_by(bits).map(move |shift| (byte >> shift) & ((1u8 << bits) - 1))
    });
    parts.take(element_count(shape).unwrap_or(0)).collect()
}

/// A constant of floats or of one float, given as an attribute.
pub(super) fn float_constant(shape: &[usize], values: &[f32]) -> Result<Tensor, Error> {
    Tensor::from_f32(shape, values.to_vec())
}

/// A constant of integers, given as an attribute.
pub(super) fn integer_constant(shape: &[usize], values: &[i64]) -> Result<Tensor, Error> {
    Tensor::from_i64(shape, values.to_vec())
}

/// A single number that is exact in `f32`, or nearly so.
pub(super) fn scalar(value: f64) -> Result<Tensor, Error> {
    Tensor::from_f32(&[], vec![round_f32(value)])
}

/// Reads the declaration of an input or an output.
pub(super) fn port(proto: &ValueInfoProto, limits: &Limits) -> Result<Port, Error> {
    let name = proto.name().to_owned();
    let shown = || format!("'{}'", name.escape_debug());
    let declared = match &proto.r#type {
        Some(TypeProto { tensor_type: Some(declared) }) => declared,
        _ => return Err(Error::unsupported(format!("{} is not a tensor", shown()))),
    };
    let dtype = dtype(declared.elem_type())
        .map_err(|error| Error::new(error.kind(), format!("{} {error}", shown())))?;
    let Some(shape) = &declared.shape else {
        return Ok(Port { name, dtype, dims: None });
    };
    if limits.rank_max < shape.dim.len() {
        return Err(Error::limit(format!("{} has {} axes", shown(), shape.dim.len())));
    }
    let dims = shape.dim.iter().map(|dim| match &dim.value {
        None => Ok(Dim::Any),
        Some(DimensionValue::Symbol(symbol)) if symbol.is_empty() => Ok(Dim::Any),
        Some(DimensionValue::Symbol(symbol)) => Ok(Dim::Symbol(symbol.clone())),
        Some(DimensionValue::Known(extent)) => usize::try_from(*extent)
            .map(Dim::Known)
            .map_err(|_| Error::invalid_model(format!("{} has extent {extent}", shown()))),
    });
    Ok(Port { dims: Some(dims.collect::<Result<_, _>>()?), dtype, name })
}
