//! Sums of products by named axes.

use anabranch_hal::kernel::{BinaryFunction, Integer, Reduction};

use super::{Expanded, Place};
use crate::dtype::DType;
use crate::error::Error;
use crate::graph::ValueId;
use crate::host::{EinsumLayout, EinsumName, einsum_layout};
use crate::ops::{Facts, Op};

/// A factor, and the names of its axes.
type Factor = (ValueId, Vec<EinsumName>);

impl Place<'_, '_> {
    /// Products of two, one after the other. Axes that one factor has alone are summed up first. Of
    /// those of both, the ones that are still needed are batches, and the others are the depth.
    pub(super) fn einsum(&mut self, equation: &str) -> Expanded {
        let facts = self.node.inputs.iter().map(|input| input.map(|id| self.fact(id)).transpose());
        let facts = Facts(facts.collect::<Result<_, _>>()?);
        let layout = einsum_layout(equation, &facts)?;
        let dtype = facts.get(0)?.dtype;
        let count = facts.len();
        if !(0..count).all(|index| self.is(index, dtype)) {
            return Ok(None);
        }
        if layout.extents.values().any(|&extent| extent == 0) {
            let zero = self.integer(dtype, 0)?;
            let size = self.list(&extents(&layout, &layout.output))?;
            return Ok(Some(vec![self.push(Op::Expand, &[zero, size])?]));
        }
        match dtype {
            DType::F32 | DType::F64 => {}
            DType::I16 | DType::I8 | DType::U16 | DType::U8 | DType::Bool => {
                return self.widened(dtype);
            }
            _ if Integer::takes(dtype) => {}
            _ => return Ok(None),
        }
        let factors = (0..count).map(|index| self.factor(&layout, index));
        let factors = factors.collect::<Result<Vec<_>, _>>()?;
        let mut whole: Option<Factor> = None;
        for index in 0..count {
            let behind = factors[index + 1..].iter().flat_map(|(_, names)| names);
            let needed: Vec<EinsumName> = behind.chain(&layout.output).copied().collect();
            let before = whole.iter().flat_map(|(_, names)| names).copied();
            let wanted = [&needed[..], &before.collect::<Vec<_>>()].concat();
            let next = self.summed(&layout, &factors[index], &wanted)?;
            whole = Some(match whole {
                None => next,
                Some(whole) => self.multiplied(&layout, &needed, [whole, next])?,
            });
        }
        let Some((result, names)) = whole else { return Ok(None) };
        let order = order(&names, &layout.output);
        Ok(Some(vec![self.transpose(result, &order)?]))
    }

    /// Sums of products of small integers, which wrap, in more bits.
    pub(super) fn widened(&mut self, dtype: DType) -> Expanded {
        let inputs: Vec<ValueId> = self.node.inputs.iter().flatten().copied().collect();
        let wide = inputs.into_iter().map(|id| self.cast(id, DType::I32));
        let wide = wide.collect::<Result<Vec<_>, _>>()?;
        let result = self.push(self.node.op.clone(), &wide)?;
        Ok(Some(vec![self.cast(result, dtype)?]))
    }

    /// Input `index` with each name once: along the diagonal of those that it has twice. What has
    /// one element where others have more is the same everywhere, and needs no name.
    fn factor(&mut self, layout: &EinsumLayout, index: usize) -> Result<Factor, Error> {
        let mut x = self.input(index)?;
        let shape = self.shape(x)?;
        let whole = layout.inputs[index].iter().zip(&shape);
        let whole = whole.filter(|&(name, extent)| layout.extents[name] == *extent);
        let mut names: Vec<EinsumName> = whole.map(|(name, _)| *name).collect();
        x = self.reshape(x, &extents(layout, &names))?;
        while let Some([first, second]) = twice(&names) {
            let (name, extent) = (names[first], layout.extents[&names[first]]);
            let others = (0..names.len()).filter(|&axis| axis != first && axis != second);
            let others: Vec<usize> = others.collect();
            x = self.transpose(x, &[&others[..], &[first, second]].concat())?;
            let mut rest: Vec<EinsumName> = others.iter().map(|&axis| names[axis]).collect();
            let (axis, square) = (rest.len(), extent * extent);
            x = self.reshape(x, &[&extents(layout, &rest)[..], &[square]].concat())?;
            x = self.slice(x, axis, [0, square, extent + 1])?;
            rest.push(name);
            names = rest;
        }
        Ok((x, names))
    }

    /// A factor without the axes that nobody wants.
    fn summed(
        &mut self,
        layout: &EinsumLayout,
        (x, names): &Factor,
        wanted: &[EinsumName],
    ) -> Result<Factor, Error> {
        let alone = |name: &EinsumName| !wanted.contains(name);
        let axes: Vec<usize> = (0..names.len()).filter(|&axis| alone(&names[axis])).collect();
        let kept: Vec<EinsumName> = names.iter().filter(|name| !alone(name)).copied().collect();
        let mut x = *x;
        if !axes.is_empty() {
            x = self.reduce(Reduction::Sum, x, &axes)?;
        }
        Ok((self.reshape(x, &extents(layout, &kept))?, kept))
    }

    /// The product of two factors.
    fn multiplied(
        &mut self,
        layout: &EinsumLayout,
        needed: &[EinsumName],
        [(a, a_names), (b, b_names)]: [Factor; 2],
    ) -> Result<Factor, Error> {
        let chosen = |names: &[EinsumName], both: bool, stays: bool| -> Vec<EinsumName> {
            let is = |name: &&EinsumName| {
                let shared = a_names.contains(name) && b_names.contains(name);
                shared == both && needed.contains(name) == stays
            };
            names.iter().filter(is).copied().collect()
        };
        let (batch, depth) = (chosen(&a_names, true, true), chosen(&a_names, true, false));
        let (rows, columns) = (chosen(&a_names, false, true), chosen(&b_names, false, true));
        let size = |names: &[EinsumName]| extents(layout, names).iter().product::<usize>();
        let [n, m, k, d] = [&batch, &rows, &columns, &depth].map(|names| size(names));
        let a = self.transpose(a, &order(&a_names, &[&batch[..], &rows, &depth].concat()))?;
        let a = self.reshape(a, &[n, m, d])?;
        let result = if depth.is_empty() {
            let b = self.transpose(b, &order(&b_names, &[&batch[..], &columns].concat()))?;
            let b = self.reshape(b, &[n, 1, k])?;
            self.binary(BinaryFunction::Mul, a, b)?
        } else {
            let b =
                self.transpose(b, &order(&b_names, &[&batch[..], &depth, &columns].concat()))?;
            let b = self.reshape(b, &[n, d, k])?;
            self.product(a, b, false)?
        };
        let names = [batch, rows, columns].concat();
        Ok((self.reshape(result, &extents(layout, &names))?, names))
    }
}

/// Where a name stands that is there twice.
fn twice(names: &[EinsumName]) -> Option<[usize; 2]> {
    let places = (0..names.len()).flat_map(|second| (0..second).map(move |first| [first, second]));
    places.into_iter().find(|&[first, second]| names[first] == names[second])
}

fn extents(layout: &EinsumLayout, names: &[EinsumName]) -> Vec<usize> {
    names.iter().map(|name| layout.extents[name]).collect()
}

/// Where each of `wanted` stands among `names`.
fn order(names: &[EinsumName], wanted: &[EinsumName]) -> Vec<usize> {
    let place = |name| names.iter().position(|other| other == name);
    wanted.iter().filter_map(place).collect()
}
