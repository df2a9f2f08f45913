//! Which executables compute rows that do not see each other.
//!
//! Launches of such an executable with different tables are one launch of as many rows: the
//! constants are read once for all of them.

use super::{Node, Operand, Operation};
use crate::buffer::ALIGN_BYTES;
use crate::kernel::{Kernel, MatMul};

/// What a launch adds to one of more rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rows {
    /// The most rows of a node.
    pub(crate) count: usize,
    /// The most bytes of a node's operands that are in the callers' own memory: neither shared by
    /// all rows nor in the private slot. Each operand is counted with its alignment.
    pub(crate) own_bytes: usize,
}

/// The rows, if every node multiplies its own with a packed constant, reads in the private slot
/// exactly what a node before it wrote, and writes there unless it is the last.
pub(super) fn find(nodes: &[Node], private: Option<u32>) -> Option<Rows> {
    let mut written: Vec<Operand> = Vec::new();
    let mut rows = Rows { count: 0, own_bytes: 0 };
    for node in nodes {
        let product = product(&node.operation)?;
        rows.count = rows.count.max(product.m);
        rows.own_bytes = rows.own_bytes.max(own_bytes(product, &node.operands, private)?);
        let (output, inputs) = node.operands.split_last()?;
        let is_last = written.len() + 1 == nodes.len();
        if !is_whole(product, product.n, output) || is_last == (Some(output.slot) == private) {
            return None;
        }
        for (index, operand) in inputs.iter().enumerate() {
            let is_private = Some(operand.slot) == private;
            if is_constant(product, index) {
                if is_private {
                    return None;
                }
                continue;
            }
            let columns = if index == 0 { product.k } else { product.n };
            let last = written.iter().rev().find(|other| overlap(other, operand));
            if !is_whole(product, columns, operand) || (is_private && last != Some(operand)) {
                return None;
            }
        }
        written.push(*output);
    }
    (!nodes.is_empty()).then_some(rows)
}

fn own_bytes(product: &MatMul, operands: &[Operand], private: Option<u32>) -> Option<usize> {
    let mut own = operands
        .iter()
        .enumerate()
        .filter(|(index, operand)| !is_constant(product, *index) && Some(operand.slot) != private);
    own.try_fold(0_usize, |all, (_, operand)| {
        all.checked_add(operand.bytes.checked_next_multiple_of(ALIGN_BYTES)?)
    })
}

/// The product that a node computes, if rows and columns of its matrices follow each other.
pub(crate) fn product(operation: &Operation) -> Option<&MatMul> {
    let Operation::Kernel(kernel) = operation else { return None };
    let Kernel::MatMul(product) = &**kernel else { return None };
    let is_dense = |row, column, columns| column == 1 && row == columns;
    let fits = product.batch.is_empty()
        && product.packed
        && is_dense(product.a.row, product.a.column, product.k)
        && is_dense(product.y.row, product.y.column, product.n);
    fits.then_some(product)
}

/// Whether all rows share an operand: the packed matrix and the bias.
pub(crate) fn is_constant(product: &MatMul, index: usize) -> bool {
    index == 1 || (product.bias && index == 2)
}

fn is_whole(product: &MatMul, columns: usize, operand: &Operand) -> bool {
    let elements = product.m.checked_mul(columns);
    elements.and_then(|elements| elements.checked_mul(size_of::<f32>())) == Some(operand.bytes)
}

fn overlap(one: &Operand, other: &Operand) -> bool {
    one.slot == other.slot
        && one.offset < other.offset.saturating_add(other.bytes)
        && other.offset < one.offset.saturating_add(one.bytes)
}
