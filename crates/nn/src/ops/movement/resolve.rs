//! Attributes and constant inputs into movements over known shapes.

use super::{Cut, Movement, axis_of, extents, stretched};
use crate::error::Error;
use crate::ops::Facts;
use crate::shape::{element_count, resolve_axis};

pub(super) fn flatten(inputs: &Facts<'_>, axis: i64) -> Result<Movement, Error> {
    let x = inputs.get(0)?;
    let rank = x.shape.len();
    let axis = if usize::try_from(axis) == Ok(rank) { rank } else { axis_of(x, axis)? };
    let (outer, inner) = x.shape.split_at(axis);
    let count = |extents| element_count(extents).unwrap_or(usize::MAX);
    Ok(Movement::Reshape(vec![count(outer), count(inner)]))
}

pub(super) fn reshape(inputs: &Facts<'_>, zero_is_zero: bool) -> Result<Movement, Error> {
    let x = inputs.get(0)?;
    let wanted = inputs.integers(1)?.unwrap_or_default();
    let invalid = || Error::invalid_model(format!("cannot give {x} the shape {wanted:?}"));
    let mut shape = Vec::with_capacity(wanted.len());
    // Extents that are copied cancel out, so that -1 has a meaning when one of them is zero.
    let mut left: Vec<usize> = x.shape.clone();
    let mut right = Vec::with_capacity(wanted.len());
    let mut open = None;
    for (axis, &extent) in wanted.iter().enumerate() {
        let resolved = match extent {
            0 if !zero_is_zero => *x.shape.get(axis).ok_or_else(invalid)?,
            -1 if open.is_none() => {
                open = Some(axis);
                1
            }
            extent => usize::try_from(extent).map_err(|_| invalid())?,
        };
        match left.get_mut(axis) {
            Some(own) if *own == resolved => *own = 1,
            _ => right.push(resolved),
        }
        shape.push(resolved);
    }
    if let Some(axis) = open {
        let (left, right) = (element_count(&left), element_count(&right));
        let (Some(left), Some(right)) = (left, right) else { return Err(invalid()) };
        match (left, right) {
            (_, 0) if left != 0 => return Err(invalid()),
            (_, 0) => shape[axis] = 0,
            _ if left.is_multiple_of(right) => shape[axis] = left / right,
            _ => return Err(invalid()),
        }
    }
    if element_count(&shape) != Some(x.count()) {
        return Err(invalid());
    }
    Ok(Movement::Reshape(shape))
}

pub(super) fn transpose(inputs: &Facts<'_>, order: Option<&[i64]>) -> Result<Movement, Error> {
    let x = inputs.get(0)?;
    let rank = x.shape.len();
    let Some(order) = order else {
        return Ok(Movement::Transpose((0..rank).rev().collect()));
    };
    let resolved: Vec<usize> =
        order.iter().map(|&axis| axis_of(x, axis)).collect::<Result<_, _>>()?;
    let mut sorted = resolved.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..rank) {
        return Err(Error::invalid_model(format!("cannot order the axes of {x} as {order:?}")));
    }
    Ok(Movement::Transpose(resolved))
}

pub(super) fn squeeze(inputs: &Facts<'_>) -> Result<Movement, Error> {
    let x = inputs.get(0)?;
    let drop: Vec<usize> = match inputs.integers(1)? {
        Some(axes) => axes.iter().map(|&axis| axis_of(x, axis)).collect::<Result<_, _>>()?,
        None => (0..x.shape.len()).filter(|&axis| x.shape[axis] == 1).collect(),
    };
    if let Some(axis) = drop.iter().find(|&&axis| x.shape[axis] != 1) {
        return Err(Error::invalid_model(format!("cannot drop axis {axis} of {x}")));
    }
    let kept = (0..x.shape.len()).filter(|axis| !drop.contains(axis));
    Ok(Movement::Reshape(kept.map(|axis| x.shape[axis]).collect()))
}

pub(super) fn unsqueeze(inputs: &Facts<'_>) -> Result<Movement, Error> {
    let x = inputs.get(0)?;
    let axes = inputs.integers(1)?.unwrap_or_default();
    let invalid = || Error::invalid_model(format!("cannot add axes {axes:?} to {x}"));
    let rank = x.shape.len() + axes.len();
    let mut added = vec![false; rank];
    for &axis in &axes {
        let axis = resolve_axis(axis, rank).ok_or_else(invalid)?;
        if std::mem::replace(&mut added[axis], true) {
            return Err(invalid());
        }
    }
    let mut own = x.shape.iter().copied();
    let shape = added.iter().map(|&added| if added { Some(1) } else { own.next() });
    Ok(Movement::Reshape(shape.collect::<Option<_>>().ok_or_else(invalid)?))
}

pub(super) fn expand(inputs: &Facts<'_>) -> Result<Movement, Error> {
    let wanted = extents(&inputs.integers(1)?.unwrap_or_default())?;
    Ok(Movement::Expand(stretched(inputs.get(0)?, &wanted)?))
}

pub(super) fn slice(inputs: &Facts<'_>) -> Result<Movement, Error> {
    let x = inputs.get(0)?;
    let starts = inputs.integers(1)?.unwrap_or_default();
    let ends = inputs.integers(2)?.unwrap_or_default();
    let axes = match inputs.integers(3)? {
        Some(axes) => axes.iter().map(|&axis| axis_of(x, axis)).collect::<Result<Vec<_>, _>>()?,
        None => (0..starts.len()).collect(),
    };
    let steps = inputs.integers(4)?.unwrap_or_else(|| vec![1; starts.len()]);
    let invalid = |what: &str| Error::invalid_model(format!("slices {x} with {what}"));
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] || x.shape.len() < starts.len() {
        return Err(invalid("lists of different lengths"));
    }
    let mut cuts: Vec<Cut> = Vec::new();
    for (place, &axis) in axes.iter().enumerate() {
        if cuts.iter().any(|cut| cut.axis == axis) {
            return Err(invalid("one axis twice"));
        }
        let cut = cut(x.shape[axis], starts[place], ends[place], steps[place]);
        let (start, step, count) = cut.ok_or_else(|| invalid("a step of zero"))?;
        cuts.push(Cut { axis, start, step, count });
    }
    Ok(Movement::Cut(cuts))
}

/// Start, step and count; indices beyond the ends are brought back.
fn cut(extent: usize, start: i64, end: i64, step: i64) -> Option<(usize, isize, usize)> {
    let extent = i64::try_from(extent).ok()?;
    let from_end = |place: i64| if place < 0 { place.saturating_add(extent) } else { place };
    let (start, end) = (from_end(start), from_end(end));
    let (start, distance) = match step {
        0 => return None,
        1.. => {
            let start = start.clamp(0, extent);
            (start, end.clamp(0, extent) - start)
        }
        _ => {
            let start = start.clamp(-1, extent - 1);
            (start, start - end.clamp(-1, extent - 1))
        }
    };
    // A step longer than the axis takes one element, whatever it is.
    let step = step.clamp(-extent.max(1), extent.max(1));
    let count = if distance <= 0 { 0 } else { (distance - 1) / step.abs() + 1 };
    Some((
        usize::try_from(start.max(0)).ok()?,
        isize::try_from(step).ok()?,
        usize::try_from(count).ok()?,
    ))
}

pub(super) fn split(inputs: &Facts<'_>, axis: i64, outputs: usize) -> Result<Vec<Movement>, Error> {
    let x = inputs.get(0)?;
    let axis = axis_of(x, axis)?;
    let extent = x.shape[axis];
    let sizes = match inputs.integers(1)? {
        Some(sizes) => extents(&sizes)?,
        None => {
            let size = extent.div_ceil(outputs.max(1));
            let start = |part: usize| part.saturating_mul(size).min(extent);
            (0..outputs).map(|part| start(part + 1) - start(part)).collect()
        }
    };
    let sum = sizes.iter().try_fold(0usize, |sum, &size| sum.checked_add(size));
    if sizes.len() != outputs || sum != Some(extent) {
        let message = format!("cannot split axis {axis} of {x} in {outputs} parts of {sizes:?}");
        return Err(Error::invalid_model(message));
    }
    let mut start = 0;
    let cuts = sizes.iter().map(|&count| {
        let cut = Cut { axis, start, step: 1, count };
        start += count;
        Movement::Cut(vec![cut])
    });
    Ok(cuts.collect())
}

/// Gathering with one constant index and no axis of its own.
pub(super) fn pick(inputs: &Facts<'_>, axis: i64) -> Result<Option<Movement>, Error> {
    let x = inputs.get(0)?;
    let indices = inputs.get(1)?;
    let (Some(index), true) = (&indices.constant, indices.shape.is_empty()) else {
        return Ok(None);
    };
    let axis = axis_of(x, axis)?;
    let index = index.to_i64().and_then(|values| values.first().copied());
    match index.and_then(|index| resolve_axis(index, x.shape[axis])) {
        Some(index) => Ok(Some(Movement::Pick { axis, index })),
        None => Err(Error::invalid_model(format!("has an index outside axis {axis} of {x}"))),
    }
}
