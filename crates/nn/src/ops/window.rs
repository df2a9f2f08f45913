//! Windows that slide over images: convolution and pooling.

use super::{Fact, Facts};
use crate::error::Error;
use crate::shape::Show;

/// How the border is padded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Padding {
    /// Begins of all axes, then ends of all axes; empty is none.
    Explicit(Vec<usize>),
    /// So that the output has `ceil(input / stride)` elements; an odd one goes to the end.
    SameUpper,
    /// As above; an odd one goes to the begin.
    SameLower,
}

/// A window as a model describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Extents; a convolution may leave them to its weight.
    pub(crate) kernel: Option<Vec<usize>>,
    /// Steps; empty is 1.
    pub(crate) strides: Vec<usize>,
    /// Distances of elements; empty is 1.
    pub(crate) dilations: Vec<usize>,
    pub(crate) padding: Padding,
    /// Whether a window that sticks out at the end counts.
    pub(crate) ceil: bool,
}

/// A window over an image of known size, with one entry for each spatial axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) kernel: Vec<usize>,
    pub(crate) strides: Vec<usize>,
    pub(crate) dilations: Vec<usize>,
    pub(crate) begins: Vec<usize>,
    pub(crate) ends: Vec<usize>,
    pub(crate) output: Vec<usize>,
}

impl Window {
    /// One that covers the whole image.
    pub(crate) fn whole(image: &[usize]) -> Self {
        Self {
            kernel: Some(image.to_vec()),
            strides: Vec::new(),
            dilations: Vec::new(),
            padding: Padding::Explicit(Vec::new()),
            ceil: false,
        }
    }
}

// Keeps every sum of extents far from overflow.
const ATTRIBUTE_MAX: usize = 1 << 31;

impl Window {
    /// Lays the window over an image.
    pub(crate) fn place(&self, image: &[usize], weight: Option<&[usize]>) -> Result<Placed, Error> {
        let rank = image.len();
        let invalid = |what: &str| {
            Error::invalid_model(format!("has a window whose {what} do not fit {}", Show(image)))
        };
        let kernel = match (&self.kernel, weight) {
            (Some(kernel), Some(weight)) if kernel != weight => {
                return Err(invalid("extents differ from the weight's, and"));
            }
            (Some(kernel), _) => kernel.clone(),
            (None, Some(weight)) => weight.to_vec(),
            (None, None) => return Err(invalid("missing extents")),
        };
        let or_ones = |values: &[usize]| match values {
            [] => vec![1; rank],
            values => values.to_vec(),
        };
        let (strides, dilations) = (or_ones(&self.strides), or_ones(&self.dilations));
        for (what, values) in [("extents", &kernel), ("steps", &strides), ("gaps", &dilations)] {
            let sane = values.iter().all(|&value| (1..ATTRIBUTE_MAX).contains(&value));
            if values.len() != rank || !sane {
                return Err(invalid(what));
            }
        }
        let mut placed = Placed {
            kernel,
            strides,
            dilations,
            begins: vec![0; rank],
            ends: vec![0; rank],
            output: vec![0; rank],
        };
        for (axis, &extent) in image.iter().enumerate() {
            let reach = (placed.kernel[axis] - 1)
                .checked_mul(placed.dilations[axis])
                .and_then(|reach| reach.checked_add(1))
                .ok_or_else(|| invalid("gaps"))?;
            self.place_axis(&mut placed, axis, extent, reach)
                .ok_or_else(|| invalid("extents, steps and padding"))?;
        }
        Ok(placed)
    }

    fn place_axis(&self, to: &mut Placed, axis: usize, extent: usize, reach: usize) -> Option<()> {
        let stride = to.strides[axis];
        match &self.padding {
            Padding::Explicit(pads) if pads.is_empty() => {}
            Padding::Explicit(pads) => {
                to.begins[axis] = *pads.get(axis)?;
                to.ends[axis] = *pads.get(axis + to.kernel.len())?;
                if pads.len() != 2 * to.kernel.len() {
                    return None;
                }
            }
            Padding::SameUpper | Padding::SameLower => {
                let wanted = extent.div_ceil(stride);
                let total = (wanted.saturating_sub(1).checked_mul(stride)?.checked_add(reach)?)
                    .saturating_sub(extent);
                let (small, large) = (total / 2, total.div_ceil(2));
                let upper = self.padding == Padding::SameUpper;
                (to.begins[axis], to.ends[axis]) =
                    if upper { (small, large) } else { (large, small) };
            }
        }
        if ATTRIBUTE_MAX < to.begins[axis].max(to.ends[axis]) {
            return None;
        }
        let padded = extent.checked_add(to.begins[axis])?.checked_add(to.ends[axis])?;
        let room = padded.checked_sub(reach)?;
        let mut count = if self.ceil { room.div_ceil(stride) } else { room / stride } + 1;
        // A window that begins behind the image sees nothing.
        if self.ceil && extent + to.begins[axis] <= (count - 1) * stride {
            count -= 1;
        }
        to.output[axis] = count;
        Some(())
    }

    pub(crate) fn infer_conv(&self, inputs: &Facts<'_>, groups: usize) -> Result<Fact, Error> {
        let (x, weight) = (inputs.get(0)?, inputs.get(1)?);
        let unfit = || Error::invalid_model(format!("cannot convolve {x} with {weight}"));
        let ([batch, channels, image @ ..], [outputs, group_channels, kernel @ ..]) =
            (&x.shape[..], &weight.shape[..])
        else {
            return Err(unfit());
        };
        let grouped = group_channels.checked_mul(groups) == Some(*channels)
            && 0 < groups
            && outputs.is_multiple_of(groups);
        if !grouped || image.len() != kernel.len() || x.dtype != weight.dtype {
            return Err(unfit());
        }
        if let Some(bias) = inputs.optional(2)
            && bias.shape != [*outputs]
        {
            return Err(Error::invalid_model(format!("has {bias} as bias of {outputs} channels")));
        }
        let mut shape = vec![*batch, *outputs];
        shape.extend(self.place(image, Some(kernel))?.output);
        Ok(Fact::new(x.dtype, shape))
    }

    pub(crate) fn infer_pool(&self, inputs: &Facts<'_>) -> Result<Fact, Error> {
        let x = inputs.get(0)?;
        let mut shape = planes(x)?.to_vec();
        shape.extend(self.place(&x.shape[2..], None)?.output);
        Ok(Fact::new(x.dtype, shape))
    }
}

impl Placed {
    /// Everything as for two axes: a single one becomes the second.
    pub(crate) fn two_dimensional(self) -> Self {
        let pair = |mut values: Vec<usize>, missing: usize| {
            if values.len() == 1 {
                values.insert(0, missing);
            }
            values
        };
        Self {
            kernel: pair(self.kernel, 1),
            strides: pair(self.strides, 1),
            dilations: pair(self.dilations, 1),
            begins: pair(self.begins, 0),
            ends: pair(self.ends, 0),
            output: pair(self.output, 1),
        }
    }
}

fn planes(x: &Fact) -> Result<&[usize], Error> {
    match &x.shape[..] {
        [planes @ .., _] if 2 <= planes.len() => Ok(&x.shape[..2]),
        _ => Err(Error::invalid_model(format!("has no spatial axes in {x}"))),
    }
}

pub(super) fn infer_global(inputs: &Facts<'_>) -> Result<Fact, Error> {
    let x = inputs.get(0)?;
    let mut shape = planes(x)?.to_vec();
    shape.resize(x.shape.len(), 1);
    Ok(Fact::new(x.dtype, shape))
}

pub(super) fn infer_adaptive(inputs: &Facts<'_>, size: [usize; 2]) -> Result<Fact, Error> {
    let x = inputs.get(0)?;
    match x.shape[..] {
        [batch, channels, h, w] if h != 0 && w != 0 => {
            Ok(Fact::new(x.dtype, vec![batch, channels, size[0], size[1]]))
        }
        _ => Err(Error::invalid_model(format!("has no image in {x}"))),
    }
}
