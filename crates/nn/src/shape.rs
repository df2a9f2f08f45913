//! Shapes: checked products, broadcasting, symbolic extents, and strided views.

mod view;

use std::fmt;

pub(crate) use view::View;

/// One extent of a declared shape. A value; thread-safe.
///
/// ```
/// use anabranch_nn::Dim;
/// assert_eq!(Dim::Symbol("batch".into()).to_string(), "batch");
/// assert_eq!(Dim::Known(3).to_string(), "3");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// Always this.
    Known(usize),
    /// Anything, the same everywhere the name occurs.
    Symbol(String),
    /// Anything.
    Any,
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(extent) => write!(f, "{extent}"),
            Self::Symbol(name) => f.write_str(name),
            Self::Any => f.write_str("?"),
        }
    }
}

/// The number of elements, or `None` when it does not fit. A zero anywhere makes it zero.
pub(crate) fn element_count(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1usize, |count, &extent| count.checked_mul(extent))
}

/// Elements between neighbours along each axis of a row-major tensor. The shape's element count
/// fits, or a zero makes the strides meaningless.
pub(crate) fn row_major_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
    }
    strides
}

/// The shape that all of `shapes` stretch to, or `None` when there is none.
pub(crate) fn broadcast<'a>(shapes: impl IntoIterator<Item = &'a [usize]>) -> Option<Vec<usize>> {
    let mut result: Vec<usize> = Vec::new();
    for shape in shapes {
        if result.len() < shape.len() {
            let missing = shape.len() - result.len();
            result.splice(0..0, std::iter::repeat_n(1, missing));
        }
        let skip = result.len() - shape.len();
        for (have, &want) in result[skip..].iter_mut().zip(shape) {
            *have = match (*have, want) {
                (have, want) if have == want => have,
                (1, want) => want,
                (have, 1) => have,
                _ => return None,
            };
        }
    }
    Some(result)
}

/// Turns an axis that may count from the end into one that does not.
pub(crate) fn resolve_axis(axis: i64, rank: usize) -> Option<usize> {
    let signed_rank = i64::try_from(rank).ok()?;
    let from_start = if axis < 0 { axis.checked_add(signed_rank)? } else { axis };
    usize::try_from(from_start).ok().filter(|&axis| axis < rank)
}

/// Shows a shape as in `[4×3×32×32]`.
pub(crate) struct Show<'a>(pub(crate) &'a [usize]);

impl fmt::Display for Show<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, self.0)
    }
}

/// Shows a declared shape as in `[batch×3×32×32]`.
pub(crate) struct ShowDims<'a>(pub(crate) &'a [Dim]);

impl fmt::Display for ShowDims<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, self.0)
    }
}

fn show(f: &mut fmt::Formatter<'_>, extents: &[impl fmt::Display]) -> fmt::Result {
    f.write_str("[")?;
    for (axis, extent) in extents.iter().enumerate() {
        if 0 < axis {
            f.write_str("×")?;
        }
        write!(f, "{extent}")?;
    }
    f.write_str("]")
}

#[cfg(test)]
mod tests;
