//! The rotation of positions.

use anabranch_hal::kernel::BinaryFunction;

use super::{Expanded, Place};
use crate::error::Error;
use crate::graph::ValueId;
use crate::host::attention_layout;
use crate::ops::Op;

impl Place<'_, '_> {
    /// Pairs of elements as two slices, which are turned by products and sums.
    pub(super) fn rotary_embedding(
        &mut self,
        heads: Option<usize>,
        interleaved: bool,
        rotated: usize,
    ) -> Expanded {
        let mut x = self.input(0)?;
        let shape = self.shape(x)?;
        let [batch, heads, positions, width] = attention_layout(self.fact(x)?, heads)?;
        let rotated = if rotated == 0 { width } else { rotated };
        let half = rotated / 2;
        let floats = self.are_floats(0..3);
        let sides = [self.input(1)?, self.input(2)?];
        let mut angles = Vec::new();
        for side in sides {
            let table = self.shape(side)?;
            let fits = table.last() == Some(&half) && Some(half * 2) == Some(rotated);
            if !floats || !fits || width < rotated || shape.contains(&0) || half == 0 {
                return Ok(None);
            }
            let angle = match self.optional(3) {
                Some(places) if table.len() == 2 => {
                    self.push(Op::Gather { axis: 0 }, &[side, places])?
                }
                None if table == [batch, positions, half] => side,
                _ => return Ok(None),
            };
            if self.fact(angle)?.count() != batch * positions * half {
                return Ok(None);
            }
            // Heads come in front of positions, or behind them.
            let angle = match shape.len() {
                4 => self.reshape(angle, &[batch, 1, positions, half])?,
                _ => self.reshape(angle, &[batch, positions, 1, half])?,
            };
            angles.push(angle);
        }
        if shape.len() != 4 {
            x = self.reshape(x, &[batch, positions, heads, width])?;
        }
        let (first, second) = match interleaved {
            true => ([0, rotated, 2], [1, rotated, 2]),
            false => ([0, half, 1], [half, rotated, 1]),
        };
        let (real, imaginary) = (self.slice(x, 3, first)?, self.slice(x, 3, second)?);
        let [cosine, sine] = angles[..] else { return Ok(None) };
        let turned = |place: &mut Self, a, b, function| -> Result<ValueId, Error> {
            let a = place.binary(BinaryFunction::Mul, cosine, a)?;
            let b = place.binary(BinaryFunction::Mul, sine, b)?;
            place.binary(function, a, b)
        };
        let new = [
            turned(self, real, imaginary, BinaryFunction::Sub)?,
            turned(self, imaginary, real, BinaryFunction::Add)?,
        ];
        let mut axes = self.shape(x)?;
        let mut parts = match interleaved {
            false => new.to_vec(),
            true => {
                let pairs = [&axes[..3], &[half, 1]].concat();
                let pairs = [self.reshape(new[0], &pairs)?, self.reshape(new[1], &pairs)?];
                let joined = self.concat(&pairs, 4)?;
                axes[3] = rotated;
                vec![self.reshape(joined, &axes)?]
            }
        };
        if rotated < width {
            parts.push(self.slice(x, 3, [rotated, width, 1])?);
        }
        let joined = self.concat(&parts, 3)?;
        Ok(Some(vec![self.reshape(joined, &shape)?]))
    }
}
