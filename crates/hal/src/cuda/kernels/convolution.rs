//! Convolution.

use crate::error::Error;
use crate::kernel::{Conv2d, Function};

use super::arguments::{
    Structure, activation, launch, launch_threads, long, operand, optional, reciprocal, small, word,
};
use super::calls::{Call, Images, Product};
use super::patches::{self, Patches, Squares};
use super::tiles::{self, Cut, Extents, Kind};
use super::{Arithmetic, Launch, Lowered, Means, Parameter};

/// Output channels of a group below which every output is computed on its own.
const DIRECT_CHANNELS: usize = 8;

/// Sums from which on tensor cores take what is gathered from an image. With fewer, one caller
/// alone waits longer for them than for multiply-adds; several beside each other would get more.
/// With fewer bits they take a third of the products, and fewer sums are enough.
const GATHERED_SUMS: usize = 1 << 20;
const REDUCED_SUMS: usize = 1 << 17;

/// Products of a sum up to which a block has all that it multiplies at once: output channels and
/// pixels of such a block.
const THIN_DEPTH: usize = 32;
const THIN_TILE: [usize; 2] = [32, 32];
/// Blocks along the second and the third axis of a launch, at most.
const GRID_MAX: usize = 65535;

/// The extents of a weight.
struct Weight {
    outputs: usize,
    /// Input channels of a group.
    inputs: usize,
    taps: usize,
    depth: usize,
    /// Floats from one packed row to the next, and to what tensor cores leave over of it: a
    /// multiple of four, so that it can be read four by four.
    pitch: usize,
    apart: usize,
    /// The squares behind the packed rows.
    squares: Option<Squares>,
    /// Whether the weight lies behind them as it is.
    is_kept: bool,
}

impl Weight {
    fn of(kernel: &Conv2d, means: Means) -> Option<Self> {
        let Means { arithmetic, offer, .. } = means;
        let outputs = kernel.out_channels;
        let inputs = kernel.in_channels.checked_div(kernel.groups)?;
        let taps = kernel.kernel[0].checked_mul(kernel.kernel[1])?;
        let depth = inputs.checked_mul(taps)?;
        let apart = depth.checked_next_multiple_of(4)?;
        let pitch = apart.checked_mul(arithmetic.planes())?;
        let squares = Squares::of(kernel).filter(|_| arithmetic != Arithmetic::MultiplyAdd);
        let is_kept = offer.keeps_weight(arithmetic, kernel);
        Some(Self { outputs, inputs, taps, depth, pitch, apart, squares, is_kept })
    }

    /// Bytes of the packed rows.
    fn row_bytes(&self) -> Option<usize> {
        self.outputs.checked_mul(self.pitch)?.checked_mul(size_of::<f32>())
    }

    /// Where the squares are.
    fn squares_at(&self) -> Option<usize> {
        self.row_bytes()?.checked_next_multiple_of(256)
    }

    /// Bytes of the packed rows and the squares.
    fn own_bytes(&self) -> Option<usize> {
        match self.squares {
            Some(squares) => self.squares_at()?.checked_add(squares.bytes()?),
            None => self.row_bytes(),
        }
    }

    /// Where the weight is that is kept as it is.
    fn kept_at(&self) -> Option<usize> {
        self.own_bytes()?.checked_next_multiple_of(256)
    }

    fn packed_bytes(&self) -> Option<usize> {
        if !self.is_kept {
            return self.own_bytes();
        }
        let bytes = self.outputs.checked_mul(self.depth)?.checked_mul(size_of::<f32>())?;
        self.kept_at()?.checked_add(bytes)
    }

    /// Brings a weight into the order of output channel, tap, input channel, and into squares.
    fn pack(&self, from: &Parameter, to: &Parameter) -> Result<Lowered, Error> {
        let Self { outputs, inputs, taps, depth, pitch, apart, squares, is_kept } = *self;
        if outputs * depth == 0 {
            return Ok(Lowered::nothing());
        }
        let mut parameters = vec![from.clone(), to.clone()];
        let sizes = [outputs, depth, apart, pitch / apart, inputs, depth, 1, taps];
        parameters.extend(sizes.map(long));
        let mut launches = vec![launch_threads("ab_pack", outputs * pitch, parameters)?];
        if let Some(squares) = squares {
            let mut parameters = vec![from.clone(), to.behind(self.squares_at().unwrap_or(0))];
            parameters.extend(squares.sizes().map(long));
            launches.push(launch_threads(
                "ab_pack_squares",
                squares.floats().unwrap_or(0),
                parameters,
            )?);
        }
        if is_kept {
            let mut parameters = vec![from.clone(), to.behind(self.kept_at().unwrap_or(0))];
            let rows = [outputs, depth, depth, 1];
            parameters.extend(rows.into_iter().chain([depth, depth, 0, 1]).map(long));
            launches.push(launch_threads("ab_pack", outputs * depth, parameters)?);
        }
        Ok(Lowered { launches, ..Lowered::default() })
    }
}

/// How a convolution is computed.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// A thread for each output.
    Direct,
    /// A block for each tile, with all that it multiplies.
    Thin([u32; 2]),
    /// A block for each tile, or for a part of it.
    Tiled(Cut),
    /// A block for each tile of an image.
    Patched(Patches),
}

/// Bytes of the packed weight.
pub(super) fn packed_bytes(kernel: &Conv2d, means: Means) -> Option<usize> {
    Weight::of(kernel, means)?.packed_bytes()
}

fn weight(kernel: &Conv2d, means: Means) -> Result<Weight, Error> {
    let missing = || super::unsupported("the weight cannot be addressed");
    Weight::of(kernel, means).ok_or_else(missing)
}

pub(super) fn pack(kernel: &Conv2d, means: Means) -> Result<Lowered, Error> {
    weight(kernel, means)?.pack(&operand(0), &operand(1))
}

pub(super) fn lower(kernel: &Conv2d, means: Means) -> Result<Lowered, Error> {
    let Some(layer) = Layer::new(kernel, means)? else { return Ok(Lowered::nothing()) };
    let called = means.offer.images(means.arithmetic, kernel, layer.out_size);
    match called.filter(|_| means.calls) {
        Some(images) => layer.called(images),
        None => layer.lower(layer.way()),
    }
}

/// A convolution with all that its functions ask for.
struct Layer<'a> {
    kernel: &'a Conv2d,
    weight: Weight,
    arithmetic: Arithmetic,
    out_size: [usize; 2],
    extents: Extents,
}

impl<'a> Layer<'a> {
    /// `None` when there is nothing to write.
    fn new(kernel: &'a Conv2d, means: Means) -> Result<Option<Self>, Error> {
        let (mut weight, arithmetic) = (weight(kernel, means)?, means.arithmetic);
        weight.is_kept &= kernel.packed;
        let out_size = kernel.out_size().unwrap_or([0, 0]);
        let extents = Extents {
            count: kernel.groups,
            rows: kernel.out_channels / kernel.groups,
            columns: kernel.batch * out_size[0] * out_size[1],
            depth: weight.depth,
            is_gathered: true,
        };
        let outputs = extents.rows * extents.columns;
        let layer = Self { kernel, weight, arithmetic, out_size, extents };
        Ok((outputs > 0).then_some(layer))
    }

    /// The fastest way.
    fn way(&self) -> Way {
        let few = self.extents.rows < DIRECT_CHANNELS && self.kernel.groups > 1;
        if few || self.reciprocals().is_none() {
            return Way::Direct;
        }
        let least = match self.arithmetic {
            Arithmetic::Tf32 => REDUCED_SUMS,
            Arithmetic::MultiplyAdd | Arithmetic::Tensor => GATHERED_SUMS,
        };
        let is_large = least <= self.extents.rows * self.extents.columns;
        match self.patches() {
            Some(patches) => Way::Patched(patches),
            None if is_large => Way::Tiled(tiles::best(self.extents, self.arithmetic)),
            None => match self.thin_reciprocals() {
                Some(reciprocals) => Way::Thin(reciprocals),
                None => Way::Tiled(tiles::best(self.extents, Arithmetic::MultiplyAdd)),
            },
        }
    }

    /// How thin sums find their pixel: reciprocals of the pixels of an image and of the width of
    /// the output; `None` when the sums are long, or too many.
    fn thin_reciprocals(&self) -> Option<[u32; 2]> {
        let Extents { columns, count, rows, .. } = self.extents;
        let [height, width] = self.out_size;
        let is_thin = self.weight.depth <= THIN_DEPTH
            && self.reciprocals().is_some()
            && count.max(rows.div_ceil(THIN_TILE[0])) <= GRID_MAX;
        let found = [reciprocal(columns, height * width)?, reciprocal(columns, width)?];
        is_thin.then_some(found)
    }

    fn patches(&self) -> Option<Patches> {
        self.weight.squares.and_then(|_| Patches::of(self.kernel, self.out_size))
    }

    /// Lowers with the packed weight: the operand, or scratch memory that it is packed to first.
    fn lower(&self, way: Way) -> Result<Lowered, Error> {
        let lower = |weight, scratch| match way {
            Way::Direct => self.direct(weight),
            Way::Thin(reciprocals) => self.thin(weight, reciprocals),
            Way::Tiled(cut) => self.tiled(weight, scratch, cut),
            Way::Patched(patches) => self.patched(&weight, patches),
        };
        if self.kernel.packed {
            return lower(operand(1), 0);
        }
        let bytes = self.weight.packed_bytes().unwrap_or(0).next_multiple_of(256);
        let mut lowered = self.weight.pack(&operand(1), &Parameter::Scratch(0))?;
        let layer = lower(Parameter::Scratch(0), bytes)?;
        lowered.launches.extend(layer.launches);
        lowered.scratch_bytes = bytes + layer.scratch_bytes;
        Ok(lowered)
    }

    fn structure(&self, cut: [usize; 2], tiles: [usize; 2]) -> Result<Parameter, Error> {
        let kernel = self.kernel;
        let [height, width] = kernel.in_size;
        let [top, left, bottom, right] = kernel.pads;
        for (what, size) in [
            ("rows of a padded image", height + top + bottom),
            ("columns of a padded image", width + left + right),
            ("pixels of an image", self.out_size[0] * self.out_size[1]),
        ] {
            small(what, size)?;
        }
        let inputs = self.weight.inputs;
        let sizes = [kernel.batch, kernel.in_channels, kernel.out_channels, kernel.groups]
            .into_iter()
            .chain(kernel.in_size)
            .chain(self.out_size)
            .chain(kernel.kernel)
            .chain(kernel.stride)
            .chain(kernel.dilation)
            .chain([top, left, inputs, self.extents.rows, self.weight.depth, self.weight.pitch])
            .chain(tiles)
            .chain([cut[1], cut[0]])
            .map(|size| small("an extent of a convolution", size))
            .collect::<Result<Vec<u32>, Error>>()?;
        Ok(Structure::default()
            .words(sizes)
            .words(self.reciprocals().unwrap_or_default())
            .long(self.extents.columns)
            .activation(kernel.activation)
            .done())
    }

    /// The reciprocals by which tiles find their way in the window; `None` when the shape is too
    /// large for tiles.
    fn reciprocals(&self) -> Option<[u32; 2]> {
        let Weight { inputs, depth, .. } = self.weight;
        let [height, width] = self.kernel.in_size;
        let group = inputs.checked_mul(height)?.checked_mul(width)?;
        let found = [inputs, self.kernel.kernel[1]].map(|divisor| reciprocal(depth, divisor));
        let fits = group < 1 << 31 && self.extents.columns < 1 << 31;
        fits.then_some([found[0]?, found[1]?])
    }

    /// Bias, residual and output.
    fn targets(&self) -> Vec<Parameter> {
        let mut next = 2;
        let bias = optional(self.kernel.bias, &mut next);
        let residual = optional(self.kernel.residual, &mut next);
        vec![bias, residual, operand(next)]
    }

    fn patched(&self, weight: &Parameter, patches: Patches) -> Result<Lowered, Error> {
        let function = match self.arithmetic {
            Arithmetic::Tf32 => "ab_conv_patch_tf32",
            Arithmetic::MultiplyAdd | Arithmetic::Tensor => "ab_conv_patch",
        };
        let squares = weight.behind(self.weight.squares_at().unwrap_or(0));
        let mut parameters = vec![operand(0), squares];
        parameters.extend(self.targets());
        parameters.extend([self.structure([1, 0], [0, 0])?, patches.structure()?]);
        let threads = [patches::THREADS, 1, 1];
        let mut launch = launch(function, 1, threads, parameters)?;
        launch.grid = patches.grid()?;
        launch.shared_bytes = small(function, patches.shared_bytes().unwrap_or(usize::MAX))?;
        Ok(Lowered::one(launch))
    }

    fn direct(&self, weight: Parameter) -> Result<Lowered, Error> {
        let mut parameters = vec![operand(0), weight];
        parameters.extend(self.targets());
        parameters.push(self.structure([1, 0], [0, 0])?);
        let outputs = self.kernel.out_channels * self.extents.columns;
        launch_threads("ab_conv_direct", outputs, parameters).map(Lowered::one)
    }

    fn thin(&self, weight: Parameter, reciprocals: [u32; 2]) -> Result<Lowered, Error> {
        let mut parameters = vec![operand(0), weight];
        parameters.extend(self.targets());
        parameters.push(self.structure([1, 0], [0, 0])?);
        parameters.extend(reciprocals.map(word));
        let Extents { columns, rows, count, .. } = self.extents;
        let across = columns.div_ceil(THIN_TILE[1]);
        let mut launch = launch("ab_conv_thin", across, [256, 1, 1], parameters)?;
        launch.grid[1] = small("tiles of channels", rows.div_ceil(THIN_TILE[0]))?;
        launch.grid[2] = small("groups of channels", count)?;
        Ok(Lowered::one(launch))
    }

    /// Partial sums lie `scratch` bytes into the scratch memory.
    fn tiled(&self, weight: Parameter, scratch: usize, cut: Cut) -> Result<Lowered, Error> {
        let tiles = cut.tiles(self.extents);
        let function = cut.tile.convolution;
        let mut parameters = vec![operand(0), weight];
        parameters.extend(self.targets());
        let partial = Parameter::Scratch(scratch);
        parameters.extend([partial.clone(), self.structure([cut.parts, cut.part], tiles)?]);
        let blocks = tiles[0].saturating_mul(tiles[1]).saturating_mul(self.extents.count);
        let mut first = launch(function, blocks, [cut.tile.threads, 1, 1], parameters)?;
        first.grid[1] = small(function, cut.parts)?;
        let kind = if cut.is_split() { Kind::SplitFlat } else { Kind::Flat };
        first.shared_bytes = small(function, cut.tile.shared_bytes(kind))?;
        if cut.parts == 1 {
            return Ok(Lowered::one(first));
        }
        let join = self.join(partial, cut.parts)?;
        let size = self.kernel.out_channels * self.extents.columns;
        let scratch_bytes = cut.parts * size * size_of::<f32>();
        Ok(Lowered { launches: vec![first, join], scratch_bytes, call: None })
    }

    /// What comes behind sums, whose parts lie at `partial`.
    fn join(&self, partial: Parameter, parts: usize) -> Result<Launch, Error> {
        let size = self.kernel.out_channels * self.extents.columns;
        let mut parameters = self.targets();
        parameters.extend([partial, long(size)]);
        let pixels = small("pixels of an image", self.out_size[0] * self.out_size[1])?;
        let channels = small("output channels", self.kernel.out_channels)?;
        let parts = small("parts of a convolution", parts)?;
        parameters.extend([pixels, channels, parts, 0].map(word));
        parameters.push(activation(self.kernel.activation));
        launch_threads("ab_conv_join", size.div_ceil(4), parameters)
    }

    /// Sums that a library makes, where they belong.
    fn called(&self, images: Images) -> Result<Lowered, Error> {
        let Conv2d { bias, residual, activation, packed, .. } = *self.kernel;
        let kept = if packed { self.weight.kept_at().unwrap_or(0) } else { 0 };
        let sums = operand(2 + usize::from(bias) + usize::from(residual));
        let mut lowered = Lowered::default();
        if bias || residual || activation != Function::Identity {
            lowered.launches.push(self.join(sums.clone(), 1)?);
        }
        let operands = [operand(0), operand(1).behind(kept), sums];
        lowered.call = Some(Call { product: Product::Images(images), operands });
        Ok(lowered)
    }
}

/// Every way to compute a convolution that the module has functions for.
#[cfg(test)]
pub(super) fn all(kernel: &Conv2d, arithmetic: Arithmetic) -> Vec<Lowered> {
    let layer = Layer::new(kernel, arithmetic.into()).expect("the shape is small");
    let Some(layer) = layer else { return Vec::new() };
    let cuts = tiles::cuts(layer.extents, arithmetic).map(Way::Tiled);
    let thin = layer.thin_reciprocals().map(Way::Thin);
    let ways = cuts.chain(layer.patches().map(Way::Patched)).chain(thin).chain([Way::Direct]);
    ways.map(|way| layer.lower(way).expect("the shape is small")).collect()
}
