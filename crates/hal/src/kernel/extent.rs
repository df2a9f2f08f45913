//! Checked arithmetic over shapes and strides: the part of the memory-safety boundary that knows
//! nothing of kernels.
//!
//! A product of extents is taken over the extents as if none were zero, so that every partial
//! product that a kernel forms is known to fit, in whatever order it forms it.

use super::check::Mismatch;

/// The most elements that any tensor may have, so that its size in bytes, and a few times its
/// size, fits an `isize`.
const ELEMENTS_MAX: usize = isize::MAX as usize / 64;

/// The number of elements of a tensor with these extents; zero extents are legal.
pub(super) fn elements(what: &'static str, extents: &[usize]) -> Result<usize, Mismatch> {
    let full = extents.iter().try_fold(1usize, |product, &extent| {
        product.checked_mul(extent.max(1)).filter(|&product| product <= ELEMENTS_MAX)
    });
    match full {
        None => Err(Mismatch::new(what, "extents whose product fits", format!("{extents:?}"))),
        Some(_) if extents.contains(&0) => Ok(0),
        Some(product) => Ok(product),
    }
}

/// One more than the largest index that a strided view reaches; 0 when it has no elements.
pub(super) fn span(
    what: &'static str,
    shape: &[usize],
    strides: &[usize],
) -> Result<usize, Mismatch> {
    same_rank(what, shape.len(), strides.len())?;
    elements(what, shape)?;
    let last = shape.iter().zip(strides).try_fold(0usize, |sum, (&extent, &stride)| {
        let reach = extent.saturating_sub(1).checked_mul(stride)?;
        sum.checked_add(reach).filter(|&sum| sum < ELEMENTS_MAX)
    });
    match last {
        None => Err(Mismatch::new(what, "strides that stay addressable", format!("{strides:?}"))),
        Some(_) if shape.contains(&0) => Ok(0),
        Some(last) => Ok(last + 1),
    }
}

/// As [`span`], for strides that may be negative and a first element that is not the lowest. The
/// view must not reach below element 0.
pub(super) fn signed_span(
    what: &'static str,
    shape: &[usize],
    offset: usize,
    strides: &[isize],
) -> Result<usize, Mismatch> {
    same_rank(what, shape.len(), strides.len())?;
    if elements(what, shape)? == 0 {
        return Ok(0);
    }
    let refused = || {
        let found = format!("offset {offset}, strides {strides:?} over {shape:?}");
        Mismatch::new(what, "a view inside addressable memory", found)
    };
    if offset >= ELEMENTS_MAX {
        return Err(refused());
    }
    let (mut low, mut high) = (offset, offset);
    for (&extent, &stride) in shape.iter().zip(strides) {
        let reach = (extent - 1).checked_mul(stride.unsigned_abs()).ok_or_else(refused)?;
        if stride < 0 {
            low = low.checked_sub(reach).ok_or_else(refused)?;
        } else {
            high =
                high.checked_add(reach).filter(|&high| high < ELEMENTS_MAX).ok_or_else(refused)?;
        }
    }
    Ok(high + 1)
}

/// Refuses a view in which two indices may name one element: tiles that run at the same time
/// write different indices, so they have to be different elements. Each stride must step over all
/// that the smaller ones reach.
pub(super) fn injective(
    what: &'static str,
    shape: &[usize],
    strides: impl Iterator<Item = usize>,
) -> Result<(), Mismatch> {
    let mut axes: Vec<(usize, usize)> =
        strides.zip(shape.iter().copied()).filter(|&(_, extent)| extent > 1).collect();
    axes.sort_unstable();
    let mut reach = 0usize;
    for &(stride, extent) in &axes {
        if stride <= reach {
            let found = format!("strides and extents {axes:?}");
            return Err(Mismatch::new(what, "a view that does not overlap itself", found));
        }
        reach = (extent - 1)
            .checked_mul(stride)
            .and_then(|more| reach.checked_add(more))
            .ok_or_else(|| Mismatch::new(what, "addressable strides", format!("{axes:?}")))?;
    }
    Ok(())
}

/// Refuses 0.
pub(super) fn positive(what: &'static str, value: usize) -> Result<(), Mismatch> {
    if value == 0 { Err(Mismatch::new(what, "at least 1", "0".into())) } else { Ok(()) }
}

/// Refuses lists of different length.
pub(super) fn same_rank(what: &'static str, expected: usize, found: usize) -> Result<(), Mismatch> {
    if expected == found {
        Ok(())
    } else {
        Err(Mismatch::new(what, format!("{expected} axes"), found.to_string()))
    }
}

/// Refuses element sizes other than those of the element types.
pub(super) fn element_bytes(what: &'static str, bytes: usize) -> Result<usize, Mismatch> {
    if matches!(bytes, 1 | 2 | 4 | 8) {
        Ok(bytes)
    } else {
        Err(Mismatch::new(what, "1, 2, 4 or 8 bytes", bytes.to_string()))
    }
}
