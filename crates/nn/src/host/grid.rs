//! Sampling of images at computed places.

use anabranch_hal::kernel::{Outside, Sampling};

use super::{Array, Form, Together, array, float, operator_with, rounded};
use crate::dtype::truncate_i64;
use crate::error::Error;
use crate::ops::{Fact, Facts, Op};

/// The weights of elements along one axis; `None` is an element that is zero.
fn taps(
    at: f64,
    extent: usize,
    (sampling, outside, align): (Sampling, Outside, bool),
) -> Vec<(Option<usize>, f64)> {
    let (low, high) = if align { (0.0, float(extent) - 1.0) } else { (-0.5, float(extent) - 0.5) };
    let at = if sampling == Sampling::Nearest { at.round_ties_even() } else { at };
    let at = match outside {
        Outside::Border if at < low || high < at => at.clamp(0.0, float(extent) - 1.0),
        Outside::Reflection => Outside::reflected(at, low, high),
        _ => at,
    };
    let floor = at.floor();
    let ratio = at - floor;
    let weights: Vec<(f64, f64)> = match sampling {
        Sampling::Nearest => vec![(at, 1.0)],
        Sampling::Linear => vec![(floor, 1.0 - ratio), (floor + 1.0, ratio)],
        Sampling::Cubic => [-1.0, 0.0, 1.0, 2.0]
            .map(|step: f64| (floor + step, Sampling::cubic((step - ratio).abs(), -0.75)))
            .to_vec(),
    };
    let seen = |place: f64| {
        let inside = match outside {
            Outside::Zeros => place,
            Outside::Border => place.clamp(0.0, float(extent) - 1.0),
            Outside::Reflection => Outside::reflected(place, low, high),
        };
        usize::try_from(truncate_i64(inside)).ok().filter(|&at| 0.0 <= inside && at < extent)
    };
    weights.into_iter().map(|(place, weight)| (seen(place), weight)).collect()
}

/// Inputs: x of shape `[n, channels, …]`, places of shape `[n, …, axes]` between -1 and 1, the
/// last axis of the image first.
pub(crate) fn grid_sample(sampling: Sampling, outside: Outside, align: bool) -> Op {
    let infer = |inputs: &Facts<'_>, _: usize| {
        let (x, grid) = (inputs.get(0)?, inputs.get(1)?);
        let fits = 3 <= x.shape.len()
            && grid.shape.len() == x.shape.len()
            && grid.shape[0] == x.shape[0]
            && !x.shape[2..].contains(&0)
            && grid.shape.last() == Some(&(x.shape.len() - 2));
        if !fits {
            return Err(Error::invalid_model(format!("cannot sample {x} at {grid}")));
        }
        let places = &grid.shape[1..grid.shape.len() - 1];
        Ok(vec![Fact::new(x.dtype, [&x.shape[..2], places].concat())])
    };
    let form = Form::GridSample { sampling, outside, align };
    operator_with(form, "GridSample", &[], infer, move |inputs, facts| {
        let (x, grid) = (array(inputs, 0)?, array(inputs, 1)?);
        let image = &x.shape[2..];
        let rank = image.len();
        let [plane, places]: [usize; 2] =
            [image, &facts[0].shape[2..]].map(|extents| extents.iter().product());
        let (batches, channels) = (x.shape[0], x.shape[1]);
        let mut result = vec![0.0; facts[0].count()];
        for (number, place) in grid.data.chunks_exact(rank).enumerate() {
            let (batch, to) = (number / places, number % places);
            // Products of the weights of all axes, with the elements that they belong to.
            let mut found = vec![(Some(0), 1.0)];
            for axis in 0..rank {
                let (value, extent) = (place[rank - 1 - axis], image[axis]);
                let at = if align {
                    (value + 1.0) / 2.0 * (float(extent) - 1.0)
                } else {
                    ((value + 1.0) * float(extent) - 1.0) / 2.0
                };
                let along = taps(at, extent, (sampling, outside, align));
                found = found
                    .iter()
                    .flat_map(|&(flat, weight)| {
                        along.iter().map(move |&(at, more)| {
                            let flat =
                                flat.zip(at).map(|(flat, at): (usize, usize)| flat * extent + at);
                            (flat, weight * more)
                        })
                    })
                    .collect();
            }
            debug_assert!(batch < batches, "one grid for each image");
            for channel in 0..channels {
                let first = (batch * channels + channel) * plane;
                let terms =
                    found.iter().filter_map(|&(at, weight)| Some(x.data[first + at?] * weight));
                result[(batch * channels + channel) * places + to] = terms.sum();
            }
        }
        Ok(vec![rounded(&facts[0], result)?])
    })
}

/// Where element `at` of an axis lies between -1 and 1: its centre, or if `align` such that the
/// first and the last elements lie on them.
pub(crate) fn grid_place(at: usize, extent: usize, align: bool) -> f64 {
    let (at, extent) = (float(at), float(extent));
    if align { 2.0 * at / (extent - 1.0) - 1.0 } else { (2.0 * at + 1.0) / extent - 1.0 }
}

/// The places that affine maps send a regular grid to. Inputs: maps, shape of the image.
pub(crate) fn affine_grid(align: bool) -> Op {
    let infer = |inputs: &Facts<'_>, _: usize| {
        let (maps, size) = (inputs.get(0)?, inputs.integers(1)?.unwrap_or_default());
        let size: Option<Vec<usize>> = size.iter().map(|&n| usize::try_from(n).ok()).collect();
        match (&maps.shape[..], size.as_deref()) {
            (&[n, rank, wide], Some([batch, _, image @ ..]))
                if n == *batch && rank == image.len() && wide == rank + 1 =>
            {
                Ok(vec![Fact::new(maps.dtype, [&[n], image, &[rank]].concat())])
            }
            _ => Err(Error::invalid_model(format!("cannot make a grid of {maps}"))),
        }
    };
    let form = Form::Together(Together::AffineGrid { align });
    operator_with(form, "AffineGrid", &[1], infer, move |inputs, facts| {
        let maps = array(inputs, 0)?;
        let shape = &facts[0].shape;
        let rank = shape.len() - 2;
        let mut result = Array { shape: shape.clone(), data: Vec::new() };
        for index in super::array::indices(&shape[..=rank]) {
            let place = |axis: usize| grid_place(index[axis], shape[axis], align);
            let mut point: Vec<f64> = (1..=rank).rev().map(place).collect();
            point.push(1.0);
            for row in 0..rank {
                let terms = point.iter().enumerate().map(|(i, x)| x * maps.at(&[index[0], row, i]));
                result.data.push(terms.sum());
            }
        }
        Ok(vec![rounded(&facts[0], result.data)?])
    })
}
