//! Convolution.

use crate::error::Error;
use crate::kernel::Conv2d;

use super::arguments::{
    Structure, activation, launch, launch_threads, long, operand, optional, small, word,
};
use super::tiles::{self, Cut, Extents, Kind};
use super::patches::{self, Patches};
use super::{Arithmetic, Lowered, Parameter};

/// Output channels of a group below which every output is computed on its own.
const DIRECT_CHANNELS: usize = 8;

/// The extents of a weight.
struct Weight {
    outputs: usize,
    /// Input channels of a group.
    inputs: usize,
    taps: usize,
    depth: usize,
    /// Floats that a part of a packed row takes: a multiple of four, so that it can be read four by
    /// four.
    pitch: usize,
}

impl Weight {
    fn of(kernel: &Conv2d) -> Option<Self> {
        let inputs = kernel.in_channels.checked_div(kernel.groups)?;
        let taps = kernel.kernel[0].checked_mul(kernel.kernel[1])?;
        let depth = inputs.checked_mul(taps)?;
        let pitch = depth.checked_next_multiple_of(4)?;
        Some(Self { outputs: kernel.out_channels, inputs, taps, depth, pitch })
    }

    fn packed_bytes(&self, packing: Packing) -> Option<usize> {
        let floats = match packing {
            Packing::Rows { planes } => self.outputs.checked_mul(self.pitch)?.checked_mul(planes)?,
            Packing::Squares(patches) => patches.packed_floats()?,
        };
        floats.checked_mul(size_of::<f32>())
    }

    /// Brings a weight into the device's layout.
    fn pack(&self, packing: Packing, from: Parameter, to: Parameter) -> Result<Lowered, Error> {
        if self.outputs * self.depth == 0 {
            return Ok(Lowered::nothing());
        }
        let Self { outputs, inputs, taps, depth, pitch } = *self;
        let mut parameters = vec![from, to];
        let launch = match packing {
            Packing::Rows { planes } => {
                let sizes = [outputs, depth, pitch, planes, inputs, depth, 1, taps];
                parameters.extend(sizes.map(long));
                launch_threads("ab_pack", outputs * planes * pitch, parameters)
            }
            Packing::Squares(patches) => {
                parameters.extend(patches.packing().map(long));
                let floats = patches.packed_floats().unwrap_or(0);
                launch_threads("ab_pack_squares", floats, parameters)
            }
        };
        launch.map(Lowered::one)
    }
}

/// How the weight lies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Packing {
    /// In the order of output channel, part, tap, input channel. Tensor cores take two parts of each
    /// element.
    Rows { planes: usize },
    /// In the order of the registers of the tensor cores.
    Squares(Patches),
}

/// How a convolution is computed.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// A thread for each output.
    Direct,
    /// A block for each tile, or for a part of it.
    Tiled(Cut),
    /// A block for each tile of an image.
    Patched(Patches),
}

impl Way {
    fn packing(self) -> Packing {
        match self {
            Self::Direct => Packing::Rows { planes: 1 },
            Self::Tiled(cut) => Packing::Rows { planes: 1 + usize::from(cut.is_tensor()) },
            Self::Patched(patches) => Packing::Squares(patches),
        }
    }
}

/// Bytes of the packed weight.
pub(super) fn packed_bytes(kernel: &Conv2d, arithmetic: Arithmetic) -> Option<usize> {
    Weight::of(kernel)?.packed_bytes(packing(kernel, arithmetic).ok()?)
}

fn weight(kernel: &Conv2d) -> Result<Weight, Error> {
    Weight::of(kernel).ok_or_else(|| super::unsupported("the weight cannot be addressed"))
}

pub(super) fn pack(kernel: &Conv2d, arithmetic: Arithmetic) -> Result<Lowered, Error> {
    weight(kernel)?.pack(packing(kernel, arithmetic)?, operand(0), operand(1))
}

fn packing(kernel: &Conv2d, arithmetic: Arithmetic) -> Result<Packing, Error> {
    let layer = Layer::new(kernel)?;
    Ok(layer.map_or(Way::Direct, |layer| layer.way(arithmetic)).packing())
}

pub(super) fn lower(kernel: &Conv2d, arithmetic: Arithmetic) -> Result<Lowered, Error> {
    match Layer::new(kernel)? {
        Some(layer) => layer.lower(layer.way(arithmetic)),
        None => Ok(Lowered::nothing()),
    }
}

/// A convolution with all that its functions ask for.
struct Layer<'a> {
    kernel: &'a Conv2d,
    weight: Weight,
    out_size: [usize; 2],
    extents: Extents,
}

impl<'a> Layer<'a> {
    /// `None` when there is nothing to write.
    fn new(kernel: &'a Conv2d) -> Result<Option<Self>, Error> {
        let out_size = kernel.out_size().unwrap_or([0, 0]);
        let extents = Extents {
            count: kernel.groups,
            rows: kernel.out_channels / kernel.groups,
            columns: kernel.batch * out_size[0] * out_size[1],
            depth: weight(kernel)?.depth,
            is_gathered: true,
        };
        let outputs = extents.rows * extents.columns;
        Ok((outputs > 0).then_some(Self { kernel, weight: weight(kernel)?, out_size, extents }))
    }

    /// The fastest way.
    fn way(&self, arithmetic: Arithmetic) -> Way {
        let few = self.extents.rows < DIRECT_CHANNELS && self.kernel.groups > 1;
        if few || self.reciprocals().is_none() {
            return Way::Direct;
        }
        let patches = Patches::of(self.kernel, self.out_size);
        match patches.filter(|_| arithmetic == Arithmetic::Tensor) {
            Some(patches) => Way::Patched(patches),
            None => Way::Tiled(tiles::best(self.extents, arithmetic)),
        }
    }

    /// Lowers with the packed weight: the operand, or scratch memory that it is packed to first.
    fn lower(&self, way: Way) -> Result<Lowered, Error> {
        let lower = |weight, scratch| match way {
            Way::Direct => self.direct(weight),
            Way::Tiled(cut) => self.tiled(weight, scratch, cut),
            Way::Patched(patches) => self.patched(weight, patches),
        };
        if self.kernel.packed {
            return lower(operand(1), 0);
        }
        let packing = way.packing();
        let bytes = self.weight.packed_bytes(packing).unwrap_or(0).next_multiple_of(256);
        let mut lowered = self.weight.pack(packing, operand(1), Parameter::Scratch(0))?;
        let layer = lower(Parameter::Scratch(0), bytes)?;
        lowered.launches.extend(layer.launches);
        lowered.scratch_bytes = bytes + layer.scratch_bytes;
        Ok(lowered)
    }

    fn structure(
        &self,
        cut: [usize; 2],
        tiles: [usize; 2],
        planes: usize,
    ) -> Result<Parameter, Error> {
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
            .chain([top, left, inputs, self.extents.rows, self.weight.depth])
            .chain([planes * self.weight.pitch])
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

    fn patched(&self, weight: Parameter, patches: Patches) -> Result<Lowered, Error> {
        let function = "ab_conv_patch";
        let mut parameters = vec![operand(0), weight];
        parameters.extend(self.targets());
        parameters.extend([self.structure([1, 0], [0, 0], 1)?, patches.structure()?]);
        let threads = [patches::THREADS, 1, 1];
        let mut launch = launch(function, patches.blocks(), threads, parameters)?;
        launch.shared_bytes = small(function, patches.shared_bytes().unwrap_or(usize::MAX))?;
        Ok(Lowered::one(launch))
    }

    fn direct(&self, weight: Parameter) -> Result<Lowered, Error> {
        let mut parameters = vec![operand(0), weight];
        parameters.extend(self.targets());
        parameters.push(self.structure([1, 0], [0, 0], 1)?);
        let outputs = self.kernel.out_channels * self.extents.columns;
        launch_threads("ab_conv_direct", outputs, parameters).map(Lowered::one)
    }

    /// Partial sums lie `scratch` bytes into the scratch memory.
    fn tiled(&self, weight: Parameter, scratch: usize, cut: Cut) -> Result<Lowered, Error> {
        let tiles = cut.tiles(self.extents);
        let function = cut.tile.convolution;
        let mut parameters = vec![operand(0), weight];
        parameters.extend(self.targets());
        let partial = Parameter::Scratch(scratch);
        let planes = 1 + usize::from(cut.is_tensor());
        parameters.extend([partial.clone(), self.structure([cut.parts, cut.part], tiles, planes)?]);
        let blocks = tiles[0].saturating_mul(tiles[1]).saturating_mul(self.extents.count);
        let mut first = launch(function, blocks, [cut.tile.threads, 1, 1], parameters)?;
        first.grid[1] = small(function, cut.parts)?;
        first.shared_bytes = small(function, cut.tile.shared_bytes(Kind::SplitFlat))?;
        if cut.parts == 1 {
            return Ok(Lowered::one(first));
        }
        let size = self.kernel.out_channels * self.extents.columns;
        let mut parameters = self.targets();
        parameters.extend([partial, long(size)]);
        let pixels = small("pixels of an image", self.out_size[0] * self.out_size[1])?;
        let channels = small("output channels", self.kernel.out_channels)?;
        let parts = small("parts of a convolution", cut.parts)?;
        parameters.extend([pixels, channels, parts, 0].map(word));
        parameters.push(activation(self.kernel.activation));
        let join = launch_threads("ab_conv_join", size.div_ceil(4), parameters)?;
        let scratch_bytes = cut.parts * size * size_of::<f32>();
        Ok(Lowered { launches: vec![first, join], scratch_bytes })
    }
}

/// A number whose product with any number up to `most` has the quotient by `divisor` as its high
/// word, and 0 for a divisor that changes nothing; `None` when 32 bits are too few.
fn reciprocal(most: usize, divisor: usize) -> Option<u32> {
    if divisor < 2 {
        return Some(0);
    }
    most.checked_mul(divisor).filter(|&product| product < 1 << 32)?;
    u32::try_from((1usize << 32).div_ceil(divisor)).ok()
}

/// Every way to compute a convolution that the module has functions for: the bytes of the weight that
/// is packed for it, how it is packed, and what is launched.
#[cfg(test)]
pub(super) fn all(kernel: &Conv2d) -> Vec<(usize, Lowered, Lowered)> {
    let weight = weight(kernel).expect("the shape is small");
    let layer = Layer::new(kernel).expect("the shape is small");
    let Some(layer) = layer else { return Vec::new() };
    let cuts = tiles::cuts(layer.extents, Arithmetic::Tensor).map(Way::Tiled);
    let patches = Patches::of(kernel, layer.out_size).map(Way::Patched);
    let ways = cuts.chain(patches).chain([Way::Direct]).map(|way| {
        let packing = way.packing();
        let bytes = weight.packed_bytes(packing).expect("the shape is small");
        let pack = weight.pack(packing, operand(0), operand(1)).expect("the shape is small");
        (bytes, pack, layer.lower(way).expect("the shape is small"))
    });
    ways.collect()
}
