//! Matrix multiplication whose constant operand is kept in fewer bits.
//!
//! Neighbours of the depth share a word of 32 bits: two `bf16`, or four 8-bit integers; see
//! [`dot`](super::simd::dot). Columns are packed in panels of sixteen, word after word. A unit of
//! work narrows its rows as a whole, so that a row is always narrowed in the same way, and hands
//! its sums to the same end as a product in `f32`.
//!
//! A sum of `bf16` is one chain over the depth, in order. Sums of integers are exact.

mod block;
pub(super) mod packing;
mod rows;

use std::ops::Range;

use super::gemm::{Finish, Group, pack_rows};
use super::matmul::{Output, a_matrix, elements, part, place};
use super::narrow::Level;
use super::operand::Operands;
use super::scratch::Scratch;
use super::simd::dot::{COLUMNS, Dot, DotWork};
use super::simd::{Isa, Simd};
use super::tiles::{Span, Tiles, even};
use crate::error::Error;
use crate::kernel::{MatMul, Precision};

use block::{Multiply, SUMS_MAX};
use rows::Narrow;

/// Rows of a unit of work, at most; whole blocks of any instruction set.
const ROWS_MAX: usize = 128;
const ROWS_MIN: usize = 8;
/// Words of the rows of a unit: they stay in the second-level cache.
const ROW_WORDS: usize = 64 << 10;
/// Multiplications and additions of a unit of work: each unit narrows its rows for itself.
const UNIT_OPERATIONS: usize = 160 << 20;
/// Units of a product, at least, as long as they are not smaller than [`UNIT_OPERATIONS_MIN`].
const UNITS_MIN: usize = 4;
/// Operations of a unit that is worth being one.
const UNIT_OPERATIONS_MIN: usize = 16 << 20;
/// Words of the columns in a unit of few rows, which only streams them.
const STREAM_WORDS: usize = 64 << 10;
/// Words of a panel behind its elements: scales of its columns, and sums of these.
const LEVEL_WORDS: usize = 2 * COLUMNS;

/// How a packed operand lies in memory.
#[derive(Clone, Copy, Debug)]
struct Layout {
    precision: Precision,
    /// Words of the depth.
    words: usize,
    panels: usize,
}

impl Layout {
    fn new(kernel: &MatMul) -> Self {
        let per_word = if kernel.precision == Precision::Int8 { 4 } else { 2 };
        let (words, panels) = (kernel.k.div_ceil(per_word), kernel.n.div_ceil(COLUMNS));
        Self { precision: kernel.precision, words, panels }
    }

    /// Words of a panel.
    fn panel(&self) -> usize {
        let levels = if self.precision == Precision::Int8 { LEVEL_WORDS } else { 0 };
        self.words.saturating_mul(COLUMNS).saturating_add(levels)
    }

    /// Words in all.
    fn count(&self) -> usize {
        self.panel().saturating_mul(self.panels)
    }
}

/// Bytes of the packed columns operand, if it can be packed.
pub(super) fn packed_bytes(kernel: &MatMul) -> Option<usize> {
    let deep = kernel.precision == Precision::Int8 && Precision::INT8_DEPTH_MAX < kernel.k;
    if deep || kernel.b.batch.iter().any(|&stride| stride != 0) {
        return None;
    }
    let layout = Layout::new(kernel);
    layout.panel().checked_mul(layout.panels)?.checked_mul(size_of::<u32>())
}

/// How a product is divided.
struct Plan {
    layout: Layout,
    row_units: usize,
    panel_units: usize,
    rows: usize,
    panels: usize,
    tiles: Tiles,
}

impl Plan {
    fn new(kernel: &MatMul) -> Self {
        let layout = Layout::new(kernel);
        let matrices = elements(&kernel.batch);
        let (m, words) = (kernel.m, layout.words.max(1));
        if matrices == 0 || m == 0 || layout.panels == 0 {
            let tiles = Tiles::NONE;
            return Self { layout, row_units: 0, panel_units: 0, rows: 0, panels: 0, tiles };
        }
        let fitting = (ROW_WORDS / words).clamp(ROWS_MIN, ROWS_MAX) / ROWS_MIN * ROWS_MIN;
        let rows = even(m, fitting).next_multiple_of(ROWS_MIN);
        let (row_units, used) = (m.div_ceil(rows), rows.min(m));
        let depth = 2 * kernel.k.max(1) * COLUMNS;
        let all = depth.saturating_mul(layout.panels).saturating_mul(m).saturating_mul(matrices);
        let unit = (all / UNITS_MIN).clamp(UNIT_OPERATIONS_MIN, UNIT_OPERATIONS);
        let wanted = match m <= ROWS_MIN {
            true => STREAM_WORDS / (words * COLUMNS),
            false => unit / depth.saturating_mul(used),
        };
        let panels = even(layout.panels, wanted.max(SUMS_MAX / ROWS_MIN));
        let panel_units = layout.panels.div_ceil(panels);
        let work = panels.saturating_mul(words).saturating_mul(used) / 8;
        let unit_ns = (work + panels * words / 2 + used * words / 8).saturating_add(50);
        let tiles = Tiles::new(matrices * row_units * panel_units, unit_ns);
        Self { layout, row_units, panel_units, rows, panels, tiles }
    }
}

/// How `kernel` is divided.
pub(super) fn tiles(kernel: &MatMul) -> Tiles {
    Plan::new(kernel).tiles
}

/// Runs some tiles.
pub(super) fn run(
    isa: Isa,
    kernel: &MatMul,
    operands: Operands<'_>,
    span: Span,
    scratch: &mut Scratch,
) -> Result<(), Error> {
    let plan = Plan::new(kernel);
    for unit in plan.tiles.units(span) {
        let [matrix, row_unit, panel_unit] = place(unit, plan.row_units, plan.panel_units);
        let rows = part(row_unit, plan.rows, kernel.m);
        let panels = part(panel_unit, plan.panels, plan.layout.panels);
        let layout = plan.layout;
        let unit = Unit { kernel, layout, operands, matrix, rows, panels, scratch: &mut *scratch };
        isa.run_dot(kernel.precision, unit)?;
    }
    Ok(())
}

/// A rectangle of one output matrix.
struct Unit<'a> {
    kernel: &'a MatMul,
    layout: Layout,
    operands: Operands<'a>,
    matrix: usize,
    rows: Range<usize>,
    panels: Range<usize>,
    scratch: &'a mut Scratch,
}

impl DotWork for Unit<'_> {
    type Output = Result<(), Error>;

    #[inline(always)]
    fn run<S: Simd, D: Dot>(self, simd: S, dot: D) -> Result<(), Error> {
        let Self { kernel, layout, operands, matrix, rows, panels, scratch } = self;
        let a = a_matrix(kernel, operands, matrix)?;
        let packed = operands.view::<f32>(1, layout.count())?.all();
        let first_column = panels.start * COLUMNS;
        let mut finish = Output::new(kernel, operands, matrix, rows.start, first_column)?;
        let (count, words) = (rows.len(), layout.words);
        let ([line, narrow, blocked], blocks) =
            scratch.regions([kernel.k, count * words, count * words])?;
        let mut levels = [Level::default(); ROWS_MAX];
        for (index, row) in rows.clone().enumerate() {
            let values = rows::line(a, row, line);
            let target = &mut narrow[index * words..][..words];
            levels[index] = simd.run(Narrow { precision: layout.precision, values, target });
        }
        let narrow = super::gemm::Matrix { data: narrow, row: words, column: 1 };
        pack_rows(simd, narrow, 0..count, 0..words, blocked);
        let columns = (kernel.n - first_column).min(panels.len() * COLUMNS);
        let together = (D::SUMS / count.clamp(1, D::ROWS)).clamp(1, block::PANELS_MAX);
        let together = even(panels.len(), together);
        let mut tile = [0.0; SUMS_MAX * COLUMNS];
        for first in (0..panels.len()).step_by(together) {
            let group = group::<S>(first, together.min(panels.len() - first), columns, blocks);
            let used = group.vectors * S::LANES / COLUMNS;
            let start = (panels.start + first) * layout.panel();
            let columns = &packed[start..][..used * layout.panel()];
            for row in (0..count).step_by(S::ROWS) {
                let rows = S::ROWS.min(count - row);
                let words = &blocked[row * words..][..rows * words];
                let tile = &mut tile[..rows * used * COLUMNS];
                let multiply =
                    Multiply { dot, rows, panels: used, words, columns, layout, tile: &mut *tile };
                dot.run(multiply);
                if layout.precision == Precision::Int8 {
                    let levels = &levels[row..][..rows];
                    simd.run(rows::Widen { layout, levels, columns, tile: &mut *tile });
                }
                finish.finish(simd, row, rows, group, tile);
            }
        }
        Ok(())
    }
}

/// The group of some panels, for the end of the product.
#[inline(always)]
fn group<S: Simd>(
    first: usize,
    panels: usize,
    columns: usize,
    blocks: &mut super::scratch::Blocks,
) -> &Group {
    if blocks.groups.is_empty() {
        blocks.groups.push(Group::default());
    }
    let group = &mut blocks.groups[0];
    group.vectors = panels * COLUMNS / S::LANES;
    group.runs.clear();
    let target = first * COLUMNS;
    group.run(0, (panels * COLUMNS).min(columns - target), target);
    group
}
