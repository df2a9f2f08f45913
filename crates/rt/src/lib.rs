//! The kernel of the runtime: decides what may run when, and owns every limit.
//!
//! A [`Device`] lends [`Stream`]s, in-order lanes that any thread may use, and allocates
//! [`Buffer`]s. [`Command`]s are submitted to streams; [`Snapshot`]s and [`Event`]s order streams
//! among each other, and so do the buffers that commands share; a [`Graph`] is a list of commands
//! that runs as one. Everything can be bounded by a [`Deadline`], every refusal is a typed
//! [`Error`], and the kernel starts no thread, reads no clock and has no global state.
//!
//! Lock ranks, acquired upwards only: stream pool, stream section, buffer usage, size class,
//! outbox, timeline. The registry of streams and the event pool are leaves. None is held while
//! the device or the user is called, or while a thread waits.
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

pub use anabranch_sync::Deadline;

pub use command::{Command, View};
pub use device::Device;
pub use error::{Error, ErrorKind};
pub use event::{Event, EventStats, Snapshot};
pub use graph::{Capture, Executable, Graph};
pub use history::{History, Tally, Violation};
pub use limits::Limits;
pub use memory::MemoryStats;
pub use memory::buffer::Buffer;
pub use pool::{Lease, LeasePolicy, StreamStats};
pub use stream::handle::{CommitMode, Stream};
pub use trace::TraceRecord;

/// Holds at compile time that a type may be shared between threads.
const fn assert_send_sync<T: Send + Sync>() {}

const _: () = {
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
