//! Shapes of reductions.

use super::{Fact, Facts};
use crate::error::Error;
use crate::shape::resolve_axis;

/// Which axes are reduced.
pub(crate) fn reduced_axes(inputs: &Facts<'_>, none_is_none: bool) -> Result<Vec<bool>, Error> {
    let x = inputs.get(0)?;
    let axes = inputs.integers(1)?.unwrap_or_default();
    let mut reduced = vec![axes.is_empty() && !none_is_none; x.shape.len()];
    for axis in axes {
        match resolve_axis(axis, x.shape.len()) {
            Some(axis) => reduced[axis] = true,
            None => return Err(Error::invalid_model(format!("has no axis {axis} in {x}"))),
        }
    }
    Ok(reduced)
}

pub(super) fn infer(
    inputs: &Facts<'_>,
    keep_axes: bool,
    none_is_none: bool,
) -> Result<Fact, Error> {
    let x = inputs.get(0)?;
    let reduced = reduced_axes(inputs, none_is_none)?;
    let extents = x.shape.iter().zip(reduced);
    let shape = extents.filter_map(|(&extent, reduced)| match reduced {
        false => Some(extent),
        true if keep_axes => Some(1),
        true => None,
    });
    Ok(Fact::new(x.dtype, shape.collect()))
}
