//! The weight as it lies in memory, and in the space of the products.
//!
//! The transformed weight is two to four times as large as its taps. A small one is kept
//! transformed. Of a large one the taps are kept, in the order in which vectors of them are
//! transformed, and each unit of work transforms a panel when it comes to it: that takes less time
//! than reading so much more, and the bits are the same.

use std::ops::Range;

use super::super::super::operand::Operands;
use super::super::super::simd::{Isa, Simd, Work};
use super::super::super::tiles::{Span, Tiles};
use super::form::{Form, Four, Two, unrolled};
use super::tile_size;
use crate::error::Error;
use crate::kernel::Conv2d;

/// Elements of a weight above which its taps are kept.
const WEIGHT_COUNT: usize = 9 << 14;
/// Elements of a window.
const TAPS: usize = 9;

/// A packed weight: groups of panels of output channels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Whether the taps are kept, instead of what they are transformed to.
    pub(super) taps: bool,
    frequencies: usize,
    ins: usize,
    outs: usize,
    rows: usize,
    lanes: usize,
}

impl Layout {
    pub(super) fn new(isa: Isa, kernel: &Conv2d) -> Self {
        let (ins, outs) = (kernel.in_channels / kernel.groups, kernel.out_channels / kernel.groups);
        let size = tile_size(kernel) + 2;
        let taps = WEIGHT_COUNT < ins.saturating_mul(outs).saturating_mul(TAPS);
        let (rows, lanes) = (isa.rows(), isa.lanes());
        Self { taps, frequencies: size * size, ins, outs, rows, lanes }
    }

    /// Elements of a panel of that many rows.
    fn panel_count(&self, rows: usize) -> Option<usize> {
        let pairs = self.ins.checked_mul(rows)?;
        match self.taps {
            true => pairs.checked_next_multiple_of(self.lanes)?.checked_mul(TAPS),
            false => pairs.checked_mul(self.frequencies),
        }
    }

    /// Elements of a group.
    fn group_count(&self) -> Option<usize> {
        let whole = self.panel_count(self.rows)?.checked_mul(self.outs / self.rows)?;
        whole.checked_add(self.panel_count(self.outs % self.rows)?)
    }

    /// Elements in all.
    pub(super) fn count(&self, groups: usize) -> Option<usize> {
        self.group_count()?.checked_mul(groups)
    }

    /// The elements of the panel that begins with output channel `first` of a group.
    pub(super) fn panel(&self, group: usize, first: usize) -> Range<usize> {
        let count = |rows| self.panel_count(rows).unwrap_or(0);
        let before = group * self.group_count().unwrap_or(0);
        let start = before + first / self.rows * count(self.rows);
        start..start + count(self.rows.min(self.outs - first))
    }

    fn panels(&self) -> usize {
        self.outs.div_ceil(self.rows)
    }
}

/// How the packing is divided: by panels of output channels.
pub(in super::super) fn tiles(isa: Isa, kernel: &Conv2d) -> Tiles {
    let layout = Layout::new(isa, kernel);
    let unit_ns = layout.ins.saturating_mul(layout.rows * 8);
    Tiles::new(layout.panels().saturating_mul(kernel.groups), unit_ns)
}

/// Packs the panels of some tiles.
pub(in super::super) fn run(
    isa: Isa,
    kernel: &Conv2d,
    operands: Operands<'_>,
    span: Span,
) -> Result<(), Error> {
    let layout = Layout::new(isa, kernel);
    let Layout { ins, outs, .. } = layout;
    let source = operands.view::<f32>(0, outs * kernel.groups * ins * TAPS)?.all();
    let mut target = operands.output::<f32>(layout.count(kernel.groups).unwrap_or(0))?;
    for unit in tiles(isa, kernel).units(span) {
        let (group, first) = (unit / layout.panels(), unit % layout.panels() * layout.rows);
        let rows = layout.rows.min(outs - first);
        let weights = &source[(group * outs + first) * ins * TAPS..][..rows * ins * TAPS];
        let panel = layout.panel(group, first);
        let packed = target.window_mut(panel.start, panel.len());
        match (layout.taps, tile_size(kernel)) {
            (true, _) => isa.run(Panel { form: None::<Two>, weights, rows, ins, packed }),
            (_, 2) => isa.run(Panel { form: Some(Two), weights, rows, ins, packed }),
            _ => isa.run(Panel { form: Some(Four), weights, rows, ins, packed }),
        }
    }
    Ok(())
}

/// One panel: pairs of an input channel and a row, the rows of a channel together.
struct Panel<'a, F, const M: usize, const N: usize> {
    /// Transforms the taps, if they are not kept.
    form: Option<F>,
    weights: &'a [f32],
    rows: usize,
    ins: usize,
    packed: &'a mut [f32],
}

impl<F: Form<M, N>, const M: usize, const N: usize> Work for Panel<'_, F, M, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { form, weights, rows, ins, packed } = self;
        let pairs = ins * rows;
        for first in (0..pairs).step_by(S::LANES) {
            let mut taps = [[0.0; 16]; TAPS];
            for (lane, pair) in (first..pairs.min(first + S::LANES)).enumerate() {
                let window = &weights[(pair % rows * ins + pair / rows) * TAPS..][..TAPS];
                taps.iter_mut().zip(window).for_each(|(tap, &value)| tap[lane] = value);
            }
            let mut vectors = [simd.splat(0.0); TAPS];
            for (vector, tap) in vectors.iter_mut().zip(&taps) {
                *vector = simd.load(tap);
            }
            match form {
                None => {
                    let targets = packed[first * TAPS..].chunks_exact_mut(S::LANES);
                    for (vector, target) in vectors.iter().zip(targets) {
                        simd.store(*vector, target);
                    }
                }
                Some(_) => {
                    let count = S::LANES.min(pairs - first);
                    transform::<S, F, M, N>(simd, vectors, &mut packed[first..], pairs, count);
                }
            }
        }
    }
}

/// Transforms a panel of kept taps. Work of its own, so that no vector leaves its register.
pub(super) struct Expand<'a, F, const M: usize, const N: usize> {
    pub(super) _form: F,
    pub(super) panel: &'a [f32],
    /// Frequency `f` goes to `f * distance`; a whole vector fits behind the last pair.
    pub(super) target: &'a mut [f32],
    pub(super) distance: usize,
}

impl<F: Form<M, N>, const M: usize, const N: usize> Work for Expand<'_, F, M, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { panel, target, distance, .. } = self;
        for index in 0..panel.len() / (TAPS * S::LANES) {
            let panel = &panel[index * TAPS * S::LANES..][..TAPS * S::LANES];
            let mut taps = [simd.splat(0.0); TAPS];
            for tap in 0..TAPS {
                taps[tap] = simd.load(&panel[tap * S::LANES..]);
            }
            let target = &mut target[index * S::LANES..];
            transform::<S, F, M, N>(simd, taps, target, distance, S::LANES);
        }
    }
}

/// Transforms `count` windows, at most a vector. Each is a lane, so its bits do not depend on the
/// others.
#[inline(always)]
fn transform<S: Simd, F: Form<M, N>, const M: usize, const N: usize>(
    simd: S,
    taps: [S::V; TAPS],
    target: &mut [f32],
    distance: usize,
    count: usize,
) {
    let mut columns = [[simd.splat(0.0); N]; 3];
    unrolled!(x < 3, { columns[x] = F::weight(simd, [taps[x], taps[3 + x], taps[6 + x]]) });
    unrolled!(y < N, {
        let row = F::weight(simd, [columns[0][y], columns[1][y], columns[2][y]]);
        unrolled!(x < N, {
            simd.store_some(row[x], &mut target[(y * N + x) * distance..][..count]);
        });
    });
}
