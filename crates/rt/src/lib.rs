//! The kernel of the runtime: decides what may run when, and owns every limit.
//!
//! A [`Device`] lends [`Stream`]s, in-order lanes that any thread may use, and allocates
//! [`Buffer`]s. [`Command`]s are submitted to streams; [`Snapshot`]s and [`Event`]s order streams
//! among each other, and so do the buffers that commands share; a [`Graph`] is a list of commands
//! that runs as one. Everything can be bounded by a [`Deadline`], every refusal is a typed
//! [`Error`], and the kernel starts no thread, reads no clock and has no global state.
//!
//! Locks are acquired upwards only, in the order of the module `rank`. None is held while the
//! device or the user is called, or while a thread waits.
#![forbid(unsafe_code)]

mod command;
mod device;
mod error;
mod event;
mod frontier;
mod gate;
mod graph;
mod history;
mod invariant;
mod limits;
mod memory;
mod pool;
mod stream;
#[cfg(test)]
mod tests;
mod timeline;
mod trace;

/// The order in which locks are acquired: LK-1 Ranked.
mod rank {
    use anabranch_sync::Rank;

    pub(crate) const POOL: Rank = Rank::one(1);
    /// All of them for one consistent cut, in the order of the stripes.
    pub(crate) const WARM: Rank = Rank::many(2);
    pub(crate) const SECTION: Rank = Rank::one(3);
    /// Those of all buffers that one command names, in the order of their numbers.
    pub(crate) const USAGE: Rank = Rank::many(4);
    /// All of them for one consistent cut, in the order of the arenas and of the sizes.
    pub(crate) const CLASS: Rank = Rank::many(5);
    pub(crate) const OUTBOX: Rank = Rank::one(6);
    pub(crate) const TIMELINE: Rank = Rank::one(7);
    /// All of them to change the list of streams, in the order of the stripes.
    pub(crate) const REGISTRY: Rank = Rank::many(8);
    /// The event pool, and whatever else is held for one access.
    pub(crate) const LEAF: Rank = Rank::one(8);
}

pub use anabranch_sync::Deadline;

pub use command::{Command, View};
pub use device::Device;
pub use error::{Error, ErrorKind};
pub use event::{Event, EventStats, Snapshot};
pub use graph::{Capture, Executable, Graph};
pub use history::{History, Tally, Violation};
pub use limits::Limits;
pub use memory::buffer::Buffer;
pub use memory::{MemorySegment, MemoryStats};
pub use pool::{Lease, LeasePolicy, StreamStats};
pub use stream::handle::{CommitMode, Stream};
pub use trace::TraceRecord;

/// Holds at compile time that a type may be shared between threads.
const fn assert_send_sync<T: Send + Sync>() {}

/// Holds at compile time that a type borrows nothing: what it refers to lives as long as it does.
const fn assert_owns<T: Clone + 'static>() {}

const _: () = {
    // EV-8 OutlivesStream: a snapshot owns its stream, whatever becomes of handle, lease and pool.
    assert_owns::<Snapshot>();
    // AL-6 NoUseAfterFree: a view, and so each operand of a command, owns its buffer.
    assert_owns::<View>();
    // GR-12 OutputsSurvive: what a graph writes is shared with it, not its own.
    assert_owns::<Buffer>();
};

const _: () = {
    // AL-16 FreeAnywhere: the last reference to a buffer may be dropped by any thread.
    assert_send_sync::<Buffer>();
    assert_send_sync::<Command>();
    assert_send_sync::<CommitMode>();
    assert_send_sync::<Device>();
    assert_send_sync::<Error>();
    assert_send_sync::<ErrorKind>();
    assert_send_sync::<Event>();
    assert_send_sync::<EventStats>();
    assert_send_sync::<Executable>();
    assert_send_sync::<Graph>();
    assert_send_sync::<Lease>();
    assert_send_sync::<LeasePolicy>();
    assert_send_sync::<Limits>();
    assert_send_sync::<MemorySegment>();
    assert_send_sync::<MemoryStats>();
    assert_send_sync::<Snapshot>();
    assert_send_sync::<Stream>();
    assert_send_sync::<StreamStats>();
    assert_send_sync::<TraceRecord>();
    assert_send_sync::<History>();
    assert_send_sync::<Tally>();
    assert_send_sync::<Violation>();
    assert_send_sync::<View>();
};
