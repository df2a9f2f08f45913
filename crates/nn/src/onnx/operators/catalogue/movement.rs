//! Operators that put elements elsewhere.

use anabranch_hal::kernel::Combine;

use super::{Context, Translated, element_type, meaningless, size};
use crate::error::Error;
use crate::host;
use crate::ops::Op;

fn axis(context: &mut Context<'_>, default: i64) -> Result<i64, Error> {
    context.attributes.integer("axis", default)
}

/// An axis that may be left out.
fn optional_axis(context: &mut Context<'_>) -> Result<Option<i64>, Error> {
    let axis = context.attributes.integer("axis", i64::MIN)?;
    Ok((axis != i64::MIN).then_some(axis))
}

fn combine(context: &mut Context<'_>) -> Result<Combine, Error> {
    Ok(match &*context.attributes.string("reduction", "none")? {
        "none" => Combine::Replace,
        "add" => Combine::Add,
        "mul" => Combine::Mul,
        "min" => Combine::Min,
        "max" => Combine::Max,
        other => return Err(meaningless("reduction", other)),
    })
}

fn block(context: &mut Context<'_>) -> Result<usize, Error> {
    let block = size(context, "blocksize")?;
    block.ok_or_else(|| Error::invalid_model("has no size of blocks"))
}

pub(super) fn center_crop_pad(context: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(host::center_crop_pad(context.attributes.integers("axes")?).into())
}

pub(super) fn column_to_image(context: &mut Context<'_>) -> Result<Translated, Error> {
    let mut sizes = |name: &str| context.attributes.sizes(name).map(Option::unwrap_or_default);
    let (strides, dilations, pads) = (sizes("strides")?, sizes("dilations")?, sizes("pads")?);
    let columns = host::Columns { strides, dilations, pads, ..host::Columns::default() };
    Ok(host::column_to_image(columns).into())
}

pub(super) fn compress(context: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(host::compress(optional_axis(context)?).into())
}

pub(super) fn depth_to_space(context: &mut Context<'_>) -> Result<Translated, Error> {
    let channels_first = match &*context.attributes.string("mode", "DCR")? {
        "DCR" => false,
        "CRD" => true,
        other => return Err(meaningless("mode", other)),
    };
    let block = vec![block(context)?; 2];
    Ok(Op::DepthToSpace { block, channels_first }.into())
}

pub(super) fn space_to_depth(context: &mut Context<'_>) -> Result<Translated, Error> {
    let block = vec![block(context)?; 2];
    context.attributes.ignore(&["mode"]);
    Ok(Op::SpaceToDepth { block }.into())
}

pub(super) fn eye_like(context: &mut Context<'_>) -> Result<Translated, Error> {
    let k = context.attributes.integer("k", 0)?;
    Ok(host::eye_like(element_type(context, "dtype")?, k).into())
}

pub(super) fn gather_elements(context: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(host::gather_elements(axis(context, 0)?).into())
}

pub(super) fn gather_nd(context: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(host::gather_nd(size(context, "batch_dims")?.unwrap_or(0)).into())
}

pub(super) fn non_zero(_: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(host::non_zero().into())
}

pub(super) fn one_hot(context: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(host::one_hot(axis(context, -1)?).into())
}

pub(super) fn reverse_sequence(context: &mut Context<'_>) -> Result<Translated, Error> {
    let batch = size(context, "batch_axis")?.unwrap_or(1);
    let time = size(context, "time_axis")?.unwrap_or(0);
    Ok(host::reverse_sequence(batch, time).into())
}

pub(super) fn scatter_elements(context: &mut Context<'_>) -> Result<Translated, Error> {
    let axis = axis(context, 0)?;
    Ok(host::scatter_elements(axis, combine(context)?).into())
}

pub(super) fn scatter_nd(context: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(host::scatter_nd(combine(context)?).into())
}

pub(super) fn tensor_scatter(context: &mut Context<'_>) -> Result<Translated, Error> {
    let circular = match &*context.attributes.string("mode", "linear")? {
        "linear" => false,
        "circular" => true,
        other => return Err(meaningless("mode", other)),
    };
    Ok(host::tensor_scatter(axis(context, -2)?, circular).into())
}

pub(super) fn tile(_: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(Op::Tile.into())
}

pub(super) fn trilu(context: &mut Context<'_>) -> Result<Translated, Error> {
    Ok(host::trilu(context.attributes.flag("upper", true)?).into())
}

pub(super) fn unique(context: &mut Context<'_>) -> Result<Translated, Error> {
    let sorted = context.attributes.flag("sorted", true)?;
    Ok(host::unique(optional_axis(context)?, sorted).into())
}
