//! Batched matrix multiplication.

use crate::error::Error;
use crate::kernel::{Function, MatMul};

use super::arguments::{Structure, launch, launch_threads, long, operand, optional, small};
use super::axes::{Axes, Axis};
use super::calls::{self, Call, Matrices};
use super::tiles::{self, Cut, Extents, Kind};
use super::{Arithmetic, Launch, Lowered, MULTIPROCESSORS, Means, Parameter};

/// Batch axes that a function takes.
const BATCH_AXES_MAX: usize = 8;
/// Rows of `a` up to which `b` is streamed past all of them.
const FEW_ROWS: usize = 8;
/// Columns of `y` that one block streams, at most.
const STREAM_COLUMNS: usize = 8;

/// Floats from one packed column to the next, and to what tensor cores leave over of it: a multiple
/// of four, so that it can be read four by four.
fn pitches(kernel: &MatMul, arithmetic: Arithmetic) -> [usize; 2] {
    let pitch = kernel.k.next_multiple_of(4);
    [arithmetic.planes() * pitch, pitch]
}

/// Bytes of the packed operand: its columns, one after the other.
pub(super) fn packed_bytes(kernel: &MatMul, arithmetic: Arithmetic) -> Option<usize> {
    if kernel.b.batch.iter().any(|&stride| stride != 0) {
        return None;
    }
    let column = kernel.k.checked_next_multiple_of(4)?.checked_mul(arithmetic.planes())?;
    column.checked_mul(kernel.n)?.checked_mul(size_of::<f32>())
}

pub(super) fn pack(kernel: &MatMul, arithmetic: Arithmetic) -> Result<Lowered, Error> {
    if kernel.k == 0 || kernel.n == 0 {
        return Ok(Lowered::nothing());
    }
    let [column, pitch] = pitches(kernel, arithmetic);
    let strides = [kernel.b.column, 0, kernel.b.row];
    let mut parameters = vec![operand(0), operand(1)];
    parameters.extend([kernel.n, kernel.k, pitch, arithmetic.planes(), kernel.k].map(long));
    parameters.extend(strides.map(long));
    launch_threads("ab_pack", kernel.n * column, parameters).map(Lowered::one)
}

/// A product with all that its functions ask for.
struct Product<'a> {
    kernel: &'a MatMul,
    batch: Axes<3>,
    extents: Extents,
    /// Strides of `b`, and how far what tensor cores leave over of it is behind it.
    row: usize,
    column: usize,
    apart: usize,
}

pub(super) fn lower(kernel: &MatMul, means: Means) -> Result<Lowered, Error> {
    let Means { arithmetic, offer, calls } = means;
    let Some(product) = Product::new(kernel, arithmetic) else { return Ok(Lowered::nothing()) };
    let strides = [product.row, product.column];
    if calls && let Some(call) = offer.matrices(arithmetic, kernel, &product.batch, strides) {
        return product.called(call);
    }
    match product.way(arithmetic) {
        Some(cut) => product.tiled(cut),
        None => product.few_rows(),
    }
}

impl<'a> Product<'a> {
    /// `None` when there is nothing to write.
    fn new(kernel: &'a MatMul, arithmetic: Arithmetic) -> Option<Self> {
        let axis = |(axis, &extent)| {
            let strides = [&kernel.a, &kernel.b, &kernel.y].map(|layout| layout.batch[axis]);
            Axis { extent, strides }
        };
        let batch = Axes::joined(kernel.batch.iter().enumerate().map(axis));
        let (count, rows, columns) = (batch.count(), kernel.m, kernel.n);
        let [pitch, apart] = pitches(kernel, arithmetic);
        let (row, column) =
            if kernel.packed { (1, pitch) } else { (kernel.b.row, kernel.b.column) };
        let extents = Extents { count, rows, columns, depth: kernel.k, is_gathered: false };
        (count * rows * columns > 0).then_some(Self { kernel, batch, extents, row, column, apart })
    }

    /// The tiles that compute it; `None` for a warp for each column.
    fn way(&self, arithmetic: Arithmetic) -> Option<Cut> {
        let streams = self.kernel.m <= FEW_ROWS && self.is_deep();
        (!streams).then(|| tiles::best(self.extents, arithmetic))
    }

    /// Whether the columns of `b` are contiguous, and its rows are not.
    fn is_deep(&self) -> bool {
        self.kernel.packed || self.row == 1 && self.column != 1
    }

    fn structure(&self, cut: [usize; 2], tiles: [usize; 2]) -> Result<Parameter, Error> {
        let MatMul { m, n, k, .. } = *self.kernel;
        let (a, y) = (&self.kernel.a, &self.kernel.y);
        let structure = Structure::default()
            .longs([m, n, k, a.row, a.column, self.row, self.column, y.row, y.column])
            .longs([cut[1], self.apart, self.extents.count])
            .word(small("parts of a product", cut[0])?)
            .word(small("tiles of a product", tiles[0])?)
            .word(small("tiles of a product", tiles[1])?)
            .float(self.kernel.alpha)
            .activation(self.kernel.activation);
        Ok(self.batch.add_to(structure, BATCH_AXES_MAX)?.done())
    }

    /// Bias, residual and output.
    fn targets(&self) -> Vec<Parameter> {
        let mut next = 2;
        let bias = optional(self.kernel.bias, &mut next);
        let residual = optional(self.kernel.residual, &mut next);
        vec![bias, residual, operand(next)]
    }

    /// A warp for each column of `y`.
    fn few_rows(&self) -> Result<Lowered, Error> {
        let function = match self.kernel.m {
            1 => "ab_matmul_rows_1",
            2 => "ab_matmul_rows_2",
            3 | 4 => "ab_matmul_rows_4",
            _ => "ab_matmul_rows_8",
        };
        let Extents { count, columns, depth, .. } = self.extents;
        let warps = (count * columns / MULTIPROCESSORS).clamp(1, STREAM_COLUMNS);
        let across = columns.div_ceil(warps);
        let mut parameters = vec![operand(0), operand(1)];
        parameters.extend(self.targets());
        parameters.push(self.structure([1, depth], [1, across])?);
        let threads = small(function, 32 * warps)?;
        launch(function, count * across, [threads, 1, 1], parameters).map(Lowered::one)
    }

    /// A block for each tile, or for a part of it.
    fn tiled(&self, cut: Cut) -> Result<Lowered, Error> {
        let tiles = cut.tiles(self.extents);
        let kind = match (self.kernel.packed && cut.is_split(), self.is_deep()) {
            (true, _) => Kind::DeepSplit,
            (false, true) => Kind::Deep,
            (false, false) => Kind::Flat,
        };
        let function = cut.tile.matmul[kind as usize];
        let structure = self.structure([cut.parts, cut.part], tiles)?;
        let mut parameters = vec![operand(0), operand(1)];
        parameters.extend(self.targets());
        parameters.extend([Parameter::Scratch(0), structure.clone()]);
        let Extents { count, rows, columns, .. } = self.extents;
        let blocks = tiles[0].saturating_mul(tiles[1]).saturating_mul(count);
        let mut first = launch(function, blocks, [cut.tile.threads, 1, 1], parameters)?;
        first.grid[1] = small(function, cut.parts)?;
        first.shared_bytes = small(function, cut.tile.shared_bytes(kind))?;
        if cut.parts == 1 {
            return Ok(Lowered::one(first));
        }
        let join = self.join(Parameter::Scratch(0), structure)?;
        let scratch_bytes = cut.parts * count * rows * columns * size_of::<f32>();
        Ok(Lowered { launches: vec![first, join], scratch_bytes, call: None })
    }

    /// What comes behind sums, which lie at `partial`.
    fn join(&self, partial: Parameter, structure: Parameter) -> Result<Launch, Error> {
        let Extents { count, rows, columns, .. } = self.extents;
        let mut parameters = self.targets();
        parameters.extend([partial, structure]);
        launch_threads("ab_matmul_join", count * rows * columns.div_ceil(4), parameters)
    }

    /// Whether the sums lie as those of a library do.
    fn is_dense(&self) -> bool {
        let MatMul { m, n, ref y, .. } = *self.kernel;
        let steps = match self.batch.0[..] {
            [] => true,
            [axis] => axis.strides[2] == m * n,
            _ => false,
        };
        y.column == 1 && y.row == n && steps
    }

    /// Sums that a library makes, where they belong or else in scratch memory.
    fn called(&self, product: Matrices) -> Result<Lowered, Error> {
        let MatMul { alpha, bias, residual, activation, .. } = *self.kernel;
        let is_dense = self.is_dense();
        let output = operand(2 + usize::from(bias) + usize::from(residual));
        let sums = if is_dense { output } else { Parameter::Scratch(0) };
        let is_plain = alpha.to_bits() == 1_f32.to_bits() && !bias && !residual;
        let mut lowered = Lowered::default();
        if !(is_plain && activation == Function::Identity && is_dense) {
            let structure = self.structure([1, self.extents.depth], [1, 1])?;
            lowered.launches.push(self.join(sums.clone(), structure)?);
        }
        if !is_dense {
            let Extents { count, rows, columns, .. } = self.extents;
            lowered.scratch_bytes = count * rows * columns * size_of::<f32>();
        }
        let product = calls::Product::Matrices(product);
        lowered.call = Some(Call { product, operands: [operand(0), operand(1), sums] });
        Ok(lowered)
    }
}

/// Every way to compute a product that the module has functions for.
#[cfg(test)]
pub(super) fn all(kernel: &MatMul, arithmetic: Arithmetic) -> Vec<Lowered> {
    let Some(product) = Product::new(kernel, arithmetic) else { return Vec::new() };
    let cuts = tiles::cuts(product.extents, arithmetic);
    let mut all: Vec<_> = cuts.map(|cut| product.tiled(cut)).collect();
    if kernel.m <= FEW_ROWS {
        all.push(product.few_rows());
    }
    all.into_iter().map(|lowered| lowered.expect("the shape is small")).collect()
}
