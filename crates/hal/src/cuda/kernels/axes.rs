//! Several strided views of one shape, the way device functions take them.

use std::iter;

use crate::error::Error;

use super::arguments::Structure;
use super::unsupported;

/// Axes that a function takes. A shape of more that do not join has at least 2¹⁷ elements.
const AXES_MAX: usize = 16;

/// One axis of `N` views. Strides are taken modulo the word size, so that negative ones need
/// nothing of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis<const N: usize> {
    pub(super) extent: usize,
    pub(super) strides: [usize; N],
}

/// Axes, outermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Axes<const N: usize>(pub(super) Vec<Axis<N>>);

impl<const N: usize> Axes<N> {
    /// The axes of `shape`, with the strides of each view.
    pub(super) fn of(shape: &[usize], strides: [&[usize]; N]) -> Self {
        let axis = |(axis, &extent)| Axis { extent, strides: strides.map(|view| view[axis]) };
        Self::joined(shape.iter().enumerate().map(axis))
    }

    /// The fewest axes that describe the same views: those of one element are left out, and
    /// neighbours that all views run through as if they were one become one.
    pub(super) fn joined(axes: impl Iterator<Item = Axis<N>>) -> Self {
        let mut joined: Vec<Axis<N>> = Vec::new();
        for axis in axes.filter(|axis| axis.extent != 1) {
            let steps = axis.strides.map(|stride| stride.wrapping_mul(axis.extent));
            match joined.last_mut() {
                Some(outer) if outer.strides == steps => {
                    outer.extent *= axis.extent;
                    outer.strides = axis.strides;
                }
                _ => joined.push(axis),
            }
        }
        Self(joined)
    }

    /// Elements.
    pub(super) fn count(&self) -> usize {
        self.0.iter().map(|axis| axis.extent).product()
    }

    /// Adds the axes to a structure that has room for `room` of them.
    ///
    /// # Errors
    /// `Unsupported` when there are more.
    pub(super) fn add_to(&self, structure: Structure, room: usize) -> Result<Structure, Error> {
        let rank = self.0.len();
        if room < rank {
            return Err(unsupported(format!("a view of {rank} axes, {room} are possible")));
        }
        let filled = |value: &dyn Fn(&Axis<N>) -> usize| {
            let values: Vec<usize> = self.0.iter().map(value).collect();
            values.into_iter().chain(iter::repeat_n(0, room - rank)).collect::<Vec<_>>()
        };
        let structure = structure.long(rank).longs(filled(&|axis| axis.extent));
        Ok((0..N).fold(structure, |structure, view| {
            structure.longs(filled(&|axis: &Axis<N>| axis.strides[view]))
        }))
    }

    /// The axes as an argument of their own.
    pub(super) fn structure(&self) -> Result<Structure, Error> {
        self.add_to(Structure::default(), AXES_MAX)
    }
}
