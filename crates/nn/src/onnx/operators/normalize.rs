//! Normalisations.

use super::{Context, Translated};
use crate::error::Error;
use crate::host;
use crate::ops::{Norm, Op};

fn normalize(context: &mut Context<'_>, norm: Norm) -> Result<Translated, Error> {
    let epsilon = context.attributes.float("epsilon", 1e-5)?;
    Ok(Op::Normalize { norm, epsilon }.into())
}

pub(super) fn batch(context: &mut Context<'_>) -> Result<Translated, Error> {
    let momentum = context.attributes.float("momentum", 0.9)?;
    if context.attributes.flag("training_mode", false)? {
        let epsilon = context.attributes.float("epsilon", 1e-5)?;
        return Ok(host::batch_training(epsilon, momentum).into());
    }
    if !context.attributes.flag("spatial", true)? {
        return Err(Error::unsupported("normalises each element on its own"));
    }
    normalize(context, Norm::Batch)
}

pub(super) fn instance(context: &mut Context<'_>) -> Result<Translated, Error> {
    normalize(context, Norm::Instance)
}

pub(super) fn group(context: &mut Context<'_>) -> Result<Translated, Error> {
    context.attributes.ignore(&["stash_type"]);
    let groups = context.attributes.integer("num_groups", 0)?;
    let groups = usize::try_from(groups)
        .map_err(|_| Error::invalid_model(format!("has {groups} groups of channels")))?;
    normalize(context, Norm::Group { groups })
}

pub(super) fn layer(context: &mut Context<'_>) -> Result<Translated, Error> {
    context.attributes.ignore(&["stash_type"]);
    let axis = context.attributes.integer("axis", -1)?;
    if 1 < context.outputs {
        let epsilon = context.attributes.float("epsilon", 1e-5)?;
        return Ok(host::layer_statistics(axis, epsilon).into());
    }
    normalize(context, Norm::Layer { axis })
}

pub(super) fn root_mean_square(context: &mut Context<'_>) -> Result<Translated, Error> {
    context.attributes.ignore(&["stash_type"]);
    let axis = context.attributes.integer("axis", -1)?;
    normalize(context, Norm::RootMeanSquare { axis })
}
