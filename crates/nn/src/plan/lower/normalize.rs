//! Normalisations.

use anabranch_hal::kernel::{Kernel, Normalize, Statistics};

use super::{Epilogue, Lowering, Spot};
use crate::error::Error;
use crate::fold::copied;
use crate::graph::{Node, ValueId};
use crate::ops::{Norm, float_result};
use crate::shape::{View, resolve_axis};

impl Lowering<'_> {
    pub(super) fn normalize(
        &mut self,
        node: &Node,
        norm: Norm,
        epsilon: f32,
        epilogue: &Epilogue,
    ) -> Result<(), Error> {
        let x = Self::input(node, 0)?;
        let fact = self.fact(x)?;
        float_result(fact)?;
        let shape = fact.shape.clone();
        let count = |extents: &[usize]| extents.iter().product::<usize>();
        let by_channel = || (shape[0], shape[1], count(&shape[2..]));
        let (statistics, (outer, channels, inner)) = match norm {
            Norm::Batch => (Statistics::Given, by_channel()),
            Norm::Instance => (Statistics::Group { groups: shape[1] }, by_channel()),
            Norm::Group { groups } => (Statistics::Group { groups }, by_channel()),
            Norm::Layer { axis } | Norm::RootMeanSquare { axis } => {
                let axis = resolve_axis(axis, shape.len()).unwrap_or(0);
                let rows = match norm {
                    Norm::Layer { .. } => Statistics::Row,
                    _ => Statistics::RowRms,
                };
                (rows, (count(&shape[..axis]), 1, count(&shape[axis..])))
            }
        };
        let mut spots = vec![self.dense(x)?];
        let parameters: Vec<ValueId> =
            node.inputs.get(1..).unwrap_or_default().iter().flatten().copied().collect();
        for &parameter in &parameters {
            spots.push(match norm {
                Norm::Group { groups } => self.by_group(parameter, groups, channels)?,
                Norm::Batch | Norm::Instance => self.vector(parameter, &[channels])?,
                Norm::Layer { axis } | Norm::RootMeanSquare { axis } => {
                    let axis = resolve_axis(axis, shape.len()).unwrap_or(0);
                    self.vector(parameter, &shape[axis..])?
                }
            });
        }
        let kernel = Kernel::Normalize(Normalize {
            outer,
            channels,
            inner,
            statistics,
            epsilon,
            scale: node.inputs.get(1).is_some_and(Option::is_some),
            shift: node.inputs.get(2).is_some_and(Option::is_some),
            activation: epilogue.activation,
            pooled: epilogue.pooled,
        });
        spots.push(self.produce(epilogue.result)?);
        self.emit(kernel, &spots)
    }

    /// A parameter of one element for each channel, or for each group of channels.
    fn by_group(&mut self, id: ValueId, groups: usize, channels: usize) -> Result<Spot, Error> {
        let fact = self.fact(id)?;
        if fact.count() == channels || groups == 0 {
            return self.vector(id, &[channels]);
        }
        let Some(tensor) = &fact.constant else {
            return Err(Error::unsupported(format!("stretches {fact}, which is not constant")));
        };
        let view = View::contiguous(&[groups, 1]).expand(&[groups, channels / groups]);
        let repeated = copied(tensor, &view)?.reshaped(&[channels])?;
        Ok(Spot { storage: self.add_constant(repeated), offset: 0 })
    }
}
