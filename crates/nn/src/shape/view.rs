//! A strided window on a contiguous run of elements: what transposing, slicing, expanding and
//! most reshaping do, without moving anything.

use super::{element_count, row_major_strides};

/// Which element stands where: element `i` of the view is element
/// `offset + sum(i[axis] * strides[axis])` of what is viewed.
///
/// Every view that these methods make from a [`contiguous`](View::contiguous) one stays inside
/// the elements of that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) offset: usize,
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<isize>,
}

impl View {
    /// Everything, in order.
    pub(crate) fn contiguous(shape: &[usize]) -> Self {
        let strides = row_major_strides(shape).into_iter().map(signed).collect();
        Self { offset: 0, shape: shape.to_vec(), strides }
    }

    /// Number of elements seen; some may be the same.
    pub(crate) fn count(&self) -> usize {
        element_count(&self.shape).unwrap_or(usize::MAX)
    }

    /// Whether the elements are seen in the order in which they lie, without gaps.
    pub(crate) fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        for (&extent, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if extent == 0 {
                return true;
            }
            if extent != 1 {
                if stride != expected {
                    return false;
                }
                expected *= signed(extent);
            }
        }
        true
    }

    /// Axis `i` of the result is axis `order[i]` of this. `order` is a permutation.
    pub(crate) fn transpose(&self, order: &[usize]) -> Self {
        Self {
            offset: self.offset,
            shape: order.iter().map(|&axis| self.shape[axis]).collect(),
            strides: order.iter().map(|&axis| self.strides[axis]).collect(),
        }
    }

    /// `count` elements along `axis`, from `start` in steps of `step`. All of them exist.
    pub(crate) fn slice(&self, axis: usize, start: usize, step: isize, count: usize) -> Self {
        let mut view = self.clone();
        if 0 < count {
            view.offset = self.offset.wrapping_add_signed(signed(start) * self.strides[axis]);
        }
        view.shape[axis] = count;
        view.strides[axis] = self.strides[axis].saturating_mul(step);
        view
    }

    /// Stretches to `shape`, which this broadcasts to.
    pub(crate) fn expand(&self, shape: &[usize]) -> Self {
        let skip = shape.len() - self.shape.len();
        let strides = (0..shape.len())
            .map(|axis| match axis.checked_sub(skip) {
                Some(own) if self.shape[own] == shape[axis] => self.strides[own],
                _ => 0,
            })
            .collect();
        Self { offset: self.offset, shape: shape.to_vec(), strides }
    }

    /// The same elements in the same order under another shape, or `None` when that needs a copy.
    /// Both shapes have the same number of elements.
    pub(crate) fn reshape(&self, shape: &[usize]) -> Option<Self> {
        if self.count() == 0 || self.is_contiguous() {
            return Some(Self { offset: self.offset, ..Self::contiguous(shape) });
        }
        // Runs of old axes that can be walked with one stride, outermost first.
        let mut runs: Vec<(usize, isize)> = Vec::new();
        for (&extent, &stride) in self.shape.iter().zip(&self.strides) {
            match runs.last_mut() {
                _ if extent == 1 => {}
                Some((count, outer)) if *outer == stride * signed(extent) => {
                    *count *= extent;
                    *outer = stride;
                }
                _ => runs.push((extent, stride)),
            }
        }
        let mut strides = vec![0; shape.len()];
        let (mut left, mut stride) = (1, 0);
        for (axis, &extent) in shape.iter().enumerate().rev() {
            if extent == 1 {
                continue;
            }
            if left == 1 {
                (left, stride) = runs.pop()?;
            }
            if !left.is_multiple_of(extent) {
                return None;
            }
            strides[axis] = stride;
            stride *= signed(extent);
            left /= extent;
        }
        Some(Self { offset: self.offset, shape: shape.to_vec(), strides })
    }

    /// The strides, unless one of them points backwards.
    pub(crate) fn forward_strides(&self) -> Option<Vec<usize>> {
        self.strides.iter().map(|&stride| usize::try_from(stride).ok()).collect()
    }

    /// The elements' positions in order.
    pub(crate) fn positions(&self) -> Positions<'_> {
        Positions {
            view: self,
            index: vec![0; self.shape.len()],
            position: self.offset,
            left: self.count(),
        }
    }
}

/// See [`View::positions`].
pub(crate) struct Positions<'a> {
    view: &'a View,
    index: Vec<usize>,
    position: usize,
    left: usize,
}

impl Iterator for Positions<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let current = self.position;
        for axis in (0..self.index.len()).rev() {
            let stride = self.view.strides[axis];
            self.index[axis] += 1;
            if self.index[axis] < self.view.shape[axis] {
                self.position = self.position.wrapping_add_signed(stride);
                break;
            }
            let back = signed(self.index[axis] - 1).wrapping_mul(stride);
            self.position = self.position.wrapping_add_signed(back.wrapping_neg());
            self.index[axis] = 0;
        }
        Some(current)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

fn signed(count: usize) -> isize {
    isize::try_from(count).unwrap_or(isize::MAX)
}
