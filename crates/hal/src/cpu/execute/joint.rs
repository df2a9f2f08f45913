//! Launches of one executable that are run as one.
//!
//! A product of few rows takes as long as its constant matrix takes to come from memory, however
//! many rows there are. So when more queues wait than there are cores, one core runs several of
//! their launches at once: a launch of as many rows, which are brought together before a node and
//! taken apart behind it. A row has the same bits as alone, as everywhere.

use anabranch_sync::Arc;

use super::{Spread, Step, range, resolve};
use crate::buffer::{ALIGN_BYTES, Slice};
use crate::command::{Command, Executable, Node, Operation, rows};
use crate::cpu::kernels::{Kernels, PRIVATE_BYTES_MAX, RawOperand, Scratch};
use crate::error::Error;
use crate::kernel::{Kernel, MatMul};

#[cfg(test)]
mod tests;

/// Rows of launches that are run as one, at most: with more of them the arithmetic takes longer
/// than the memory.
const ROWS_MAX: usize = 4;

/// How many submissions like this one may be run as one; 1 for those that are run alone.
pub(crate) fn count_max(commands: &[Command]) -> usize {
    let count = launch(commands).and_then(|(executable, _)| {
        let rows = executable.rows()?.count;
        let room = PRIVATE_BYTES_MAX / bytes(executable)?.max(1);
        Some(room.min(ROWS_MAX / rows.max(1)))
    });
    count.map_or(1, |count| count.max(1))
}

/// Whether `other` may be run together with `one`, for which [`count_max`] is larger than 1: the
/// same launch with the same constants.
pub(crate) fn fits(one: &[Command], other: &[Command]) -> bool {
    let (Some((executable, one)), Some((same, other))) = (launch(one), launch(other)) else {
        return false;
    };
    Arc::ptr_eq(executable, same)
        && constants(executable).all(|slot| match (one.get(slot), other.get(slot)) {
            (Some(one), Some(other)) => {
                let place = |slice: &Slice| (slice.memory.address(), slice.offset, slice.bytes);
                place(one) == place(other)
            }
            _ => false,
        })
}

/// Runs launches that fit each other. False when they have to be run one by one, because an operand
/// or memory is missing or a kernel failed: nothing that a launch reads has changed.
pub(crate) fn run<'a>(
    kernels: Kernels,
    all: impl Iterator<Item = &'a [Command]>,
    scratch: &mut Scratch,
    spread: &mut dyn Spread,
) -> bool {
    let launches = all.map(launch).collect::<Option<Vec<_>>>().unwrap_or_default();
    let Some(&(executable, _)) = launches.first() else { return false };
    let tables: Vec<&[Slice]> = launches.iter().map(|(_, table)| *table).collect();
    let nodes = Joint::new(executable, &tables, scratch).and_then(|joint| {
        executable.nodes().iter().map(|node| joint.bind(node)).collect::<Option<Vec<_>>>()
    });
    nodes.is_some_and(|nodes| {
        nodes.iter().try_for_each(|node| node.run(kernels, scratch, spread)).is_ok()
    })
}

/// The only launch of a submission.
fn launch(commands: &[Command]) -> Option<(&Arc<Executable>, &[Slice])> {
    match commands {
        [Command::Launch { executable, table }] => Some((executable, table)),
        _ => None,
    }
}

/// The slots of what all rows share.
fn constants(executable: &Executable) -> impl Iterator<Item = usize> + '_ {
    executable.nodes().iter().flat_map(|node| {
        let product = rows::product(&node.operation);
        let constant =
            move |index: usize| product.is_none_or(|product| rows::is_constant(product, index));
        let operands = node.operands.iter().enumerate();
        operands
            .filter(move |(index, _)| constant(*index))
            .map(|(_, operand)| operand.slot as usize)
    })
}

/// The private slot of a launch; of one node, none may name it.
fn private_bytes(executable: &Executable) -> Option<usize> {
    let slot = executable.private();
    let bytes = slot.and_then(|slot| executable.slot_bytes().get(slot as usize));
    bytes.copied().unwrap_or(0).checked_next_multiple_of(ALIGN_BYTES)
}

/// What a core needs for each launch that it runs with others.
fn bytes(executable: &Executable) -> Option<usize> {
    private_bytes(executable)?.checked_add(executable.rows()?.own_bytes)
}

/// Several launches in memory of this core: their private slots, and behind them what is brought
/// together for a node.
struct Joint<'a> {
    executable: &'a Executable,
    tables: &'a [&'a [Slice]],
    private: RawOperand,
    stage: RawOperand,
}

/// A node of all launches.
struct Bound {
    operation: Operation,
    operands: Vec<RawOperand>,
    /// What is brought together, from each launch.
    before: Vec<[RawOperand; 2]>,
    /// What is taken apart, to each launch.
    behind: Vec<[RawOperand; 2]>,
}

impl<'a> Joint<'a> {
    /// None when the core does not have the memory.
    fn new(
        executable: &'a Executable,
        tables: &'a [&'a [Slice]],
        scratch: &mut Scratch,
    ) -> Option<Self> {
        let times = tables.len();
        let whole = scratch.private(bytes(executable)?.checked_mul(times)?)?;
        let private = private_bytes(executable)?.checked_mul(times)?;
        Some(Self {
            executable,
            tables,
            private: range(whole, 0, private).ok()?,
            stage: range(whole, private, whole.bytes - private).ok()?,
        })
    }

    /// None when an operand is not there.
    fn bind(&self, node: &Node) -> Option<Bound> {
        let times = self.tables.len();
        let product = rows::product(&node.operation)?;
        let whole = MatMul { m: product.m.checked_mul(times)?, ..product.clone() };
        let mut bound = Bound {
            operation: Operation::Kernel(Arc::new(Kernel::MatMul(whole))),
            operands: Vec::new(),
            before: Vec::new(),
            behind: Vec::new(),
        };
        let mut staged = 0;
        for (index, operand) in node.operands.iter().enumerate() {
            let part = |table: &[Slice]| {
                resolve(table.get(operand.slot as usize)?, operand.offset, operand.bytes).ok()
            };
            let bytes = operand.bytes.checked_mul(times)?;
            bound.operands.push(if rows::is_constant(product, index) {
                part(self.tables.first()?)?
            } else if Some(operand.slot) == self.executable.private() {
                range(self.private, operand.offset.checked_mul(times)?, bytes).ok()?
            } else {
                let whole = range(self.stage, staged, bytes).ok()?;
                staged += bytes.next_multiple_of(ALIGN_BYTES);
                let is_output = index + 1 == node.operands.len();
                for (number, table) in self.tables.iter().enumerate() {
                    let own = part(table)?;
                    let place = range(whole, number * operand.bytes, operand.bytes).ok()?;
                    if is_output {
                        bound.behind.push([place, own]);
                    } else {
                        bound.before.push([own, place]);
                    }
                }
                whole
            });
        }
        Some(bound)
    }
}

impl Bound {
    fn run(
        &self,
        kernels: Kernels,
        scratch: &mut Scratch,
        spread: &mut dyn Spread,
    ) -> Result<(), Error> {
        let copy = |pairs: &[[RawOperand; 2]], scratch: &mut Scratch| {
            pairs.iter().try_for_each(|pair| {
                Step::new(kernels, &Operation::Copy, pair, scratch.number())?.run_all(scratch)
            })
        };
        copy(&self.before, scratch)?;
        let step = Step::new(kernels, &self.operation, &self.operands, scratch.number())?;
        spread.run(step, scratch)?;
        copy(&self.behind, scratch)
    }
}
