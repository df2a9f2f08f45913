//! What the tests of the kernel have in common: devices in known states, and short names.

use std::fmt::Debug;
use std::hash::Hash;

use anabranch_hal::error as hal;
use anabranch_hal::sim::{self, Config, SimControl};
use anabranch_hal::{cpu, null};
use anabranch_sync::atomic::{AtomicUsize, Ordering};
use anabranch_sync::{Arc, Deadline};
use stateright::{Checker, Expectation, Model, Property};

use crate::{Buffer, Device, Error, ErrorKind, Limits, Stream};

pub(crate) const NEVER: Deadline = Deadline::NEVER;
pub(crate) const NOW: Deadline = Deadline::NOW;

/// A device that completes everything on the thread that commits it.
pub(crate) fn null_device() -> Device {
    null_with(Limits::default())
}

pub(crate) fn null_with(limits: Limits) -> Device {
    Device::open(null::open(64 << 20), limits).unwrap()
}

/// A device on which nothing runs until its control says so.
pub(crate) fn manual() -> (Device, SimControl) {
    manual_with(Limits::default())
}

pub(crate) fn manual_with(limits: Limits) -> (Device, SimControl) {
    let (native, control) = sim::open(&Config::manual());
    (Device::open(native, limits).unwrap(), control)
}

/// A device driven by those who submit and wait, in an order drawn from `seed`.
pub(crate) fn lazy_with(seed: u64, limits: Limits) -> (Device, SimControl) {
    let (native, control) = sim::open(&Config::lazy(seed));
    (Device::open(native, limits).unwrap(), control)
}

pub(crate) fn cpu_device(workers: usize) -> Device {
    let config = cpu::CpuConfig { workers, memory_bytes: 64 << 20, ..Default::default() };
    Device::open(cpu::open(&config).unwrap(), Limits::default()).unwrap()
}

pub(crate) fn streams_max(streams_max: usize) -> Limits {
    Limits { streams_max, streams_grown_max: streams_max, ..Limits::default() }
}

/// How a call failed; a success is a test that fails.
#[track_caller]
pub(crate) fn kind<T: Debug>(result: Result<T, Error>) -> ErrorKind {
    result.expect_err("this call was to be refused").kind()
}

pub(crate) fn failure(message: &str) -> hal::Error {
    hal::Error::new(hal::ErrorKind::CommandFailed, message)
}

/// Appends a command that fails when it runs.
pub(crate) fn doom(stream: &Stream, message: &str) {
    let error = failure(message);
    stream.host(move || Err(error)).unwrap();
}

/// Submits a function that counts.
pub(crate) fn counting(stream: &Stream, counter: &Arc<AtomicUsize>) {
    let counter = Arc::clone(counter);
    let count = move || {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    stream.host(count).unwrap();
}

pub(crate) fn contents(buffer: &Buffer) -> Vec<u8> {
    let mut bytes = vec![0; buffer.bytes()];
    buffer.read(0, &mut bytes).unwrap();
    bytes
}

/// A host buffer with these contents.
pub(crate) fn host_buffer(device: &Device, bytes: &[u8]) -> Buffer {
    let buffer = device.allocate_host(bytes.len()).unwrap();
    buffer.write(0, bytes).unwrap();
    buffer
}

/// Visits every state of `model`, of which there are `states`: the properties that always hold
/// do, and those that hold sometimes have been met.
///
/// A property that always holds is never found broken, so the search cannot end before the last
/// state.
#[track_caller]
pub(crate) fn explore<M>(model: M, states: usize)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq,
{
    let lasting = |property: &Property<M>| property.expectation == Expectation::Always;
    assert!(model.properties().iter().any(lasting), "nothing keeps the search going");
    let search = model.checker().spawn_bfs().join();
    search.assert_properties();
    assert!(search.is_done(), "the search ended early");
    assert_eq!(
        search.unique_state_count(),
        states,
        "drift: another number of states is another model; where that is meant, write it here"
    );
    println!("searched {states} states");
}

/// Whether nothing can happen any more.
pub(crate) fn is_at_rest<M: Model>(model: &M, state: &M::State) -> bool {
    let mut actions = Vec::new();
    model.actions(state, &mut actions);
    actions.is_empty()
}

/// Counts to three, in four states.
#[derive(Clone)]
struct Three(Expectation);

impl Model for Three {
    type State = u8;
    type Action = ();

    fn init_states(&self) -> Vec<u8> {
        vec![0]
    }

    fn actions(&self, state: &u8, actions: &mut Vec<()>) {
        actions.extend((*state < 3).then_some(()));
    }

    fn next_state(&self, state: &u8, (): ()) -> Option<u8> {
        Some(state + 1)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let expectation = self.0.clone();
        vec![Property { expectation, name: "three at most", condition: |_, state| *state <= 3 }]
    }
}

#[test]
fn a_search_has_seen_every_state() {
    explore(Three(Expectation::Always), 4);
}

#[test]
#[should_panic(expected = "another number of states is another model")]
fn a_number_of_states_that_drifted_is_refused() {
    explore(Three(Expectation::Always), 5);
}

#[test]
#[should_panic(expected = "nothing keeps the search going")]
fn a_search_that_may_end_early_is_refused() {
    explore(Three(Expectation::Sometimes), 4);
}
