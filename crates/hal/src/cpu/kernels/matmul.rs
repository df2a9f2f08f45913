//! Batched matrix multiplication.

use std::ops::Range;

use crate::error::Error;
use crate::kernel::{Function, MatMul, Precision};

use super::dots;
use super::function::{activate, bound, bounds};
use super::gemm::{
    self, Finish, Group, Groups, Matrix, Step, VECTORS_MAX, ask, copy, pack_columns, pack_rows,
};
use super::operand::{Operands, View};
use super::scratch::{Rows, Scratch};
use super::simd::{Isa, Simd, Work};
use super::tiles::{Span, Tiles, even};

/// Rows of a unit of work.
const ROWS_MAX: usize = 128;
/// Depth of a step. Columns of that depth come from the second-level cache in time, beside rows;
/// and the fewer steps there are, the less often sums rest in memory.
const DEPTH_STEP: usize = 1024;
/// Elements of rows that are packed once for all units of a core, as many as its cache has room for
/// beside everything else. Longer rows are packed by each unit for itself.
const SHARED_ROWS: usize = 128 << 10;
/// Floating-point operations of a unit of work, at most.
const UNIT_FLOPS: usize = 80 << 20;
/// Units of a product, at least, as long as they are not smaller than [`UNIT_FLOPS_MIN`]: the more
/// there are, the less one core waits for the other at the end.
const UNITS_MIN: usize = 16;
/// The same where each unit packs its rows for itself.
const LONE_UNITS_MIN: usize = 4;
/// Floating-point operations of a unit that is worth being one.
const UNIT_FLOPS_MIN: usize = 4 << 20;
/// Bytes of the columns operand in a unit of few rows, which only streams them.
const STREAM_BYTES: usize = 256 << 10;

/// How a product is divided.
struct Plan {
    row_units: usize,
    column_units: usize,
    rows: usize,
    columns: usize,
    tiles: Tiles,
}

/// Bytes of the packed columns operand, if it can be packed.
pub(super) fn packed_bytes(isa: Isa, kernel: &MatMul) -> Option<usize> {
    if !kernel.precision.takes_plain() {
        return dots::packed_bytes(kernel);
    }
    // The processor has no way to multiply in eleven bits that would be faster.
    if kernel.precision != Precision::F32 || kernel.b.batch.iter().any(|&stride| stride != 0) {
        return None;
    }
    let lanes = isa.lanes();
    kernel.n.checked_next_multiple_of(lanes)?.checked_mul(kernel.k)?.checked_mul(size_of::<f32>())
}

/// How `kernel` is divided.
pub(super) fn tiles(isa: Isa, kernel: &MatMul) -> Tiles {
    if !kernel.precision.takes_plain() {
        return dots::tiles(kernel);
    }
    plan(isa, kernel).tiles
}

fn plan(isa: Isa, kernel: &MatMul) -> Plan {
    let matrices = elements(&kernel.batch);
    let (m, n, k) = (kernel.m, kernel.n, kernel.k.max(1));
    if matrices == 0 || m == 0 || n == 0 {
        return Plan { row_units: 0, column_units: 0, rows: 0, columns: 0, tiles: Tiles::NONE };
    }
    let row_units = m.div_ceil(ROWS_MAX);
    let rows = even(m, ROWS_MAX).next_multiple_of(isa.rows());
    let used = rows.min(m);
    let all = (2 * m).saturating_mul(n).saturating_mul(k).saturating_mul(matrices);
    let units_min = if used * k <= SHARED_ROWS { UNITS_MIN } else { LONE_UNITS_MIN };
    let unit = (all / units_min).clamp(UNIT_FLOPS_MIN, UNIT_FLOPS);
    let wanted = if m <= isa.rows() { STREAM_BYTES / (4 * k) } else { unit / (2 * used * k) };
    let vectors = if m <= isa.rows() { VECTORS_MAX } else { VECTORS_MAX / 2 };
    let columns = even(n, wanted.max(vectors * isa.lanes())).next_multiple_of(isa.lanes());
    let column_units = n.div_ceil(columns);
    let width = columns.min(n);
    let unit_ns = (used * width / 64).saturating_mul(k) / 2 + (width / 16).saturating_mul(k) + 50;
    let tiles = Tiles::new(matrices * row_units * column_units, unit_ns);
    Plan { row_units, column_units, rows, columns, tiles }
}

pub(super) fn elements(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// Runs some tiles.
pub(super) fn run(
    isa: Isa,
    kernel: &MatMul,
    operands: Operands<'_>,
    span: Span,
    scratch: &mut Scratch,
) -> Result<(), Error> {
    if !kernel.precision.takes_plain() {
        return dots::run(isa, kernel, operands, span, scratch);
    }
    let plan = plan(isa, kernel);
    for unit in plan.tiles.units(span) {
        let [matrix, row_unit, column_unit] = place(unit, plan.row_units, plan.column_units);
        let rows = part(row_unit, plan.rows, kernel.m);
        let columns = part(column_unit, plan.columns, kernel.n);
        isa.run(Unit { kernel, operands, matrix, rows, columns, scratch: &mut *scratch })?;
    }
    Ok(())
}

/// The matrix that a unit belongs to, and which of its units along rows and columns it is.
pub(super) fn place(unit: usize, row_units: usize, column_units: usize) -> [usize; 3] {
    let rest = unit / column_units;
    [rest / row_units, rest % row_units, unit % column_units]
}

pub(super) fn part(index: usize, size: usize, all: usize) -> Range<usize> {
    index * size..((index + 1) * size).min(all)
}

/// A rectangle of one output matrix.
struct Unit<'a> {
    kernel: &'a MatMul,
    operands: Operands<'a>,
    matrix: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    scratch: &'a mut Scratch,
}

/// The offset of matrix `index` along batch axes.
pub(super) fn batch_offset(shape: &[usize], strides: &[usize], mut index: usize) -> usize {
    let mut offset = 0;
    for (&extent, &stride) in shape.iter().zip(strides).rev() {
        offset += index % extent * stride;
        index /= extent;
    }
    offset
}

/// How many elements a layout reaches; the checked descriptor says that it fits.
pub(super) fn reach(
    shape: &[usize],
    strides: &[usize],
    rows: [usize; 2],
    columns: [usize; 2],
) -> usize {
    let batch: usize =
        shape.iter().zip(strides).map(|(&extent, &stride)| (extent - 1) * stride).sum();
    if rows[0] == 0 || columns[0] == 0 {
        return 0;
    }
    batch + (rows[0] - 1) * rows[1] + (columns[0] - 1) * columns[1] + 1
}

impl Work for Unit<'_> {
    type Output = Result<(), Error>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<(), Error> {
        let Self { kernel, operands, matrix, rows, columns, scratch } = self;
        let k = kernel.k;
        let a = a_matrix(kernel, operands, matrix)?;
        let b = b_operand(simd, kernel, operands, matrix)?;
        let mut finish = Output::new(kernel, operands, matrix, rows.start, columns.start)?;
        let count = rows.len();
        let step = if count <= S::ROWS { k.max(1) } else { DEPTH_STEP };
        let steps = k.div_ceil(step).max(1);
        let vectors = gemm::vectors(simd, count);
        let panels = columns.len().div_ceil(S::LANES);
        let depth_max = step.min(k);
        let own_b = if kernel.packed { 0 } else { panels * S::LANES * depth_max };
        let sums = gemm::sums_count(simd, count, panels.div_ceil(vectors), steps);
        let shared = (count * k <= SHARED_ROWS).then_some(Rows { matrix, first: rows.start });
        let a_count = if shared.is_some() { count * k } else { count * depth_max };
        let ([a_packed, b_packed, sums], blocks, held) =
            scratch.regions_with(shared, [a_count, own_b, sums])?;
        let (stride, first_panel) =
            if kernel.packed { (k, columns.start / S::LANES) } else { (depth_max, 0) };
        for index in 0..steps {
            let depth = index * step..((index + 1) * step).min(k);
            let first = if shared.is_some() { count * depth.start } else { 0 };
            let weights = &mut a_packed[first..][..count * depth.len()];
            if !held {
                pack_rows(simd, a, rows.clone(), depth.clone(), weights);
            }
            if !kernel.packed && !depth.is_empty() {
                let target = &mut b_packed[..panels * S::LANES * depth.len()];
                pack_columns(simd, b, columns.clone(), depth.clone(), target);
            }
            let (stride, origin) =
                if kernel.packed { (stride, depth.start) } else { (depth.len(), 0) };
            blocks.offsets.clear();
            blocks.offsets.extend((0..depth.len()).map(|i| (origin + i) * S::LANES));
            let bases = (first_panel, stride * S::LANES);
            let groups = group(simd, &mut blocks.groups, bases, vectors, columns.len());
            let step = Step {
                rows: count,
                weights,
                depth: depth.len(),
                offsets: &blocks.offsets,
                columns: if kernel.packed { b.data } else { b_packed },
                groups: &blocks.groups[..groups],
                first: index == 0,
                last: index + 1 == steps,
            };
            step.run(simd, sums, &mut finish);
        }
        Ok(())
    }
}

pub(super) fn a_matrix<'a>(
    kernel: &MatMul,
    operands: Operands<'a>,
    matrix: usize,
) -> Result<Matrix<'a>, Error> {
    let layout = &kernel.a;
    let rows = [kernel.m, layout.row];
    let count = reach(&kernel.batch, &layout.batch, rows, [kernel.k, layout.column]);
    let offset = batch_offset(&kernel.batch, &layout.batch, matrix);
    let data = operands.view::<f32>(0, count)?.all();
    Ok(Matrix { data: data.get(offset..).unwrap_or(&[]), row: layout.row, column: layout.column })
}

/// The plain matrix, or all of the packed one.
fn b_operand<'a, S: Simd>(
    _: S,
    kernel: &MatMul,
    operands: Operands<'a>,
    matrix: usize,
) -> Result<Matrix<'a>, Error> {
    let layout = &kernel.b;
    if kernel.packed {
        let count = kernel.n.next_multiple_of(S::LANES) * kernel.k;
        return Ok(Matrix { data: operands.view::<f32>(1, count)?.all(), row: 0, column: 0 });
    }
    let rows = [kernel.k, layout.row];
    let count = reach(&kernel.batch, &layout.batch, rows, [kernel.n, layout.column]);
    let offset = batch_offset(&kernel.batch, &layout.batch, matrix);
    let data = operands.view::<f32>(1, count)?.all();
    Ok(Matrix { data: data.get(offset..).unwrap_or(&[]), row: layout.row, column: layout.column })
}

/// Groups over `columns` columns that lie in panels; `bases` is the first panel and the distance
/// of two. Returns their number.
fn group<S: Simd>(
    _: S,
    groups: &mut Vec<Group>,
    bases: (usize, usize),
    vectors: usize,
    columns: usize,
) -> usize {
    let mut list = Groups::new(groups);
    let panels = columns.div_ceil(S::LANES);
    let vectors = even(panels, vectors);
    for first in (0..panels).step_by(vectors) {
        let group = list.add();
        for panel in first..panels.min(first + vectors) {
            let lane = (panel - first) * S::LANES;
            let target = panel * S::LANES;
            group.push((bases.0 + panel) * bases.1);
            group.run(lane, S::LANES.min(columns - target), target);
        }
    }
    list.finish()
}

/// Where the sums go.
pub(super) struct Output<'a> {
    alpha: f32,
    bias: Option<&'a [f32]>,
    residual: Option<View<'a, f32>>,
    activation: Function,
    y: View<'a, f32>,
    /// First element of the unit in `y`.
    first: usize,
    row: usize,
    column: usize,
}

impl<'a> Output<'a> {
    pub(super) fn new(
        kernel: &MatMul,
        operands: Operands<'a>,
        matrix: usize,
        row: usize,
        column: usize,
    ) -> Result<Self, Error> {
        let layout = &kernel.y;
        let columns = [kernel.n, layout.column];
        let count = reach(&kernel.batch, &layout.batch, [kernel.m, layout.row], columns);
        let offset = batch_offset(&kernel.batch, &layout.batch, matrix);
        let bias = kernel.bias.then(|| operands.view::<f32>(2, kernel.n)).transpose()?;
        let residual = 2 + usize::from(kernel.bias);
        let residual = kernel.residual.then(|| operands.view(residual, count)).transpose()?;
        Ok(Self {
            alpha: kernel.alpha,
            bias: bias.map(|bias| &bias.all()[column..]),
            residual,
            activation: kernel.activation,
            y: operands.output(count)?,
            first: offset + row * layout.row + column * layout.column,
            row: layout.row,
            column: layout.column,
        })
    }
}

impl Finish for Output<'_> {
    #[inline(always)]
    fn prepare<S: Simd>(&self, simd: S, row: usize, rows: usize, group: &Group) {
        if self.column != 1 {
            return;
        }
        let run = group.runs[0];
        for r in row..row + rows {
            let first = self.first + r * self.row + run.target;
            ask(simd, self.y.window(first, run.length));
            if let Some(residual) = &self.residual {
                ask(simd, residual.window(first, run.length));
            }
        }
    }

    #[inline(always)]
    fn finish<S: Simd>(
        &mut self,
        simd: S,
        row: usize,
        rows: usize,
        group: &Group,
        tile: &mut [f32],
    ) {
        let width = group.vectors * S::LANES;
        // Columns of a product are one run: the panels follow each other.
        let run = group.runs[0];
        let first = self.first + row * self.row + run.target * self.column;
        let tile = &mut tile[..rows * width];
        if self.column != 1 || run.length != width {
            return self.some(simd, tile, width, run, first);
        }
        // A loop for each choice of addends, so that no vector asks which there are.
        let bias = self.bias.map_or(&[][..], |bias| &bias[run.target..][..width]);
        match (self.bias.is_some(), self.residual.is_some()) {
            (false, false) => self.whole::<S, false, false>(simd, tile, bias, width, first),
            (false, true) => self.whole::<S, false, true>(simd, tile, bias, width, first),
            (true, false) => self.whole::<S, true, false>(simd, tile, bias, width, first),
            (true, true) => self.whole::<S, true, true>(simd, tile, bias, width, first),
        }
    }
}

impl Output<'_> {
    /// Finishes rows of whole vectors, the first of which goes to `first`.
    #[inline(always)]
    fn whole<S: Simd, const BIAS: bool, const RESIDUAL: bool>(
        &mut self,
        simd: S,
        tile: &mut [f32],
        bias: &[f32],
        width: usize,
        first: usize,
    ) {
        let alpha = simd.splat(self.alpha);
        let at_once = bounds(self.activation);
        for (r, start) in (0..tile.len()).step_by(width).enumerate() {
            let line = &mut tile[start..][..width];
            let place = first + r * self.row;
            let residual = match &self.residual {
                Some(residual) if RESIDUAL => residual.window(place, width),
                _ => &[],
            };
            let y = self.y.window_mut(place, width);
            for at in (0..width).step_by(S::LANES) {
                let mut sum = simd.load(&line[at..]);
                sum = if BIAS {
                    simd.fma(sum, alpha, simd.load(&bias[at..]))
                } else {
                    simd.mul(sum, alpha)
                };
                if RESIDUAL {
                    sum = simd.add(sum, simd.load(&residual[at..]));
                }
                match at_once {
                    Some(bounds) => simd.store(bound(simd, sum, bounds), &mut y[at..]),
                    None => simd.store(sum, &mut line[at..]),
                }
            }
        }
        if at_once.is_some() {
            return;
        }
        activate(simd, self.activation, tile);
        for (r, start) in (0..tile.len()).step_by(width).enumerate() {
            copy(simd, &tile[start..][..width], self.y.window_mut(first + r * self.row, width));
        }
    }

    /// Finishes rows of any length, whose elements may lie apart.
    #[inline(always)]
    fn some<S: Simd>(
        &mut self,
        simd: S,
        tile: &mut [f32],
        width: usize,
        run: gemm::Run,
        first: usize,
    ) {
        let alpha = simd.splat(self.alpha);
        for (r, start) in (0..tile.len()).step_by(width).enumerate() {
            let line = &mut tile[start..][..run.length];
            let place = first + r * self.row;
            for (v, lanes) in line.chunks_mut(S::LANES).enumerate() {
                let at = v * S::LANES;
                let sum = simd.load_some(lanes);
                let sum = match self.bias {
                    Some(bias) => {
                        let bias = simd.load_some(&bias[run.target + at..][..lanes.len()]);
                        simd.fma(sum, alpha, bias)
                    }
                    None => simd.mul(sum, alpha),
                };
                simd.store_some(sum, lanes);
            }
            if let Some(residual) = &self.residual {
                for (i, value) in line.iter_mut().enumerate() {
                    *value += residual.get(place + i * self.column);
                }
            }
        }
        activate(simd, self.activation, tile);
        for (r, start) in (0..tile.len()).step_by(width).enumerate() {
            let place = first + r * self.row;
            for (i, &value) in tile[start..][..run.length].iter().enumerate() {
                self.y.set(place + i * self.column, value);
            }
        }
    }
}

/// Packs the columns operand: one panel for each unit.
pub(super) mod packing {
    use super::*;

    /// How the packing is divided.
    pub(in crate::cpu::kernels) fn tiles(isa: Isa, kernel: &MatMul) -> Tiles {
        if !kernel.precision.takes_plain() {
            return dots::packing::tiles(kernel);
        }
        Tiles::new(kernel.n.div_ceil(isa.lanes()), kernel.k.saturating_mul(isa.lanes()))
    }

    /// Packs the panels of some tiles.
    pub(in crate::cpu::kernels) fn run(
        isa: Isa,
        kernel: &MatMul,
        operands: Operands<'_>,
        span: Span,
    ) -> Result<(), Error> {
        if !kernel.precision.takes_plain() {
            return dots::packing::run(kernel, operands, span);
        }
        let lanes = isa.lanes();
        let (k, layout) = (kernel.k, &kernel.b);
        let count = reach(&[], &[], [k, layout.row], [kernel.n, layout.column]);
        let data = operands.view::<f32>(0, count)?.all();
        let mut target = operands.output::<f32>(kernel.n.next_multiple_of(lanes) * k)?;
        if k == 0 {
            return Ok(());
        }
        let matrix = Matrix { data, row: layout.row, column: layout.column };
        for panel in tiles(isa, kernel).units(span) {
            let columns = part(panel, lanes, kernel.n);
            let target = target.window_mut(panel * lanes * k, lanes * k);
            isa.run(Panel { matrix, columns, depth: k, target });
        }
        Ok(())
    }

    struct Panel<'a> {
        matrix: Matrix<'a>,
        columns: Range<usize>,
        depth: usize,
        target: &'a mut [f32],
    }

    impl Work for Panel<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            pack_columns(simd, self.matrix, self.columns, 0..self.depth, self.target);
        }
    }
}
