//! Movements between channels and blocks of pixels, and repetitions: views of more axes.

use super::Movement;
use crate::error::Error;
use crate::ops::{Fact, Facts};

/// The extents behind those of items and channels, if there are as many as the block has.
fn spatial<'a>(x: &'a Fact, block: &[usize]) -> Option<(usize, usize, &'a [usize])> {
    match &x.shape[..] {
        [items, channels, rest @ ..] if rest.len() == block.len() => {
            Some((*items, *channels, rest))
        }
        _ => None,
    }
}

fn product(extents: &[usize]) -> Option<usize> {
    extents.iter().try_fold(1_usize, |product, &extent| product.checked_mul(extent))
}

pub(super) fn depth_to_space(
    inputs: &Facts<'_>,
    block: &[usize],
    channels_first: bool,
) -> Result<Movement, Error> {
    let x = inputs.get(0)?;
    let unfit = || Error::invalid_model(format!("cannot take blocks of {block:?} from {x}"));
    let (items, channels, image) = spatial(x, block).ok_or_else(unfit)?;
    let parts = product(block).filter(|&parts| parts != 0 && channels.is_multiple_of(parts));
    let own = channels / parts.ok_or_else(unfit)?;
    let split = match channels_first {
        true => [&[items, own], block, image].concat(),
        false => [&[items], block, &[own], image].concat(),
    };
    // Where the channels, the block and the image are among those axes.
    let rank = block.len();
    let (channel, first) = if channels_first { (1, 2) } else { (rank + 1, 1) };
    let pairs = (0..rank).flat_map(|axis| [rank + 2 + axis, first + axis]);
    let joined = image.iter().zip(block).map(|(extent, block)| extent.saturating_mul(*block));
    Ok(Movement::Chain(vec![
        Movement::Reshape(split),
        Movement::Transpose([0, channel].into_iter().chain(pairs).collect()),
        Movement::Reshape([items, own].into_iter().chain(joined).collect()),
    ]))
}

pub(super) fn space_to_depth(inputs: &Facts<'_>, block: &[usize]) -> Result<Movement, Error> {
    let x = inputs.get(0)?;
    let unfit = || Error::invalid_model(format!("cannot take blocks of {block:?} from {x}"));
    let (items, channels, image) = spatial(x, block).ok_or_else(unfit)?;
    let parts = product(block).filter(|&parts| parts != 0).ok_or_else(unfit)?;
    if image.iter().zip(block).any(|(extent, block)| !extent.is_multiple_of(*block)) {
        return Err(unfit());
    }
    let rank = block.len();
    let pairs = image.iter().zip(block).flat_map(|(extent, block)| [extent / block, *block]);
    let order = (0..rank).map(|axis| 3 + 2 * axis).chain([1]);
    let order = [0].into_iter().chain(order).chain((0..rank).map(|axis| 2 + 2 * axis));
    let cut = image.iter().zip(block).map(|(extent, block)| extent / block);
    Ok(Movement::Chain(vec![
        Movement::Reshape([items, channels].into_iter().chain(pairs).collect()),
        Movement::Transpose(order.collect()),
        Movement::Reshape([items, channels.saturating_mul(parts)].into_iter().chain(cut).collect()),
    ]))
}

pub(super) fn tile(inputs: &Facts<'_>) -> Result<Movement, Error> {
    let x = inputs.get(0)?;
    let repeats = inputs.integers(1)?.unwrap_or_default();
    let counts: Option<Vec<usize>> =
        repeats.iter().map(|&count| usize::try_from(count).ok()).collect();
    let counts = counts.filter(|counts| counts.len() == x.shape.len());
    let counts =
        counts.ok_or_else(|| Error::invalid_model(format!("repeats {x} {repeats:?} times")))?;
    let axes = || x.shape.iter().zip(&counts);
    Ok(Movement::Chain(vec![
        Movement::Reshape(x.shape.iter().flat_map(|&extent| [1, extent]).collect()),
        Movement::Expand(axes().flat_map(|(&extent, &count)| [count, extent]).collect()),
        Movement::Reshape(axes().map(|(extent, count)| extent.saturating_mul(*count)).collect()),
    ]))
}
