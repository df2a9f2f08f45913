//! Boxes: which of them to keep, and what is inside.

use anabranch_hal::kernel::Regions;

use super::{Form, array, float, known_operator, operator_with, optional, rounded};
use crate::dtype::truncate_i64;
use crate::error::Error;
use crate::ops::{Fact, Facts, Op};
use crate::tensor::Tensor;

/// The corners of a box: the lower ones, then the upper ones.
fn corners(place: &[f64], centred: bool) -> [f64; 4] {
    let [a, b, c, d] = [0, 1, 2, 3].map(|i| place[i]);
    if centred {
        return [a - c / 2.0, b - d / 2.0, a + c / 2.0, b + d / 2.0];
    }
    [a.min(c), b.min(d), a.max(c), b.max(d)]
}

/// What two boxes share, as a part of what both cover.
fn overlap(a: [f64; 4], b: [f64; 4]) -> f64 {
    let area = |x: [f64; 4]| (x[2] - x[0]) * (x[3] - x[1]);
    let sides = [0, 1].map(|axis| (a[axis + 2].min(b[axis + 2]) - a[axis].max(b[axis])).max(0.0));
    let shared = sides[0] * sides[1];
    let union = area(a) + area(b) - shared;
    if shared <= 0.0 || union <= 0.0 { 0.0 } else { shared / union }
}

/// Pairs of boxes that are compared when a plan is made, where everybody waits for it.
const PAIRS_MAX: usize = 1 << 28;

/// Inputs: boxes, scores, how many to keep for each class, how much they may overlap, the least
/// score.
pub(crate) fn non_max_suppression(centred: bool) -> Op {
    known_operator("NonMaxSuppression", move |inputs| suppress(inputs, centred, PAIRS_MAX))
}

pub(super) fn suppress(
    inputs: &Facts<'_>,
    centred: bool,
    pairs_max: usize,
) -> Result<Vec<Tensor>, Error> {
    let (boxes, scores) = (array(inputs, 0)?, array(inputs, 1)?);
    let (&[batches, count, 4], &[other, classes, same]) = (&boxes.shape[..], &scores.shape[..])
    else {
        return Err(Error::invalid_model("has no boxes with scores"));
    };
    if (batches, count) != (other, same) {
        return Err(Error::invalid_model("has scores of other boxes"));
    }
    let number = |index: usize| optional(inputs, index)?.map(|x| x.number()).transpose();
    let most = usize::try_from(number(2)?.map_or(0, truncate_i64)).unwrap_or(0);
    let shared_max = number(3)?.unwrap_or(0.0);
    let least = number(4)?.unwrap_or(f64::NEG_INFINITY);
    let (mut kept, mut pairs) = (Vec::new(), 0);
    for batch in 0..batches {
        let place = |at: usize| corners(&boxes.data[(batch * count + at) * 4..][..4], centred);
        for class in 0..classes {
            let score = |at: usize| scores.data[(batch * classes + class) * count + at];
            let mut order: Vec<usize> = (0..count).filter(|&at| least < score(at)).collect();
            // The sort is stable: of equal scores the first box is first.
            order.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
            let mut chosen: Vec<usize> = Vec::new();
            for at in order {
                if chosen.len() == most {
                    break;
                }
                pairs += chosen.len();
                if pairs_max < pairs {
                    return Err(Error::limit(format!(
                        "compares more than {pairs_max} pairs of boxes of {boxes:?}",
                        boxes = boxes.shape
                    )));
                }
                if chosen.iter().all(|&other| overlap(place(at), place(other)) <= shared_max) {
                    chosen.push(at);
                }
            }
            kept.extend(chosen.iter().flat_map(|&at| [batch, class, at].map(super::signed)));
        }
    }
    Ok(vec![Tensor::from_i64(&[kept.len() / 3, 3], kept)?])
}

/// How regions are divided, and what becomes of the samples of a part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RegionAlign {
    pub(crate) size: [usize; 2],
    pub(crate) scale: f32,
    /// Samples along each side of a part; 0 for as many as it has elements.
    pub(crate) samples: usize,
    pub(crate) half_pixel: bool,
    pub(crate) largest: bool,
}

/// The mean or maximum of samples in the parts of regions. Inputs: x, regions, the image of each.
pub(crate) fn region_align(align: RegionAlign) -> Op {
    let RegionAlign { size, scale, samples, half_pixel, largest } = align;
    let infer = move |inputs: &Facts<'_>, _: usize| {
        let (x, regions) = (inputs.get(0)?, inputs.get(1)?);
        match (&x.shape[..], &regions.shape[..]) {
            (&[_, channels, h, w], &[count, 4])
                if h != 0 && w != 0 && inputs.get(2)?.count() == count =>
            {
                Ok(vec![Fact::new(x.dtype, vec![count, channels, size[0], size[1]])])
            }
            _ => Err(Error::invalid_model(format!("cannot take {regions} from {x}"))),
        }
    };
    operator_with(Form::RegionAlign(align), "RoiAlign", &[], infer, move |inputs, facts| {
        let (x, regions) = (array(inputs, 0)?, array(inputs, 1)?);
        let images = array(inputs, 2)?.data;
        let [batches, channels, h, w] = [0, 1, 2, 3].map(|axis| x.shape[axis]);
        let mut result = Vec::with_capacity(facts[0].count());
        for (region, image) in regions.data.chunks_exact(4).zip(images) {
            let image = super::place(image, batches)?;
            let shift = if half_pixel { 0.5 } else { 0.0 };
            let [left, top, right, bottom] =
                [0, 1, 2, 3].map(|i| region[i] * f64::from(scale) - shift);
            let extent =
                |from: f64, to: f64| if half_pixel { to - from } else { (to - from).max(1.0) };
            let part = [extent(top, bottom) / float(size[0]), extent(left, right) / float(size[1])];
            let counts = part.map(|part| match samples {
                0 => usize::try_from(truncate_i64(part.ceil())).unwrap_or(0),
                samples => samples,
            });
            if counts.iter().any(|&count| Regions::SAMPLES_MAX < count) {
                return Err(Error::invalid_model(format!("takes {counts:?} samples of a part")));
            }
            for channel in 0..channels {
                let plane = &x.data[(image * channels + channel) * h * w..][..h * w];
                for (row, column) in
                    (0..size[0]).flat_map(|row| (0..size[1]).map(move |column| (row, column)))
                {
                    let mut found = Vec::new();
                    for (i, j) in (0..counts[0]).flat_map(|i| (0..counts[1]).map(move |j| (i, j))) {
                        let at = |start: f64, place: usize, axis: usize, i: usize| {
                            let step = part[axis] / float(counts[axis]);
                            start + float(place) * part[axis] + (float(i) + 0.5) * step
                        };
                        let (y, x) = (at(top, row, 0, i), at(left, column, 1, j));
                        found.push(weighed(plane, [h, w], y, x));
                    }
                    result.push(if largest {
                        // NaN is larger than every number.
                        let larger = |a: f64, b: f64| if a.is_nan() || b <= a { a } else { b };
                        found.iter().flatten().copied().reduce(larger).unwrap_or(0.0)
                    } else {
                        found.iter().flatten().sum::<f64>() / float(found.len().max(1))
                    });
                }
            }
        }
        Ok(vec![rounded(&facts[0], result)?])
    })
}

/// The four elements around a place, times their weights.
fn weighed(plane: &[f64], [h, w]: [usize; 2], y: f64, x: f64) -> [f64; 4] {
    if y < -1.0 || float(h) < y || x < -1.0 || float(w) < x {
        return [0.0; 4];
    }
    let along = |at: f64, extent: usize| {
        let at = at.max(0.0);
        let low = usize::try_from(truncate_i64(at)).unwrap_or(0);
        if extent <= low + 1 {
            return (extent - 1, extent - 1, 0.0);
        }
        (low, low + 1, at - float(low))
    };
    let ((top, bottom, v), (left, right, u)) = (along(y, h), along(x, w));
    [
        plane[top * w + left] * (1.0 - v) * (1.0 - u),
        plane[top * w + right] * (1.0 - v) * u,
        plane[bottom * w + left] * v * (1.0 - u),
        plane[bottom * w + right] * v * u,
    ]
}
