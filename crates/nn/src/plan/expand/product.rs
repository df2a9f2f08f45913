//! Sums of products by named axes.

use anabranch_hal::kernel::{BinaryFunction, Reduction};

use super::{Expanded, Place};
use crate::error::Error;
use crate::graph::ValueId;
use crate::host::{EinsumLayout, EinsumName, einsum_layout};
use crate::ops::Facts;

/// A factor, and the names of its axes.
type Factor = (ValueId, Vec<EinsumName>);

impl Place<'_, '_> {
    /// Axes that one factor has alone are summed up first. Of those of both, the ones that stay are
    /// batches of products, and the others are their depth.
    pub(super) fn einsum(&mut self, equation: &str) -> Expanded {
        let facts = self.node.inputs.iter().map(|input| input.map(|id| self.fact(id)).transpose());
        let facts = Facts(facts.collect::<Result<_, _>>()?);
        let layout = einsum_layout(equation, &facts)?;
        let is_plain = layout.inputs.iter().enumerate().all(|(index, names)| {
            let known = |(extent, name): (&usize, &EinsumName)| layout.extents[name] == *extent;
            let whole = facts.get(index).is_ok_and(|fact| fact.shape.iter().zip(names).all(known));
            let once = (0..names.len()).all(|i| !names[..i].contains(&names[i]));
            whole && once
        });
        let count = facts.len();
        if !is_plain
            || !self.are_floats(0..count)
            || layout.extents.values().any(|&extent| extent == 0)
        {
            return Ok(None);
        }
        let (result, names) = match count {
            1 => self.summed(&layout, 0)?,
            2 => {
                let factors = [self.summed(&layout, 0)?, self.summed(&layout, 1)?];
                self.multiplied(&layout, factors)?
            }
            _ => return Ok(None),
        };
        let order = order(&names, &layout.output);
        Ok(Some(vec![self.transpose(result, &order)?]))
    }

    /// Factor `index` without the axes that nothing else has.
    fn summed(&mut self, layout: &EinsumLayout, index: usize) -> Result<Factor, Error> {
        let names = &layout.inputs[index];
        let others = layout.inputs.iter().enumerate().filter(|(other, _)| *other != index);
        let others: Vec<EinsumName> = others.flat_map(|(_, names)| names.clone()).collect();
        let alone = |name: &EinsumName| !others.contains(name) && !layout.output.contains(name);
        let axes: Vec<usize> = (0..names.len()).filter(|&axis| alone(&names[axis])).collect();
        let kept: Vec<EinsumName> = names.iter().filter(|name| !alone(name)).copied().collect();
        let mut x = self.input(index)?;
        if !axes.is_empty() {
            x = self.reduce(Reduction::Sum, x, &axes)?;
        }
        Ok((self.reshape(x, &extents(layout, &kept))?, kept))
    }

    fn multiplied(
        &mut self,
        layout: &EinsumLayout,
        [(a, a_names), (b, b_names)]: [Factor; 2],
    ) -> Result<Factor, Error> {
        let chosen = |names: &[EinsumName], both: bool, stays: bool| -> Vec<EinsumName> {
            let is = |name: &&EinsumName| {
                let shared = a_names.contains(name) && b_names.contains(name);
                shared == both && layout.output.contains(name) == stays
            };
            names.iter().filter(is).copied().collect()
        };
        let (batch, depth) = (chosen(&a_names, true, true), chosen(&a_names, true, false));
        let (rows, columns) = (chosen(&a_names, false, true), chosen(&b_names, false, true));
        let size = |names: &[EinsumName]| extents(layout, names).iter().product::<usize>();
        let [n, m, k, d] = [&batch, &rows, &columns, &depth].map(|names| size(names));
        let a = self.transpose(a, &order(&a_names, &[&batch[..], &rows, &depth].concat()))?;
        let b = self.transpose(b, &order(&b_names, &[&batch[..], &depth, &columns].concat()))?;
        let (a, b) = (self.reshape(a, &[n, m, d])?, self.reshape(b, &[n, d, k])?);
        let result = match depth.is_empty() {
            true => self.binary(BinaryFunction::Mul, a, b)?,
            false => self.product(a, b, false)?,
        };
        let names = [batch, rows, columns].concat();
        Ok((self.reshape(result, &extents(layout, &names))?, names))
    }
}

fn extents(layout: &EinsumLayout, names: &[EinsumName]) -> Vec<usize> {
    names.iter().map(|name| layout.extents[name]).collect()
}

/// Where each of `wanted` stands among `names`.
fn order(names: &[EinsumName], wanted: &[EinsumName]) -> Vec<usize> {
    let place = |name| names.iter().position(|other| other == name);
    wanted.iter().filter_map(place).collect()
}
