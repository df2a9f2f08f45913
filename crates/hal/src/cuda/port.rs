//! Where a stream of the card tells the host how far it has come.

use std::ptr::NonNull;

use anabranch_sync::atomic::{AtomicU64, Ordering, fence};

use super::ffi::{self, Address, Outcome, Stream};
use crate::device::Priority;

/// What a stream and the host share, as `stamps.cu` lays it out.
#[repr(C)]
struct Words {
    end_ns: u64,
    start_ns: u64,
    failure: u32,
}

/// Two cache lines, because processors fetch them in pairs.
const PLACE_BYTES: usize = 128;

const PLACES: usize = 64;

/// Memory of the host that is divided among ports.
pub(super) struct Page {
    host: NonNull<u8>,
    address: Address,
    taken: usize,
}

// SAFETY: The memory belongs to whoever took its places.
unsafe impl Send for Page {}

impl Page {
    pub(super) fn make() -> Outcome<Self> {
        let (host, address) = ffi::allocate_host(PLACES * PLACE_BYTES)?;
        let host = NonNull::new(host).expect("the driver hands out memory that is not at zero");
        Ok(Self { host, address, taken: 0 })
    }

    /// A place that nobody else has.
    pub(super) fn take(&mut self) -> Option<Place> {
        (self.taken < PLACES).then(|| {
            let offset = self.taken * PLACE_BYTES;
            self.taken += 1;
            // SAFETY: The place lies inside the page.
            let host = unsafe { self.host.add(offset) };
            Place { words: host.cast(), address: self.address + offset as u64 }
        })
    }

    /// Frees the memory, whose places nobody uses any longer.
    pub(super) fn destroy(self) {
        // SAFETY: It was made by the driver, and the caller vouches for the rest.
        let _ = unsafe { ffi::free_host(self.host.as_ptr()) };
    }
}

/// Memory of one port.
pub(super) struct Place {
    words: NonNull<Words>,
    address: Address,
}

/// A stream with a place where it reports. One leg of a submission uses it at a time.
pub(super) struct Port {
    stream: Stream,
    priority: Priority,
    words: NonNull<Words>,
    address: Address,
    allocations: AtomicU64,
}

// SAFETY: The words are read and written as volatile, by the host and the card, in turns that the
// executor gives out.
unsafe impl Send for Port {}
// SAFETY: As above.
unsafe impl Sync for Port {}

/// What the card wrote down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamps {
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
    pub(super) failure: u32,
}

impl Port {
    pub(super) fn new(stream: Stream, priority: Priority, place: Place) -> Self {
        let Place { words, address } = place;
        let port = Self { stream, priority, words, address, allocations: AtomicU64::new(0) };
        port.reset();
        port
    }

    pub(super) fn stream(&self) -> Stream {
        self.stream
    }

    pub(super) fn priority(&self) -> Priority {
        self.priority
    }

    /// How many allocations the stream is behind.
    pub(super) fn allocations(&self) -> &AtomicU64 {
        &self.allocations
    }

    /// Where the card writes.
    pub(super) fn address(&self) -> Address {
        self.address
    }

    /// Where the card notes that a command failed.
    pub(super) fn failure_address(&self) -> Address {
        self.address + std::mem::offset_of!(Words, failure) as u64
    }

    /// Forgets what was written, before the next leg is enqueued.
    pub(super) fn reset(&self) {
        // SAFETY: The place is the port's, and nothing of its stream is in flight.
        unsafe { self.words.write_volatile(Words { end_ns: 0, start_ns: 0, failure: 0 }) };
    }

    /// Whether the leg in flight has ended. What it did is visible to this thread then.
    pub(super) fn has_landed(&self) -> bool {
        let end_ns = self.words.as_ptr().cast::<u64>();
        // SAFETY: The end is the first word of the place.
        let landed = unsafe { end_ns.read_volatile() } != 0;
        if landed {
            fence(Ordering::Acquire);
        }
        landed
    }

    /// What the card wrote, of a leg that has landed.
    pub(super) fn stamps(&self) -> Stamps {
        // SAFETY: The place is the port's.
        let Words { end_ns, start_ns, failure } = unsafe { self.words.read_volatile() };
        Stamps { start_ns, end_ns, failure }
    }

    /// Destroys the stream, of which nothing is in flight.
    pub(super) fn destroy(self) {
        // SAFETY: Nobody has the port any longer.
        let _ = unsafe { self.stream.destroy() };
    }
}
