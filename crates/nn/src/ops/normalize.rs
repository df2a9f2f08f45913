//! Shapes of normalisations.

use super::{Fact, Facts, Norm};
use crate::error::Error;
use crate::shape::{broadcast, resolve_axis};

pub(super) fn infer(norm: Norm, inputs: &Facts<'_>) -> Result<Fact, Error> {
    let x = inputs.get(0)?;
    let channels = || {
        x.shape
            .get(1)
            .copied()
            .ok_or_else(|| Error::invalid_model(format!("has no channels in {x}")))
    };
    match norm {
        Norm::Batch => vectors(inputs, 1..5, &[channels()?])?,
        Norm::Instance => vectors(inputs, 1..3, &[channels()?])?,
        Norm::Group { groups } => {
            let channels = channels()?;
            if groups == 0 || !channels.is_multiple_of(groups) {
                let message = format!("cannot part the channels of {x} in {groups} groups");
                return Err(Error::invalid_model(message));
            }
            vectors(inputs, 1..3, &[channels, groups])?;
        }
        Norm::Layer { axis } | Norm::RootMeanSquare { axis } => {
            let Some(axis) = resolve_axis(axis, x.shape.len()) else {
                return Err(Error::invalid_model(format!("has no axis {axis} in {x}")));
            };
            let inner = &x.shape[axis..];
            for parameter in (1..inputs.len()).filter_map(|index| inputs.optional(index)) {
                if broadcast([inner, &parameter.shape]).as_deref() != Some(inner) {
                    let message = format!("cannot scale the rows of {x} by {parameter}");
                    return Err(Error::invalid_model(message));
                }
            }
        }
    }
    Ok(Fact::new(x.dtype, x.shape.clone()))
}

/// Each of some inputs has one axis of one of some extents.
fn vectors(
    inputs: &Facts<'_>,
    range: std::ops::Range<usize>,
    extents: &[usize],
) -> Result<(), Error> {
    for index in range {
        let fact = inputs.get(index)?;
        if !matches!(fact.shape[..], [extent] if extents.contains(&extent)) {
            return Err(Error::invalid_model(format!(
                "input {index} is {fact}, and one element for each of {} channels is needed",
                extents[0]
            )));
        }
    }
    Ok(())
}
