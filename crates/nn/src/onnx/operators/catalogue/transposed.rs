//! A transposed convolution as a convolution: with a stride of `s`, every `s`-th element of its
//! result is a convolution with every `s`-th tap of the window, turned around. One convolution
//! computes them all, as channels that then become pixels.

use super::{Context, Translated};
use crate::error::Error;
use crate::graph::ValueId;
use crate::host::{TransposedWindow, conv_transpose};
use crate::onnx::tensor::{float_constant, integer_constant};
use crate::ops::{Op, Padding, Window};
use crate::tensor::Tensor;

/// How many times as large as its taps the weight of the convolution may be: taps that no phase has
/// are zeros in it.
const GROWTH_MAX: usize = 4;

/// One axis of the convolution of all phases.
#[derive(Clone, Copy, Debug)]
struct Phases {
    /// Phases: elements of the result for each of its places.
    stride: usize,
    dilation: usize,
    /// Taps of the transposed window.
    kernel: usize,
    /// Taps of each phase.
    taps: usize,
    /// Zeros in front of the image, and behind it.
    pads: [usize; 2],
    /// Elements that are dropped from the result, at its begin and its end.
    drops: [i64; 2],
}

impl Phases {
    /// `None` for what is no convolution, or has padding beyond its window.
    fn of(window: &TransposedWindow, axis: usize, kernel: usize) -> Option<Self> {
        let of = |values: &[usize], default: usize| values.get(axis).copied().unwrap_or(default);
        let (stride, dilation) = (of(&window.strides, 1), of(&window.dilations, 1));
        let reach = kernel.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
        let more = of(&window.output_padding, 0);
        // The result has `stride * extent + rest` elements.
        let whole = signed(reach.checked_add(more)?)?.checked_sub(signed(stride)?)?;
        let (begin, rest) = match &window.padding {
            Padding::SameUpper => (whole.max(0) / 2, 0),
            Padding::SameLower => (whole.max(0) - whole.max(0) / 2, 0),
            Padding::Explicit(pads) => {
                let begin = signed(of(pads, 0))?;
                let end = pads.get(axis + pads.len() / 2).copied().unwrap_or(0);
                (begin, whole.checked_sub(begin)?.checked_sub(signed(end)?)?)
            }
        };
        let step = signed(stride).filter(|&step| 0 < step && 0 < dilation)?;
        let taps = reach.div_ceil(stride);
        // Places before the image that the first element sees, and places behind it that the last
        // one sees.
        let before = signed(taps)? - 1 - begin.div_euclid(step);
        let behind = (rest - 1).checked_add(begin)?.div_euclid(step) + 1;
        let pads = [usize::try_from(before).ok()?, usize::try_from(behind).ok()?];
        let drops = [begin.rem_euclid(step), behind * step - begin - rest];
        Some(Self { stride, dilation, kernel, taps, pads, drops })
    }

    /// The tap of the transposed window that is tap `at` of a phase.
    fn tap(&self, phase: usize, at: usize) -> Option<usize> {
        let place = phase + self.stride * (self.taps - 1 - at);
        let tap = place / self.dilation;
        (place.is_multiple_of(self.dilation) && tap < self.kernel).then_some(tap)
    }
}

fn signed(count: usize) -> Option<i64> {
    i64::try_from(count).ok().filter(|&count| count < 1 << 40)
}

/// The transposed convolution in the context, whose weight may be computed by other nodes.
pub(super) fn by_phases(
    context: &mut Context<'_>,
    window: TransposedWindow,
) -> Result<Translated, Error> {
    let Some((axes, weight, bias)) = parts(context, &window) else {
        return Ok(conv_transpose(window).into());
    };
    let side = |side: usize| axes.iter().map(move |axis| axis.pads[side]);
    let all = Window {
        kernel: Some(axes.iter().map(|axis| axis.taps).collect()),
        strides: Vec::new(),
        dilations: Vec::new(),
        padding: Padding::Explicit(side(0).chain(side(1)).collect()),
        ceil: false,
    };
    let x = context.inputs.first().copied().flatten();
    let mut inputs = vec![x, Some(context.add_constant(weight))];
    if let Some(bias) = bias {
        inputs.push(Some(context.add_constant(bias)));
    }
    let phases = context.emit(Op::Conv { window: all, groups: window.groups }, inputs);
    let block = axes.iter().map(|axis| axis.stride).collect();
    let pixels = Op::DepthToSpace { block, channels_first: true };
    if axes.iter().all(|axis| axis.drops == [0, 0]) {
        context.inputs = vec![Some(phases)];
        return Ok(pixels.into());
    }
    let pixels = context.emit(pixels, vec![Some(phases)]);
    let mut list = |values: Vec<i64>| -> Result<Option<ValueId>, Error> {
        Ok(Some(context.add_constant(integer_constant(&[values.len()], &values)?)))
    };
    let starts = list(axes.iter().map(|axis| axis.drops[0]).collect())?;
    let end = |drop: i64| if drop == 0 { i64::MAX } else { -drop };
    let ends = list(axes.iter().map(|axis| end(axis.drops[1])).collect())?;
    let numbers = list((2..).zip(&axes).map(|(axis, _)| axis).collect())?;
    context.inputs = vec![Some(pixels), starts, ends, numbers];
    Ok(Op::Slice.into())
}

/// The axes, the weight of all phases, and its bias, where weight and bias are constant.
fn parts(
    context: &Context<'_>,
    window: &TransposedWindow,
) -> Option<(Vec<Phases>, Tensor, Option<Tensor>)> {
    let constant = |index: usize| {
        let id: Option<ValueId> = context.inputs.get(index).copied().flatten();
        id.map(|id| context.graph.constant(id))
    };
    let weight = constant(1)??;
    let &[channels, outputs, ref kernel @ ..] = weight.shape() else { return None };
    let groups = window.groups;
    let fits = (1..=2).contains(&kernel.len()) && 0 < groups && channels.is_multiple_of(groups);
    if !fits || window.output_shape.is_some() {
        return None;
    }
    let axes: Option<Vec<Phases>> =
        kernel.iter().enumerate().map(|(axis, &kernel)| Phases::of(window, axis, kernel)).collect();
    let axes = axes?;
    let phases = axes.iter().try_fold(1_usize, |all, axis| all.checked_mul(axis.stride))?;
    let weight = of_all_phases(weight.as_f32()?, [channels, outputs, groups], &axes)?;
    let bias = match constant(2) {
        None => None,
        Some(bias) => {
            let bias = bias?.as_f32()?.iter();
            let all: Vec<f32> = bias.flat_map(|&bias| vec![bias; phases]).collect();
            Some(float_constant(&[all.len()], &all).ok()?)
        }
    };
    Some((axes, weight, bias))
}

/// The weight of shape `[channels, outputs, …]` as that of the convolution of all phases.
fn of_all_phases(
    weight: &[f32],
    [channels, outputs, groups]: [usize; 3],
    axes: &[Phases],
) -> Option<Tensor> {
    let one = Phases { stride: 1, dilation: 1, kernel: 1, taps: 1, pads: [0; 2], drops: [0; 2] };
    let [y, x] = match *axes {
        [x] => [one, x],
        [y, x] => [y, x],
        _ => return None,
    };
    let depth = channels / groups;
    let sizes = [groups, outputs, y.stride, x.stride, depth, y.taps, x.taps];
    let count = sizes.iter().try_fold(1_usize, |all, &size| all.checked_mul(size))?;
    if GROWTH_MAX.checked_mul(weight.len())? < count {
        return None;
    }
    let mut all = Vec::with_capacity(count);
    for index in 0..count {
        let mut rest = index;
        let mut digit = |size: usize| {
            let digit = rest % size;
            rest /= size;
            digit
        };
        let [column, row, channel] = [x.taps, y.taps, depth].map(&mut digit);
        let [across, down, output, group] = [x.stride, y.stride, outputs, groups].map(&mut digit);
        let tap = y.tap(down, row).zip(x.tap(across, column));
        all.push(tap.map_or(0.0, |(row, column)| {
            let map = (group * depth + channel) * outputs + output;
            weight[(map * y.kernel + row) * x.kernel + column]
        }));
    }
    let taps = axes.iter().map(|axis| axis.taps);
    let maps = groups * outputs * y.stride * x.stride;
    Tensor::from_f32(&[maps, depth].into_iter().chain(taps).collect::<Vec<_>>(), all).ok()
}
