//! Launches of one executable that are run as one.
//!
//! A product of few rows takes as long as its constant matrix takes to come from memory, however
//! many rows there are. So when more queues wait than there are cores, one core runs several of their
//! launches at once: a launch of as many rows, which are brought together before a node and
//! taken apart behind it. A row has the same bits as alone, as everywhere.

use anabranch_sync::Arc;

use super::{Spread, Step, range, resolve};
use crate::buffer::{ALIGN_BYTES, Slice};
use crate::command::{Command, Executable, Node, Operation, rows};
use crate::cpu::kernels::{Kernels, RawOperand, Scratch};
use crate::error::Error;
use crate::kernel::{Kernel, MatMul};

#[cfg(test)]
mod tests;

/// Rows of launches that are run as one, at most: with more of them the arithmetic takes longer than
/// the memory.
const ROWS_MAX: usize = 16;

/// How many submissions like this one may be run as one; 1 for those that are run alone.
pub(crate) fn count_max(commands: &[Command]) -> usize {
    let rows = launch(commands).and_then(|(executable, _)| executable.rows());
    rows.map_or(1, |rows| (ROWS_MAX / rows.max(1)).max(1))
}

/// Whether `other` may be run together with `one`, for which [`count_max`] is larger than 1: the same
/// launch with the same constants.
pub(crate) fn fits(one: &[Command], other: &[Command]) -> bool {
    let (Some((executable, one)), Some((same, other))) = (launch(one), launch(other)) else {
        return false;
    };
    Arc::ptr_eq(executable, same)
        && constants(executable).all(|slot| match (one.get(slot), other.get(slot)) {
            (Some(one), Some(other)) => {
                let address = |slice: &Slice| (slice.memory.address(), slice.offset);
                address(one) == address(other)
            }
            _ => false,
        })
}

/// Runs launches that fit each other. None when they have to be run one by one, in which case nothing
/// has happened.
pub(crate) fn run<'a>(
    kernels: Kernels,
    all: impl Iterator<Item = &'a [Command]>,
    scratch: &mut Scratch,
    spread: &mut dyn Spread,
) -> Option<Result<(), Error>> {
    let launches: Vec<_> = all.map(launch).collect::<Option<_>>()?;
    let (executable, _) = *launches.first()?;
    let tables: Vec<&[Slice]> = launches.iter().map(|(_, table)| *table).collect();
    let private = executable.private().map_or(0, |slot| executable.slot_bytes()[slot as usize]);
    let stage = executable.nodes().iter().map(|node| stage_bytes(node, tables.len())).max()?;
    let private = private.checked_mul(tables.len())?.checked_next_multiple_of(ALIGN_BYTES)?;
    let memory = scratch.private(private.checked_add(stage)?)?;
    let joint = Joint { kernels, executable, tables: &tables, memory, stage: private };
    let nodes: Vec<_> =
        executable.nodes().iter().map(|node| joint.bind(node)).collect::<Option<_>>()?;
    Some(nodes.iter().try_for_each(|node| joint.run(node, scratch, spread)))
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

/// Room for every operand of a node.
fn stage_bytes(node: &Node, times: usize) -> usize {
    let bytes = node.operands.iter().map(|operand| {
        operand.bytes.saturating_mul(times).saturating_add(ALIGN_BYTES) / ALIGN_BYTES * ALIGN_BYTES
    });
    bytes.fold(0, usize::saturating_add)
}

/// Several launches in memory of this core: their private slots, and behind them what is brought
/// together.
struct Joint<'a> {
    kernels: Kernels,
    executable: &'a Executable,
    tables: &'a [&'a [Slice]],
    memory: RawOperand,
    stage: usize,
}

/// A node of all launches.
struct Bound {
    operation: Operation,
    operands: Vec<RawOperand>,
    /// What is brought together: the parts, and the whole.
    before: Vec<(Vec<RawOperand>, RawOperand)>,
    /// The result, if it has to be taken apart.
    behind: Option<(Vec<RawOperand>, RawOperand)>,
}

impl Joint<'_> {
    /// None when an operand is not there.
    fn bind(&self, node: &Node) -> Option<Bound> {
        let times = self.tables.len();
        let product = rows::product(&node.operation)?;
        let whole = MatMul { m: product.m.checked_mul(times)?, ..product.clone() };
        let mut bound = Bound {
            operation: Operation::Kernel(Arc::new(Kernel::MatMul(whole))),
            operands: Vec::new(),
            before: Vec::new(),
            behind: None,
        };
        let mut stage = self.stage;
        for (index, operand) in node.operands.iter().enumerate() {
            let part = |table: &&[Slice]| {
                resolve(table.get(operand.slot as usize)?, operand.offset, operand.bytes).ok()
            };
            if rows::is_constant(product, index) {
                bound.operands.push(part(self.tables.first()?)?);
                continue;
            }
            let bytes = operand.bytes.checked_mul(times)?;
            if Some(operand.slot) == self.executable.private() {
                bound
                    .operands
                    .push(range(self.memory, operand.offset.checked_mul(times)?, bytes).ok()?);
                continue;
            }
            let parts = self.tables.iter().map(part).collect::<Option<Vec<_>>>()?;
            let whole = range(self.memory, stage, bytes).ok()?;
            stage += bytes.next_multiple_of(ALIGN_BYTES);
            bound.operands.push(whole);
            if index + 1 == node.operands.len() {
                bound.behind = Some((parts, whole));
            } else {
                bound.before.push((parts, whole));
            }
        }
        Some(bound)
    }

    fn run(
        &self,
        node: &Bound,
        scratch: &mut Scratch,
        spread: &mut dyn Spread,
    ) -> Result<(), Error> {
        for (parts, whole) in &node.before {
            self.copy(parts, *whole, true, scratch)?;
        }
        let number = scratch.number();
        let step = Step::new(self.kernels, &node.operation, &node.operands, number)?;
        spread.run(step, scratch)?;
        node.behind.iter().try_for_each(|(parts, whole)| self.copy(parts, *whole, false, scratch))
    }

    /// Brings parts together, or takes the whole apart.
    fn copy(
        &self,
        parts: &[RawOperand],
        whole: RawOperand,
        together: bool,
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        let mut at = 0;
        for part in parts {
            let place = range(whole, at, part.bytes)?;
            let operands = if together { [*part, place] } else { [place, *part] };
            Step::new(self.kernels, &Operation::Copy, &operands, scratch.number())?
                .run_all(scratch)?;
            at += part.bytes;
        }
        Ok(())
    }
}
