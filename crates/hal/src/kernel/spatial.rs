//! Windows over volumes, and regions of images.

use super::check::{Mismatch, OperandSpec, read, write};
use super::extent::{elements, positive};
use crate::dtype::DType;

/// Windows over a volume: one entry for depth, height and width, of which the first may be 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Extents of the volume.
    pub size: [usize; 3],
    /// Windows along each axis.
    pub count: [usize; 3],
    /// Extents of a window.
    pub kernel: [usize; 3],
    /// Step of the window.
    pub stride: [usize; 3],
    /// Distance of the window's elements.
    pub dilation: [usize; 3],
    /// How far the first window begins before the volume.
    pub before: [usize; 3],
}

impl Windows {
    /// Refuses windows that name an element beyond what can be addressed.
    fn check(&self, what: &'static str) -> Result<(), Mismatch> {
        elements(what, &self.size)?;
        elements(what, &self.count)?;
        elements(what, &self.kernel)?;
        for axis in 0..3 {
            positive(what, self.kernel[axis])?;
            positive(what, self.stride[axis])?;
            positive(what, self.dilation[axis])?;
            // The farthest element that a window names, before it is clipped to the volume.
            let reach = self.count[axis]
                .saturating_sub(1)
                .checked_mul(self.stride[axis])
                .zip((self.kernel[axis] - 1).checked_mul(self.dilation[axis]))
                .and_then(|(first, window)| first.checked_add(window))
                .filter(|&reach| reach <= isize::MAX as usize / 4);
            let end = self.size[axis].checked_add(self.before[axis]);
            if reach.is_none() || end.is_none_or(|end| isize::MAX as usize / 4 < end) {
                return Err(Mismatch::new(what, "addressable windows", format!("{self:?}")));
            }
        }
        Ok(())
    }

    fn taps(&self) -> usize {
        self.kernel.iter().product()
    }
}

/// The place of the largest element that each window sees: the first of equal ones, and NaN is
/// larger than every number. It counts all elements before, in all planes; within a plane the last
/// axis first, or the first axis first. A window that sees nothing has the first element of its
/// plane.
///
/// Operands: `x` of `[planes, size…]`, `y` of `[planes, count…]` (`i64`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peak {
    /// Images times channels.
    pub planes: usize,
    /// The windows.
    pub windows: Windows,
    /// Whether the first axis is counted first.
    pub columns_first: bool,
}

impl Peak {
    /// The operands, where a float has so many bytes.
    pub(super) fn operands(&self, float: usize) -> Result<Vec<OperandSpec>, Mismatch> {
        let what = "windows whose largest element is looked for";
        self.windows.check(what)?;
        let [d, h, w] = self.windows.size;
        let [od, oh, ow] = self.windows.count;
        let x = elements(what, &[self.planes, d, h, w])?;
        let y = elements(what, &[self.planes, od, oh, ow])?;
        Ok(vec![read(x, float), write(y, DType::I64.bytes())])
    }

    pub(super) fn comparisons(&self) -> [usize; 3] {
        [self.planes, self.windows.count.iter().product(), self.windows.taps()]
    }
}

/// Windows that are laid back where they lie: each element of a plane is the sum of what windows
/// have there, in `f64`, tap after tap.
///
/// Operands: windows of `[planes, kernel…, count…]`, `y` of `[planes, size…]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fold {
    /// Images times channels.
    pub planes: usize,
    /// The windows.
    pub windows: Windows,
}

impl Fold {
    /// The operands, where a float has so many bytes.
    pub(super) fn operands(&self, float: usize) -> Result<Vec<OperandSpec>, Mismatch> {
        let what = "windows that are laid back";
        self.windows.check(what)?;
        let ([d, h, w], [kd, kh, kw]) = (self.windows.size, self.windows.kernel);
        let [od, oh, ow] = self.windows.count;
        let x = elements(what, &[self.planes, kd, kh, kw, od, oh, ow])?;
        let y = elements(what, &[self.planes, d, h, w])?;
        Ok(vec![read(x, float), write(y, float)])
    }

    pub(super) fn additions(&self) -> [usize; 3] {
        [self.planes, self.windows.count.iter().product(), self.windows.taps()]
    }
}

/// Parts of regions of images, as ONNX defines `RoiAlign`: samples of each part are interpolated
/// between four elements; their mean is the result, or the largest term of any of them, where NaN
/// is larger than every number. Places are computed in `f64`, and so are sums. A region whose image
/// there is not, or a part with more samples along a side than [`Regions::SAMPLES_MAX`], fails the
/// command.
///
/// Operands: `x` of `[batch, channels, h, w]`, regions of `[count, 4]` (left, top, right, bottom),
/// the image of each (`i64`; a negative one counts from the end), `y` of `[count, channels,
/// parts…]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Regions {
    /// Images.
    pub batch: usize,
    /// Channels of an image.
    pub channels: usize,
    /// Height and width of an image; not 0.
    pub in_size: [usize; 2],
    /// Regions.
    pub count: usize,
    /// Parts of a region along height and width.
    pub parts: [usize; 2],
    /// How many elements a step of a region is.
    pub scale: f32,
    /// Samples along each side of a part; 0 for as many as it has elements.
    pub samples: usize,
    /// Whether elements lie half a step from the begin of an image.
    pub half_pixel: bool,
    /// Whether the largest term is the result.
    pub largest: bool,
}

impl Regions {
    /// Samples along one side of a part: regions come from data, and may be anything.
    pub const SAMPLES_MAX: usize = 1 << 12;

    /// The operands, where a float has so many bytes.
    pub(super) fn operands(&self, float: usize) -> Result<Vec<OperandSpec>, Mismatch> {
        let Self { batch, channels, in_size: [h, w], count, parts: [rows, columns], .. } = *self;
        positive("height of images with regions", h)?;
        positive("width of images with regions", w)?;
        let x = elements("images with regions", &[batch, channels, h, w])?;
        let regions = elements("regions", &[count, 4])?;
        let y = elements("parts of regions", &[count, channels, rows, columns])?;
        let images = read(count, DType::I64.bytes());
        Ok(vec![read(x, float), read(regions, float), images, write(y, float)])
    }

    pub(super) fn products(&self) -> [usize; 5] {
        let samples = self.samples.max(1);
        let [rows, columns] = self.parts;
        [8 * samples * samples, self.count, self.channels, rows, columns]
    }
}
