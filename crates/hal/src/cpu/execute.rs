//! Runs the commands of one submission on host memory.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anabranch_sync::model;

use crate::buffer::Slice;
use crate::command::{Command, Executable, HostFn, Operand, Operation};
use crate::cpu::kernels::{Kernels, RawOperand, Scratch};
use crate::error::{Error, ErrorKind};

pub(crate) mod joint;

#[cfg(test)]
mod tests;

/// Fills and copies are divided into tiles of this size: large enough that handing one to another
/// core pays, small enough that one core does not hold the others up. The models spread a few
/// bytes.
pub(crate) const TILE_BYTES: usize = model::bound(8, 8, 256 << 10);

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
    first: usize,
    tiles: usize,
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
        let tiles = match (operation, operands) {
            (Operation::Fill(_), [target]) => target.bytes.div_ceil(TILE_BYTES),
            (Operation::Copy, [source, target]) if source.bytes == target.bytes => {
                target.bytes.div_ceil(TILE_BYTES)
            }
            (Operation::Kernel(kernel), _) => kernels.tile_count(kernel),
            _ => return Err(failed(format!("{operation:?} does not fit its operands"))),
        };
        Ok(Self { kernels, operation, operands, number, first: 0, tiles })
    }

    /// Tiles that are left.
    pub(crate) fn tiles(&self) -> usize {
        self.tiles
    }

    /// Whether it is known to be worth a wake-up before any of it has run.
    pub(crate) fn is_long(&self) -> bool {
        matches!(self.operation, Operation::Kernel(kernel) if LONG_FLOPS <= kernel.flops())
    }

    /// The step without its first tile, which there is.
    pub(crate) fn after_first(self) -> Self {
        Self { first: self.first + 1, tiles: self.tiles - 1, ..self }
    }

    /// Runs the tiles in order, and stops at the first that fails.
    pub(crate) fn run_all(self, scratch: &mut Scratch) -> Result<(), Error> {
        (0..self.tiles).try_for_each(|tile| self.run_tile(tile, scratch))
    }

    /// Runs one of the tiles that are left; a panic inside becomes an error.
    pub(crate) fn run_tile(self, tile: usize, scratch: &mut Scratch) -> Result<(), Error> {
        let tile = self.first + tile;
        scratch.enter(self.number);
        guard("a kernel", || match self.operation {
            Operation::Fill(byte) => {
                let (target, bytes) = part(self.operands[0], tile);
                // SAFETY: The part lies inside the operand, which the kernel above reserves for
                // this command.
                unsafe { target.address.write_bytes(*byte, bytes) };
                Ok(())
            }
            Operation::Copy => {
                let (source, bytes) = part(self.operands[0], tile);
                let (target, _) = part(self.operands[1], tile);
                // SAFETY: Both operands have this size and do not overlap, by the contract of
                // the command.
                unsafe { target.address.copy_from_nonoverlapping(source.address, bytes) };
                Ok(())
            }
            Operation::Kernel(kernel) => {
                // SAFETY: The operands are ranges of live allocations, which the kernel above
                // reserves for this command; the tile is below the count.
                unsafe { self.kernels.run_tile(kernel, self.operands, tile, scratch) }
            }
        })
    }
}

/// The part of an operand that a tile covers.
fn part(operand: RawOperand, tile: usize) -> (RawOperand, usize) {
    let start = tile * TILE_BYTES;
    let bytes = TILE_BYTES.min(operand.bytes - start);
    // SAFETY: The tile is below the count of tiles, so it starts inside the operand.
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
