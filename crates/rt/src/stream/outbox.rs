//! The hand-over of committed command buffers to the device.
//!
//! # What
//! A stream commits inside its section but talks to the device outside of it, so that nothing a
//! device does in [`Queue::submit`](anabranch_hal::device::Queue::submit) runs under a kernel lock.
//! An [`Outbox`] keeps the buffers in commit order in between.
//!
//! # State
//! A queue, and [`state::State`]: whether somebody is handing over, whether it must look again, the
//! last value that the device has been given, and the streams that wait for such a value.
//!
//! # Transitions
//! One thread at a time hands over (`draining`); another one that comes by leaves a note
//! (`again`). The head is held back until everything that it waits for has been given to the
//! device, or, on another device, has completed: no wait reaches a device before its signal.
//!
//! # Who may touch what
//! Pushed by the section's holder; drained by whoever leaves the section, by the stream that a
//! head waited for, and by completions on other devices.
//!
//! # Orderings
//! Everything is under one lock.
//!
//! # Invariants
//! CB-2 CommitOnce, CB-9 CommitOrder, CB-11 NoUncommittedDependency, LV-1 Completion.
//!
//! # Checked by
//! `stream::outbox::tests`, `stream::outbox::state::spec`.

use std::collections::VecDeque;

use anabranch_hal::command::{Command, Submission};

use anabranch_sync::ranked_locks_held;

use super::StreamRef;
use crate::frontier::Mark;
use crate::history::{Event, Pen};
use crate::invariant::invariant;

mod state;
#[cfg(test)]
mod tests;

use state::State;

/// A command buffer on its way to the device.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(super) value: u64,
    pub(super) waits: Vec<Mark>,
    pub(super) commands: Vec<Command>,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Outbox {
    pen: Pen,
    parcels: VecDeque<Parcel>,
    state: State<StreamRef>,
    // What a callback on another device has been registered for.
    watched: Option<Mark>,
}

impl Outbox {
    pub(super) fn new(pen: Pen) -> Self {
        Self { pen, parcels: VecDeque::new(), state: State::default(), watched: None }
    }

    pub(super) fn push(&mut self, parcel: Parcel) {
        let last = self.parcels.back().map_or(self.state.handed(), |parcel| parcel.value);
        invariant!("CB-2 CommitOnce", last < parcel.value);
        self.parcels.push_back(parcel);
    }

    fn pop(&mut self) -> Option<Parcel> {
        let parcel = self.parcels.pop_front()?;
        self.pen.note(Event::Handed(parcel.value));
        Some(parcel)
    }

    fn try_begin(&mut self) -> bool {
        self.state.try_begin(!self.parcels.is_empty())
    }

    /// Notes that a callback is about to be registered for `mark`; false when there is one.
    fn try_watch(&mut self, mark: &Mark) -> bool {
        let same = |watched: &Mark| watched.is_on(&mark.stream) && watched.value == mark.value;
        if self.watched.as_ref().is_some_and(same) {
            return false;
        }
        self.watched = Some(mark.clone());
        true
    }

    /// Whether everything that was put in has been handed over.
    pub(super) fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }
}

/// Hands over whatever can be handed over now, on `stream` and on those that waited for it. With
/// `lend`, this thread is about to wait for the last parcel of `stream`, and the device may run
/// it here instead of waking somebody.
pub(super) fn drain(stream: &StreamRef, lend: bool) {
    let waiting = lend.then(|| stream.id());
    let mut due = vec![stream.clone()];
    while let Some(stream) = due.pop() {
        if !stream.outbox.lock().try_begin() {
            continue;
        }
        loop {
            match take_head(&stream) {
                Some(parcel) => {
                    let value = parcel.value;
                    submit(&stream, parcel, waiting == Some(stream.id()));
                    due.extend(stream.outbox.lock().state.hand(value));
                }
                None => {
                    if stream.outbox.lock().state.try_end() {
                        break;
                    }
                }
            }
        }
    }
}

/// The head, once nothing holds it back.
fn take_head(stream: &StreamRef) -> Option<Parcel> {
    let waits = stream.outbox.lock().parcels.front()?.waits.clone();
    waits.iter().all(|mark| may_pass(stream, mark)).then(|| stream.outbox.lock().pop())?
}

fn may_pass(stream: &StreamRef, mark: &Mark) -> bool {
    if mark.is_complete() {
        return true;
    }
    if mark.stream.is_on_device_of(stream) {
        return mark.stream.outbox.lock().state.is_handed(mark.value, stream);
    }
    if stream.outbox.lock().try_watch(mark) {
        let dependent = stream.clone();
        let wake = move |_| {
            let watched = dependent.outbox.lock().watched.take();
            drop(watched);
            drain(&dependent, false);
        };
        // Refused only for what has ended, which holds nobody back.
        let _ = mark.stream.timeline().on_reach(mark.value, Box::new(wake));
    }
    mark.is_complete()
}

fn submit(stream: &StreamRef, parcel: Parcel, lend: bool) {
    let Parcel { value, waits, mut commands } = parcel;
    // The device knows a queue by its name until the queue is dropped.
    let mut producers = Vec::new();
    for mark in waits {
        // Read before the query: a stream that is reset in between has completed the value.
        let producer = mark.stream.native();
        match mark.stream.timeline().query(mark.value) {
            Ok(true) => {}
            Ok(false) => {
                invariant!("CB-11 NoUncommittedDependency", mark.stream.is_committed(mark.value));
                invariant!("EV-10 CrossDevice", mark.stream.is_on_device_of(stream));
                producers.push((producer, mark.value));
            }
            Err(error) => {
                let error = error.to_native();
                commands.insert(0, Command::Host(Box::new(move || Err(error))));
            }
        }
    }
    let waits = producers.iter().map(|(producer, value)| (producer.id, *value)).collect();
    let submission = Submission { value, waits, commands };
    let native = stream.native();
    debug_assert!(ranked_locks_held() == 0, "LK-2 NoneAcrossWait");
    if lend && stream.outbox.lock().is_empty() {
        let _ = native.queue.submit_and_help(submission);
    } else {
        native.queue.submit(submission);
    }
}
