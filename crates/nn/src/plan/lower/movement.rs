//! Moving operators that need more than a view.

use anabranch_hal::command::Operation;
use anabranch_hal::kernel::{Gather, Kernel};

use super::{Located, Lowering, RawOperand, RawStep};
use crate::error::Error;
use crate::fate::Reason;
use crate::graph::{Node, ValueId};
use crate::ops::{Facts, pad_amounts};
use crate::shape::{View, resolve_axis};

impl Lowering<'_> {
    pub(super) fn concat(&mut self, node: &Node, axis: i64, result: ValueId) -> Result<(), Error> {
        let fact = self.fact(result)?;
        let (dtype, whole) = (fact.dtype, View::contiguous(&fact.shape));
        let axis = resolve_axis(axis, whole.shape.len()).unwrap_or(0);
        let storage = self.produce(result)?.storage;
        let mut start = 0;
        for &id in node.inputs.iter().flatten() {
            let source = self.locate(id)?;
            let extent = source.view.shape[axis];
            let view = whole.slice(axis, start, 1, extent);
            self.copy(Reason::Part, &source, &Located { storage, view }, dtype)?;
            start += extent;
        }
        Ok(())
    }

    pub(super) fn gather(&mut self, node: &Node, axis: i64, result: ValueId) -> Result<(), Error> {
        let (x, indices) = (Self::input(node, 0)?, Self::input(node, 1)?);
        let (fact, index) = (self.fact(x)?, self.fact(indices)?);
        let axis = resolve_axis(axis, fact.shape.len()).unwrap_or(0);
        let kernel = Kernel::Gather(Gather {
            element_bytes: fact.dtype.bytes(),
            outer: fact.shape[..axis].iter().product(),
            axis: fact.shape[axis],
            inner: fact.shape[axis + 1..].iter().product(),
            count: index.count(),
            index: index.dtype,
        });
        let spots = [self.dense(x)?, self.dense(indices)?, self.produce(result)?];
        self.emit(kernel, &spots)
    }

    pub(super) fn pad(
        &mut self,
        node: &Node,
        inputs: &Facts<'_>,
        result: ValueId,
    ) -> Result<(), Error> {
        let amounts = pad_amounts(inputs)?;
        let fact = self.fact(result)?;
        let (dtype, whole, bytes) = (fact.dtype, View::contiguous(&fact.shape), fact.bytes());
        let source = self.locate(Self::input(node, 0)?)?;
        let storage = self.produce(result)?.storage;
        let filling = inputs.optional(2).and_then(|fact| fact.constant.clone());
        match filling.filter(|tensor| tensor.as_bytes().iter().any(|&byte| byte != 0)) {
            Some(tensor) => {
                let view = View::contiguous(&[]).expand(&whole.shape);
                let filling = Located { storage: self.add_constant(tensor), view };
                let target = Located { storage, view: whole.clone() };
                self.copy(Reason::Part, &filling, &target, dtype)?;
            }
            None if 0 < bytes => self.done.steps.push(RawStep {
                operation: Operation::Fill(0),
                operands: vec![RawOperand { storage, offset: 0, bytes }],
                node: self.current,
                why: Reason::Part,
            }),
            None => {}
        }
        // Negative amounts cut from the source.
        let (mut kept, mut inner) = (source.view.clone(), whole);
        for (axis, &(before, behind)) in amounts.iter().enumerate() {
            let size = |amount: i64| usize::try_from(amount).unwrap_or(0);
            let cut = [size(before.saturating_neg()), size(behind.saturating_neg())];
            let count = kept.shape[axis].saturating_sub(cut[0].saturating_add(cut[1]));
            kept = kept.slice(axis, cut[0], 1, count);
            inner = inner.slice(axis, size(before), 1, count);
        }
        let kept = Located { storage: source.storage, view: kept };
        self.copy(Reason::Part, &kept, &Located { storage, view: inner }, dtype)
    }
}
