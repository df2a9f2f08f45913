//! A submission that has started, and what its host legs do.

use std::collections::VecDeque;
use std::mem;

use anabranch_sync::Arc;

use super::clock::Clock;
use super::context::Context;
use super::lane::{Cargo, Lane};
use super::legs::{self, Leg};
use super::state::Job;
use crate::buffer::Slice;
use crate::command::{Command, HostFn, Operation};
use crate::cpu::execute::{self, Step};
use crate::cpu::kernels::{Kernels, RawOperand, Scratch};
use crate::device::{Completion, Span};
use crate::error::{Error, ErrorKind};
use crate::heap::Heap;
use crate::kernel::Kernel;
use crate::order::Slot;

/// What a submission carries until it starts.
pub(super) struct Work {
    pub(super) commands: Vec<Command>,
    pub(super) lane: Arc<Lane>,
}

/// See the [module](self). Whoever holds it acts on it.
pub(super) struct Flight {
    pub(super) slot: Slot,
    value: u64,
    lane: Arc<Lane>,
    commands: Vec<Command>,
    legs: VecDeque<Leg>,
    cargo: Cargo,
    enqueued_ns: u64,
    span: Option<Span>,
    result: Result<(), Error>,
}

/// What a flight needs next.
pub(super) enum Next {
    /// Its leg is with the card.
    Land(Flight),
    /// A host thread.
    Host(Flight),
    /// Its end told.
    Report(Flight),
}

/// What is left of a flight that was reported.
pub(super) struct Reported {
    pub(super) slot: Slot,
    pub(super) value: u64,
    pub(super) result: Result<(), Error>,
}

impl Flight {
    pub(super) fn new(job: Job<Work>) -> Self {
        let Job { slot, value, work: Work { commands, lane }, verdict } = job;
        let legs = if verdict.is_ok() { legs::divide(&commands) } else { VecDeque::new() };
        let (cargo, enqueued_ns, span) = (Cargo::default(), 0, None);
        Self { slot, value, lane, commands, legs, cargo, enqueued_ns, span, result: verdict }
    }

    pub(super) fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    /// Goes on up to the next landing, or as far as the thread may: only one of the device's runs
    /// what belongs to the host.
    pub(super) fn advance(mut self, context: &Context, clock: &Clock, is_host: bool) -> Next {
        loop {
            if self.result.is_ok() {
                self.result = context.check();
            }
            if self.result.is_err() {
                return Next::Report(self);
            }
            let Some(leg) = self.legs.front() else { return Next::Report(self) };
            if leg.is_on_host() && !is_host {
                return Next::Host(self);
            }
            let leg = self.legs.pop_front().expect("the front was there a line ago");
            self.enqueued_ns = clock.now_ns();
            if leg.is_on_host() {
                self.result = self.run_on_host(&leg);
                self.note(Span { start_ns: self.enqueued_ns, end_ns: clock.now_ns() });
                continue;
            }
            let mut is_aloft = false;
            match self.lane.enqueue(&self.commands, &leg, &mut is_aloft) {
                Ok(cargo) => self.cargo = cargo,
                Err(error) => self.result = Err(error),
            }
            if is_aloft {
                return Next::Land(self);
            }
        }
    }

    /// Whether the card is done with the leg.
    pub(super) fn has_landed(&self) -> bool {
        self.lane.port().has_landed()
    }

    /// Takes in what the card wrote.
    pub(super) fn land(&mut self, clock: &Clock) {
        let stamps = self.lane.port().stamps();
        let card = Span { start_ns: stamps.start_ns, end_ns: stamps.end_ns };
        let known = Span { start_ns: self.enqueued_ns, end_ns: clock.now_ns() };
        self.note(clock.place(card, known));
        self.lane.unload(mem::take(&mut self.cargo));
        if stamps.failure != 0 && self.result.is_ok() {
            let message = "a command found contents that it cannot be done for";
            self.result = Err(Error::new(ErrorKind::CommandFailed, message));
        }
    }

    /// Ends it with an error, whatever the card still does.
    pub(super) fn fail(&mut self, error: &Error) {
        if self.result.is_ok() {
            self.result = Err(error.clone());
        }
    }

    fn note(&mut self, leg: Span) {
        let start_ns = self.span.map_or(leg.start_ns, |span| span.start_ns);
        self.span = Some(Span { start_ns, end_ns: leg.end_ns });
    }

    /// Lets go of everything and tells the sink.
    pub(super) fn report(self, clock: &Clock) -> Reported {
        let Self { slot, value, lane, commands, cargo, span, result, .. } = self;
        // Whoever is told may count on the memory to be free.
        execute::swallow(|| drop((commands, cargo)));
        let span = span.unwrap_or_else(|| {
            let now_ns = clock.now_ns();
            Span { start_ns: now_ns, end_ns: now_ns }
        });
        let completion = Completion { value, span, result: result.clone() };
        execute::swallow(|| lane.sink().finished(completion));
        lane.reach(value);
        execute::swallow(|| drop(lane));
        Reported { slot, value, result }
    }

    fn run_on_host(&mut self, leg: &Leg) -> Result<(), Error> {
        match (leg, &mut self.commands[leg.first()]) {
            (Leg::Host(_), Command::Host(function)) => {
                let spent: HostFn = Box::new(|| Ok(()));
                let function = mem::replace(function, spent);
                execute::guard("a host function", function)
            }
            (Leg::Routine(_), Command::Run { operation, operands }) => routine(operation, operands),
            (&Leg::Node { node, .. }, Command::Launch { executable, table }) => {
                let node = &executable.nodes()[node];
                let operand = |operand: &crate::command::Operand| {
                    let unbound = || failed(format!("no slice is bound to slot {}", operand.slot));
                    let slice = table.get(operand.slot as usize).ok_or_else(unbound)?;
                    let inside = operand.offset.checked_add(operand.bytes);
                    if inside.is_none_or(|end| slice.bytes < end) {
                        return Err(failed(format!("{operand:?} leaves its slice")));
                    }
                    let (offset, bytes) = (slice.offset + operand.offset, operand.bytes);
                    Ok(Slice { memory: slice.memory.clone(), offset, bytes })
                };
                let operands = node.operands.iter().map(operand);
                routine(&node.operation, &operands.collect::<Result<Vec<_>, _>>()?)
            }
            _ => unreachable!("the other legs are the card's"),
        }
    }
}

/// Runs a routine on copies of its operands.
fn routine(operation: &Operation, operands: &[Slice]) -> Result<(), Error> {
    let Operation::Kernel(kernel) = operation else {
        unreachable!("only routines run on the host")
    };
    let Kernel::Routine(routine) = &**kernel else { unreachable!("only routines run on the host") };
    let heap = Arc::new(Heap::new(usize::MAX));
    let inputs = routine.inputs.len();
    let mut copies = Vec::new();
    for (index, slice) in operands.iter().enumerate() {
        let copy = Heap::allocate(&heap, slice.bytes)?;
        if index < inputs {
            let mut bytes = vec![0; slice.bytes];
            slice.memory.read(slice.offset, &mut bytes)?;
            copy.write(0, &bytes)?;
        }
        copies.push(copy);
    }
    let operand =
        |copy: &crate::buffer::Memory| RawOperand { address: copy.address(), bytes: copy.bytes() };
    let raw: Vec<_> = copies.iter().map(operand).collect();
    let mut scratch = Scratch::default();
    Step::new(Kernels::default(), operation, &raw, scratch.number())?.run_all(&mut scratch)?;
    let results = operands.iter().zip(&copies).skip(inputs);
    for ((slice, copy), &bytes) in results.zip(&routine.outputs) {
        let mut result = vec![0; bytes];
        copy.read(0, &mut result)?;
        slice.memory.write(slice.offset, &result)?;
    }
    Ok(())
}

fn failed(message: String) -> Error {
    Error::new(ErrorKind::CommandFailed, message)
}
