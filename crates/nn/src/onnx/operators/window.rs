//! Convolution and pooling.

use super::{Context, Translated};
use crate::error::Error;
use crate::host;
use crate::ops::{Op, Padding, PoolKind, Window};

pub(super) fn window(context: &mut Context<'_>) -> Result<Window, Error> {
    let attributes = &mut context.attributes;
    let kernel = attributes.sizes("kernel_shape")?;
    let strides = attributes.sizes("strides")?.unwrap_or_default();
    let dilations = attributes.sizes("dilations")?.unwrap_or_default();
    let pads = attributes.sizes("pads")?.unwrap_or_default();
    let padding = match &*attributes.string("auto_pad", "NOTSET")? {
        "NOTSET" => Padding::Explicit(pads),
        "VALID" => Padding::Explicit(Vec::new()),
        "SAME_UPPER" => Padding::SameUpper,
        "SAME_LOWER" => Padding::SameLower,
        other => {
            let other = other.escape_debug();
            return Err(Error::invalid_model(format!("pads automatically by '{other}'")));
        }
    };
    Ok(Window { kernel, strides, dilations, padding, ceil: false })
}

pub(super) fn conv(context: &mut Context<'_>) -> Result<Translated, Error> {
    let groups = context.attributes.integer("group", 1)?;
    let groups = usize::try_from(groups)
        .map_err(|_| Error::invalid_model(format!("has {groups} groups of channels")))?;
    Ok(Op::Conv { window: window(context)?, groups }.into())
}

fn pool(context: &mut Context<'_>, kind: PoolKind) -> Result<Translated, Error> {
    let ceil = context.attributes.flag("ceil_mode", false)?;
    let window = Window { ceil, ..window(context)? };
    if window.kernel.is_none() {
        return Err(Error::invalid_model("has no kernel_shape"));
    }
    Ok(Op::Pool { kind, window }.into())
}

pub(super) fn max_pool(context: &mut Context<'_>) -> Result<Translated, Error> {
    let columns_first = context.attributes.flag("storage_order", false)?;
    if context.outputs == 1 {
        return pool(context, PoolKind::Max);
    }
    let ceil = context.attributes.flag("ceil_mode", false)?;
    let window = Window { ceil, ..window(context)? };
    Ok(host::max_pool(window, columns_first).into())
}

pub(super) fn average_pool(context: &mut Context<'_>) -> Result<Translated, Error> {
    let count_padding = context.attributes.flag("count_include_pad", false)?;
    pool(context, PoolKind::Average { count_padding })
}

pub(super) fn global_pool(context: &mut Context<'_>) -> Result<Translated, Error> {
    let kind = match &*context.operator {
        "GlobalMaxPool" => PoolKind::Max,
        _ => PoolKind::Average { count_padding: false },
    };
    Ok(Op::GlobalPool { kind }.into())
}
