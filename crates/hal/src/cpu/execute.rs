//! Runs the commands of one submission on host memory.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anabranch_sync::model;

use crate::buffer::Slice;
use crate::command::{Command, Executable, HostFn, Operand, Operation};
use crate::cpu::kernels::{Kernels, RawOperand, Scratch, Span};
use crate::error::{Error, ErrorKind};

pub(crate) mod joint;

#[cfg(test)]
mod tests;

/// Fills and copies are divided into tiles of this size: large enough that handing one to another
/// core pays, small enough that one core does not hold the others up. The models spread a few
/// bytes.
pub(crate) const TILE_BYTES: usize = model::bound(8, 8, 256 << 10);

/// Tiles of a fill or a copy that one core runs before it looks for help.
const TOGETHER: usize = model::bound(2, 2, 1);

/// Floating-point operations that take one core longer than it takes to wake another one.
const LONG_FLOPS: u64 = 8 << 20;

/// One operation with its operands, divided into tiles that may run in any order on any thread. Its
/// number tells it from every other step whose tiles the same threads run.
#[derive(Clone, Copy)]
pub(crate) struct Step<'a> {
    kernels: Kernels,
    operation: &'a Operation,
    operands: &'a [RawOperand],
    number: u64,
    /// The tiles that are left.
    left: Span,
    /// How many of them one core runs before it looks for help.
    together: usize,
}

/// Who runs the tiles of a step.
pub(crate) trait Spread {
    /// Returns after every tile has run. The error is that of the first tile that failed, in the
    /// order of tiles.
    fn run(&mut self, step: Step<'_>, scratch: &mut Scratch) -> Result<(), Error>;
}

/// Runs every tile on the calling thread.
pub(crate) struct Alone;

impl Spread for Alone {
    fn run(&mut self, step: Step<'_>, scratch: &mut Scratch) -> Result<(), Error> {
        step.run_all(scratch)
    }
}

impl<'a> Step<'a> {
    pub(crate) fn new(
        kernels: Kernels,
        operation: &'a Operation,
        operands: &'a [RawOperand],
        number: u64,
    ) -> Result<Self, Error> {
        let (count, together) = match (operation, operands) {
            (Operation::Fill(_), [target]) => (target.bytes.div_ceil(TILE_BYTES), TOGETHER),
            (Operation::Copy, [source, target]) if source.bytes == target.bytes => {
                (target.bytes.div_ceil(TILE_BYTES), TOGETHER)
            }
            (Operation::Kernel(kernel), _) => kernels.tiles(kernel),
            _ => return Err(failed(format!("{operation:?} does not fit its operands"))),
        };
        let left = Span { first: 0, count };
        Ok(Self { kernels, operation, operands, number, left, together })
    }

    /// Tiles that are left.
    pub(crate) fn tiles(&self) -> usize {
        self.left.count
    }

    /// How many tiles one core runs before it looks for help.
    pub(crate) fn together(&self) -> usize {
        self.together
    }

    /// Whether it is known to be worth a wake-up before any of it has run.
    pub(crate) fn is_long(&self) -> bool {
        matches!(self.operation, Operation::Kernel(kernel) if LONG_FLOPS <= kernel.flops())
    }

    /// The step without its first tiles, of which there are so many.
    pub(crate) fn after(self, tiles: usize) -> Self {
        let Span { first, count } = self.left;
        Self { left: Span { first: first + tiles, count: count - tiles }, ..self }
    }

    /// Runs the tiles that are left, and stops at the first that fails.
    pub(crate) fn run_all(self, scratch: &mut Scratch) -> Result<(), Error> {
        self.run(0..self.tiles(), scratch)
    }

    /// Runs some of the tiles that are left, as one; a panic inside becomes an error.
    pub(crate) fn run(self, tiles: Range<usize>, scratch: &mut Scratch) -> Result<(), Error> {
        if tiles.is_empty() {
            return Ok(());
        }
        let first = self.left.first + tiles.start;
        let span = Span { first, count: tiles.len() };
        scratch.enter(self.number);
        guard("a kernel", || match self.operation {
            Operation::Fill(byte) => {
                let (target, bytes) = part(self.operands[0], span);
                // SAFETY: The part lies inside the operand, which the kernel above reserves for
                // this command.
                unsafe { target.address.write_bytes(*byte, bytes) };
                Ok(())
            }
            Operation::Copy => {
                let (source, bytes) = part(self.operands[0], span);
                let (target, _) = part(self.operands[1], span);
                // SAFETY: Both operands have this size and do not overlap, by the contract of
                // the command.
                unsafe { target.address.copy_from_nonoverlapping(source.address, bytes) };
                Ok(())
            }
            Operation::Kernel(kernel) => {
                // SAFETY: The operands are ranges of live allocations, which the kernel above
                // reserves for this command; the tiles are below the count.
                unsafe { self.kernels.run(kernel, self.operands, span, scratch) }
            }
        })
    }
}

/// The part of an operand that tiles cover.
fn part(operand: RawOperand, Span { first, count }: Span) -> (RawOperand, usize) {
    let start = first * TILE_BYTES;
    let bytes = (count * TILE_BYTES).min(operand.bytes - start);
    // SAFETY: The tiles are below the count of tiles, so they start inside the operand.
    let address = unsafe { operand.address.add(start) };
    (RawOperand { address, bytes }, bytes)
}

/// Runs the commands in order up to the first that fails. Host functions are taken out of their
/// commands; everything else stays, so that what the commands name stays alive.
pub(crate) fn run(
    kernels: Kernels,
    commands: &mut [Command],
    scratch: &mut Scratch,
    spread: &mut dyn Spread,
) -> Result<(), Error> {
    let mut raw = Vec::new();
    for command in commands {
        match command {
            Command::Run { operation, operands } => {
                raw.clear();
                for slice in operands.iter() {
                    raw.push(resolve(slice, 0, slice.bytes)?);
                }
                let step = Step::new(kernels, operation, &raw, scratch.number())?;
                spread.run(step, scratch)?;
            }
            Command::Launch { executable, table } => {
                launch(kernels, (executable, table), &mut raw, scratch, spread)?;
            }
            Command::Host(function) => {
                let spent: HostFn = Box::new(|| Ok(()));
                let function = std::mem::replace(function, spent);
                guard("a host function", function)?;
            }
        }
    }
    Ok(())
}

/// Runs the nodes of an executable. Its private slot is memory of the core, which the core's
/// last launch has left in the cache.
fn launch(
    kernels: Kernels,
    (executable, table): (&Executable, &[Slice]),
    raw: &mut Vec<RawOperand>,
    scratch: &mut Scratch,
    spread: &mut dyn Spread,
) -> Result<(), Error> {
    let own = executable.private().and_then(|slot| {
        let bytes = executable.slot_bytes().get(slot as usize)?;
        Some((slot, scratch.private(*bytes)?))
    });
    for node in executable.nodes() {
        raw.clear();
        for &Operand { slot, offset, bytes } in &node.operands {
            raw.push(match (own, table.get(slot as usize)) {
                (Some((private, memory)), _) if private == slot => range(memory, offset, bytes)?,
                (_, Some(slice)) => resolve(slice, offset, bytes)?,
                (_, None) => return Err(failed(format!("no slice is bound to slot {slot}"))),
            });
        }
        let step = Step::new(kernels, &node.operation, raw, scratch.number())?;
        spread.run(step, scratch)?;
    }
    Ok(())
}

/// The address of a range of a slice.
fn resolve(slice: &Slice, offset: usize, bytes: usize) -> Result<RawOperand, Error> {
    let memory = &slice.memory;
    let whole = RawOperand { address: memory.address(), bytes: memory.bytes() };
    range(range(whole, slice.offset, slice.bytes)?, offset, bytes)
}

/// A range of memory.
fn range(whole: RawOperand, offset: usize, bytes: usize) -> Result<RawOperand, Error> {
    if offset.checked_add(bytes).is_none_or(|end| whole.bytes < end) {
        let message = format!("{bytes} bytes at {offset} leave memory of {} bytes", whole.bytes);
        return Err(failed(message));
    }
    // SAFETY: The range lies inside the memory.
    let address = unsafe { whole.address.add(offset) };
    Ok(RawOperand { address, bytes })
}

/// Calls foreign code, and turns its panic into an error.
pub(crate) fn guard<T>(who: &str, body: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        let error = failed(format!("{who} panicked: {}", message(&*payload)));
        discard(payload);
        Err(error)
    })
}

/// Calls foreign code whose panic concerns nobody else.
pub(crate) fn swallow(body: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(body)) {
        discard(payload);
    }
}

/// How many payloads one panic may leave behind, each from the drop of the last.
const PAYLOADS_MAX: usize = 4;

/// Drops the payload of a panic. Its drop may panic as well, and leave a payload of its own. What
/// goes on like that is forgotten: it must not unwind into the device, nor keep it for ever.
fn discard(mut payload: Box<dyn Any + Send>) {
    for _ in 0..PAYLOADS_MAX {
        match catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            Ok(()) => return,
            Err(another) => payload = another,
        }
    }
    std::mem::forget(payload);
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

fn failed(message: String) -> Error {
    Error::new(ErrorKind::CommandFailed, message)
}
