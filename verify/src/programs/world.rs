//! A program under way: the runtime's objects, and the log of what happened to them.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;

use anabranch_hal::device::QueueId;
use anabranch_hal::error as hal;
use anabranch_hal::sim::SimControl;
use anabranch_rt::{Buffer, CommitMode, Deadline, Device, Error, ErrorKind, Lease, Stream, View};
use anabranch_sync::atomic::{AtomicBool, Ordering};
use anabranch_sync::{Arc, Mutex};

use super::log::{Callback, Command, Lane, Note};
use super::operation::{BYTES, Operation};
use super::{BUFFERS, GRAPHS, On, STREAMS, Step, Summary, verdict};

mod child;
mod memory;

use memory::Captured;

/// Commands whose snapshots are asked again after each step.
const LOOKED_AT: usize = 8;

type Outcome = Result<(), String>;

/// A stream of the program.
struct Line {
    lease: Lease,
    /// Commands of different parts are in different command buffers.
    part: usize,
}

/// See the [module](self).
pub(super) struct World {
    device: Device,
    on: On,
    control: Option<SimControl>,
    lines: Vec<Line>,
    /// Parts that there were.
    parts: usize,
    /// Of every stream that was reset, how often.
    resets: BTreeMap<QueueId, usize>,
    /// Of this program alone, because a capture takes a stream for itself.
    own: Lease,
    /// Every buffer there ever was; none for what is gone or private.
    objects: Vec<Option<Buffer>>,
    names: [usize; BUFFERS],
    graphs: [Option<Captured>; GRAPHS],
    log: Vec<Note>,
    callbacks: Vec<Callback>,
    /// The places of the commands in the log.
    commands: Vec<usize>,
    drives: u64,
    /// Lanes on which a failure has been seen.
    failed: BTreeSet<Lane>,
    summary: Summary,
}

fn unexpected(what: &str, error: &Error) -> String {
    format!("{what} was refused with {:?}: {error}", error.kind())
}

impl World {
    pub(super) fn new(
        device: &Device,
        on: On,
        control: Option<SimControl>,
    ) -> Result<Self, String> {
        let lease = || device.lease_now().map_err(|error| unexpected("a lease", &error));
        let lines = (0..STREAMS).map(|part| Ok(Line { lease: lease()?, part }));
        let mut world = Self {
            device: device.clone(),
            on,
            control,
            lines: lines.collect::<Result<_, String>>()?,
            parts: STREAMS,
            resets: BTreeMap::new(),
            own: lease()?,
            objects: Vec::new(),
            names: [0; BUFFERS],
            graphs: [const { None }; GRAPHS],
            log: Vec::new(),
            callbacks: Vec::new(),
            commands: Vec::new(),
            drives: 0,
            failed: BTreeSet::new(),
            summary: Summary::default(),
        };
        for name in 0..BUFFERS {
            let buffer = device.allocate_host(BYTES);
            let buffer = buffer.map_err(|error| unexpected("the first memory", &error))?;
            world.names[name] = world.bear(Some(buffer));
        }
        Ok(world)
    }

    /// Takes one step.
    pub(super) fn take(&mut self, step: &Step) -> Outcome {
        match *step {
            Step::Run { stream, operation } => self.operation(stream, operation)?,
            Step::Host { stream } => self.host(stream, None)?,
            Step::Doom { stream, panics } => self.host(stream, Some(panics))?,
            Step::Wait { stream, ago } => self.wait(stream, ago)?,
            Step::Flush { stream, mode } => self.flush(stream, mode)?,
            Step::Query { stream } => self.query(stream)?,
            Step::Synchronize { stream } => self.synchronize(stream)?,
            Step::SynchronizeAll => self.synchronize_all()?,
            Step::Reset { stream } => self.reset(stream)?,
            Step::Exchange { stream } => self.exchange(stream)?,
            Step::Notify { stream } => self.notify(stream)?,
            Step::Renew { buffer, stream } => self.renew(buffer, stream)?,
            Step::HostWrite { buffer, byte } => self.host_write(buffer, byte)?,
            Step::HostRead { buffer } => self.host_read(self.names[buffer])?,
            Step::Trim => drop(self.device.trim().map_err(|error| unexpected("trim", &error))?),
            Step::Capture { graph, pinned, ref operations } => {
                self.capture(graph, pinned, operations)?;
            }
            Step::Launch { graph, stream, from, to } => self.launch(graph, stream, from, to)?,
            Step::Forget { graph } => self.forget(graph),
            Step::Drive { count } => self.drive(count),
            Step::Refuse { count } => {
                self.control.iter().for_each(|control| control.refuse_allocations(count));
            }
            Step::Lose => self.lose(),
        }
        self.look(LOOKED_AT)
    }

    fn stream(&self, line: usize) -> Stream {
        // Nobody runs a manual device while this thread waits.
        match self.on {
            On::Manual => self.lines[line].lease.until(&Deadline::NOW),
            _ => Stream::clone(&self.lines[line].lease),
        }
    }

    fn lane(&self, line: usize) -> Lane {
        let stream = self.lines[line].lease.id();
        Lane { stream, resets: self.resets.get(&stream).copied().unwrap_or(0) }
    }

    fn views(&self) -> Vec<View> {
        let buffer =
            |object: &usize| self.objects[*object].as_ref().expect("a name is of a buffer");
        self.names.iter().map(|object| buffer(object).view()).collect()
    }

    /// Writes down a command that was accepted.
    fn accept(
        &mut self,
        line: usize,
        operations: Vec<Operation>,
        objects: Vec<usize>,
        change: impl FnOnce(&mut Command),
    ) -> Outcome {
        let snapshot = self.lines[line].lease.record();
        let mut command = Command {
            lane: self.lane(line),
            part: self.lines[line].part,
            doomed: false,
            ran: None,
            operations,
            objects,
            snapshot: snapshot.map_err(|error| unexpected("record", &error))?,
            seen: None,
        };
        change(&mut command);
        if self.failed.contains(&command.lane) {
            return Err("SO-12: a stream that failed accepts a command".to_owned());
        }
        self.commands.push(self.log.len());
        self.log.push(Note::Command(command));
        self.summary.commands += 1;
        Ok(())
    }

    /// Writes down a command that was refused, if it may be.
    fn refuse(&mut self, line: usize, objects: Vec<usize>, error: &Error) -> Outcome {
        self.summary.refused += 1;
        match error.kind() {
            ErrorKind::Timeout if self.on == On::Manual => {}
            ErrorKind::Poisoned => self.log.push(Note::Poisoned { objects }),
            ErrorKind::CommandFailed | ErrorKind::DeviceLost => {
                self.log.push(Note::Refused { lane: self.lane(line) });
            }
            _ => return Err(unexpected("a command", error)),
        }
        Ok(())
    }

    fn operation(&mut self, line: usize, operation: Operation) -> Outcome {
        let submitted = self.stream(line).submit(operation.command(&self.views()));
        if !operation.is_legal() {
            let kind = submitted.map_err(|error| error.kind());
            let expected = Err(ErrorKind::InvalidArgument);
            return if kind == expected { Ok(()) } else { Err(format!("ER-6: {kind:?}")) };
        }
        let objects = self.names.to_vec();
        match submitted {
            Ok(()) => self.accept(line, vec![operation], objects, |_| ()),
            Err(error) => self.refuse(line, objects, &error),
        }
    }

    fn host(&mut self, line: usize, panics: Option<bool>) -> Outcome {
        let ran = Arc::new(AtomicBool::new(false));
        let raise = Arc::clone(&ran);
        let submitted = self.stream(line).host(move || {
            raise.store(true, Ordering::Release);
            match panics {
                None => Ok(()),
                Some(false) => Err(hal::Error::new(hal::ErrorKind::CommandFailed, "doomed")),
                Some(true) => resume_unwind(Box::new("doomed")),
            }
        });
        match submitted {
            Ok(()) => self.accept(line, Vec::new(), Vec::new(), |command| {
                command.ran = Some(ran);
                command.doomed = panics.is_some();
            }),
            Err(error) => self.refuse(line, Vec::new(), &error),
        }
    }

    fn wait(&mut self, line: usize, ago: usize) -> Outcome {
        let Some(place) = self.commands.iter().rev().nth(ago).copied() else { return Ok(()) };
        let Note::Command(awaited) = &self.log[place] else { return Ok(()) };
        if awaited.lane.stream == self.lines[line].lease.id() {
            return Ok(());
        }
        let waited = self.stream(line).wait(&awaited.snapshot.clone());
        if waited.as_ref().is_err_and(|error| error.kind() == ErrorKind::Timeout) {
            return Ok(());
        }
        let lane = self.lane(line);
        self.log.push(Note::Wait { lane, awaited: place });
        match waited {
            Ok(()) => Ok(()),
            Err(error) => self.refuse(line, Vec::new(), &error),
        }
    }

    fn flush(&mut self, line: usize, mode: u8) -> Outcome {
        let modes = [CommitMode::Now, CommitMode::Continue, CommitMode::Adaptive];
        let mode = modes[usize::from(mode) % modes.len()].clone();
        let is_sure = matches!(mode, CommitMode::Now);
        match self.stream(line).flush(mode) {
            Ok(()) => {
                if is_sure {
                    self.next_part(line);
                }
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Timeout => Ok(()),
            Err(error) => Err(unexpected("flush", &error)),
        }
    }

    /// What the line submits from here on is in other command buffers than all before.
    fn next_part(&mut self, line: usize) {
        self.lines[line].part = self.parts;
        self.parts += 1;
    }

    fn query(&mut self, line: usize) -> Outcome {
        if let Err(error) = self.stream(line).query() {
            return self.refuse(line, Vec::new(), &error);
        }
        Ok(())
    }

    fn synchronize(&mut self, line: usize) -> Outcome {
        let flushed = self.stream(line).flush(CommitMode::Now);
        self.run_manual();
        if flushed.is_ok() {
            self.next_part(line);
        }
        let deadline = self.deadline();
        let waited = self.lines[line].lease.synchronize(&deadline);
        let lane = self.lane(line);
        match waited {
            Err(error) if error.kind() == ErrorKind::Timeout => {
                return if flushed.is_ok() { Err("LV-3: work is left".to_owned()) } else { Ok(()) };
            }
            Err(error) => self.refuse(line, Vec::new(), &error)?,
            Ok(()) => {}
        }
        self.all_told("SO-6", |command| command.lane == lane)
    }

    fn synchronize_all(&mut self) -> Outcome {
        let flushed = (0..STREAMS)
            .map(|line| self.stream(line).flush(CommitMode::Now))
            .filter(Result::is_err)
            .count();
        self.run_manual();
        let waited = self.device.synchronize(&self.deadline());
        if 0 < flushed || waited.is_err_and(|error| error.kind() == ErrorKind::Timeout) {
            return Ok(());
        }
        self.all_told("SA-1", |_| true)
    }

    /// Everything of these that was submitted has ended.
    fn all_told(&mut self, promise: &str, of: impl Fn(&Command) -> bool) -> Outcome {
        for note in &mut self.log {
            let Note::Command(command) = note else { continue };
            if of(command) {
                command.look()?;
                if command.seen.is_none() {
                    return Err(format!("{promise}: a command has not ended"));
                }
            }
        }
        Ok(())
    }

    /// What waiting may take: on a manual device everything has run before.
    fn deadline(&self) -> Deadline {
        if self.on == On::Manual { Deadline::NOW } else { Deadline::NEVER }
    }

    fn run_manual(&mut self) {
        if let (On::Manual, Some(control)) = (self.on, &self.control) {
            self.drives += 1;
            control.run_until_idle(self.drives);
        }
    }

    fn reset(&mut self, line: usize) -> Outcome {
        match self.lines[line].lease.reset_after_error() {
            Ok(()) => *self.resets.entry(self.lines[line].lease.id()).or_default() += 1,
            Err(error) => match error.kind() {
                ErrorKind::Busy => {}
                ErrorKind::DeviceLost if self.summary.lost => {}
                _ => return Err(unexpected("reset", &error)),
            },
        }
        Ok(())
    }

    fn exchange(&mut self, line: usize) -> Outcome {
        let fresh = match self.device.lease_now() {
            Ok(fresh) => fresh,
            Err(error) if self.summary.lost && error.kind() == ErrorKind::DeviceLost => {
                return Ok(());
            }
            Err(error) => return Err(unexpected("a lease", &error)),
        };
        let old = std::mem::replace(&mut self.lines[line].lease, fresh);
        // What the holder before has left open is not added to.
        self.next_part(line);
        let clone = Stream::clone(&old);
        drop(old);
        let stale = clone.record().map(drop).map_err(|error| error.kind());
        let expected = Err(ErrorKind::StaleHandle);
        if stale == expected { Ok(()) } else { Err(format!("SO-9: an old handle says {stale:?}")) }
    }

    fn notify(&mut self, line: usize) -> Outcome {
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = Arc::clone(&told);
        let stream = self.stream(line);
        let snapshot = stream.record().map_err(|error| unexpected("record", &error))?;
        match stream.on_complete(move |outcome| tell.lock().push(outcome)) {
            Ok(()) => {
                self.next_part(line);
                self.callbacks.push(Callback { snapshot, told });
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Timeout => Ok(()),
            Err(error) => Err(unexpected("on_complete", &error)),
        }
    }

    /// Lets a device that waits for its control take some steps of its own choice.
    fn drive(&mut self, count: u8) {
        let Some(control) = self.control.as_ref().filter(|_| self.on == On::Manual) else { return };
        for _ in 0..count {
            self.drives = self.drives.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (runnable, running) = (control.runnable(), control.running());
            let choices = runnable.len() + running.len();
            if choices == 0 {
                return;
            }
            let pick = usize::try_from(self.drives >> 33).expect("31 bits") % choices;
            match runnable.get(pick) {
                Some(queue) => assert!(control.start(*queue), "it is runnable"),
                None => assert!(control.finish(running[pick - runnable.len()]), "it runs"),
            }
        }
    }

    fn lose(&mut self) {
        if let Some(control) = &self.control {
            control.lose("as the program says");
            self.summary.lost = true;
            self.log.push(Note::Lost);
        }
    }

    /// Asks the last snapshots again.
    fn look(&mut self, count: usize) -> Outcome {
        for place in self.commands.iter().rev().take(count) {
            if let Note::Command(command) = &mut self.log[*place] {
                command.look()?;
                if let Some(Err(_)) = command.seen {
                    self.failed.insert(command.lane);
                }
            }
        }
        Ok(())
    }

    /// Waits for everything, and judges it all but the callbacks, which are for the caller to judge
    /// when the device has ended.
    pub(super) fn finish(
        mut self,
        commands_per_buffer_max: usize,
    ) -> Result<(Summary, Vec<Callback>), String> {
        for line in 0..STREAMS {
            while let Err(error) = self.stream(line).flush(CommitMode::Now) {
                if error.kind() != ErrorKind::Timeout {
                    return Err(unexpected("the last flush", &error));
                }
                self.run_manual();
            }
        }
        self.run_manual();
        let waited = self.device.synchronize(&self.deadline());
        if waited.is_err_and(|error| error.kind() == ErrorKind::Timeout) {
            return Err("LV-1: what was accepted has not ended".to_owned());
        }
        self.all_told("LV-1", |_| true)?;
        for object in 0..self.objects.len() {
            self.host_read(object)?;
        }
        let computes = self.on != On::Null;
        self.summary.failed = verdict::judge(&self.log, computes, commands_per_buffer_max)?;
        Ok((self.summary, self.callbacks))
    }
}
