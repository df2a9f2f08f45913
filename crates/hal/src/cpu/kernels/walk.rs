//! Walks over several strided views of one shape.

/// The axes of `N` views of one shape, the fewest that describe them.
///
/// Strides and offsets are taken modulo the word size, so that negative strides need nothing of
/// their own.
pub(super) struct Walk<const N: usize> {
    axes: Vec<Axis<N>>,
}

/// One axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis<const N: usize> {
    pub(super) extent: usize,
    pub(super) strides: [usize; N],
}

impl<const N: usize> Walk<N> {
    /// The axes in the order given. Axes of one element are dropped, and neighbours that all
    /// views run through as if they were one are joined.
    pub(super) fn new(axes: impl Iterator<Item = Axis<N>>) -> Self {
        let mut joined: Vec<Axis<N>> = Vec::new();
        for axis in axes.filter(|axis| axis.extent != 1) {
            match joined.last_mut() {
                Some(outer) if outer.continues(&axis) => {
                    outer.extent *= axis.extent;
                    outer.strides = axis.strides;
                }
                _ => joined.push(axis),
            }
        }
        Self { axes: joined }
    }

    /// The axes, the innermost last.
    pub(super) fn axes(&self) -> &[Axis<N>] {
        &self.axes
    }

    /// Takes the innermost axis away; one of one element when there is none.
    pub(super) fn pop(&mut self) -> Axis<N> {
        self.axes.pop().unwrap_or(Axis { extent: 1, strides: [0; N] })
    }

    /// Takes away the axis at `index`.
    pub(super) fn remove(&mut self, index: usize) -> Axis<N> {
        self.axes.remove(index)
    }

    /// Positions of the remaining axes.
    pub(super) fn count(&self) -> usize {
        self.axes.iter().map(|axis| axis.extent).product()
    }

    /// The offset of each view at a position, counted in row-major order.
    pub(super) fn offsets(&self, mut position: usize) -> [usize; N] {
        let mut offsets = [0usize; N];
        for axis in self.axes.iter().rev() {
            let index = position % axis.extent;
            position /= axis.extent;
            for (offset, stride) in offsets.iter_mut().zip(axis.strides) {
                *offset = offset.wrapping_add(index.wrapping_mul(stride));
            }
        }
        offsets
    }
}

impl<const N: usize> Axis<N> {
    fn continues(&self, inner: &Self) -> bool {
        let steps = inner.strides.map(|stride| stride.wrapping_mul(inner.extent));
        self.strides == steps
    }
}
