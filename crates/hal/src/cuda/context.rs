//! A card that this process has opened: its functions, its memory.
//!
//! Whoever calls the driver enters the context first, on every thread. What a context hands out
//! keeps it alive, so it ends with the last allocation.

use std::collections::HashMap;
use std::ffi::c_int;
use std::fmt;

use anabranch_sync::atomic::{AtomicBool, AtomicU64, Ordering};
use anabranch_sync::process::Generation;
use anabranch_sync::{Arc, Mutex};

use super::compiler::Functions;
use super::ffi::{
    self, Address, Attribute, Event, Function, Module, Outcome, Pool, Primary, Stream,
};
use super::kernels::{Arithmetic, Means};
use super::overlap;
use super::port::{Page, Port};
use super::shelf::{Handles, Shelf};
use super::transfer::{Pinned, Transfer};
use crate::device::Priority;
use crate::error::{Error, ErrorKind};
use crate::heap::Budget;

/// The least compute capability that the functions are compiled for.
const MAJOR_MIN: c_int = 8;

/// See the [module](self). Thread-safe.
pub(super) struct Context {
    generation: Generation,
    primary: Primary,
    arithmetic: Arithmetic,
    shelf: Shelf,
    modules: Vec<Module>,
    functions: HashMap<String, Function>,
    shared_bytes_max: u32,
    overlaps: bool,
    priorities: (c_int, c_int),
    pool: Pool,
    /// Where memory is made and freed.
    keeper: Stream,
    /// The last allocation, whose memory is there for whoever waits for it.
    allocated: Event,
    allocations: AtomicU64,
    pages: Mutex<Vec<Page>>,
    transfers: Mutex<Vec<Transfer>>,
    /// Staging memory that nobody has.
    pinned: Mutex<Vec<Pinned>>,
    budget: Budget,
    is_lost: AtomicBool,
    loss: Mutex<Option<Error>>,
    // The last one to go.
    _retained: Retained,
}

/// The claim of this process on the state of a card.
struct Retained {
    generation: Generation,
    index: c_int,
}

impl Drop for Retained {
    fn drop(&mut self) {
        if !self.generation.is_forked() {
            // SAFETY: It was retained when this was made, and everything of it is gone.
            let _ = unsafe { Primary::release(self.index) };
        }
    }
}

impl Context {
    /// Opens a card, of which `memory_bytes` may be allocated.
    ///
    /// # Errors
    /// `Unsupported` for a card or a driver that cannot do what is needed, `MustRestartProcess`
    /// after a failure that the driver does not forget, `OutOfMemory`.
    pub(super) fn open(
        index: c_int,
        memory_bytes: usize,
        arithmetic: Arithmetic,
        shelf: Shelf,
        functions: &Functions,
    ) -> Result<Arc<Self>, Error> {
        let opened = Self::try_open(index, memory_bytes, arithmetic, shelf, functions);
        opened.map(Arc::new).map_err(|refusal| {
            let message = format!("cuda:{index} cannot be opened: {refusal}");
            let kind = match refusal.error("").kind() {
                ErrorKind::DeviceLost => ErrorKind::MustRestartProcess,
                ErrorKind::OutOfMemory => ErrorKind::OutOfMemory,
                _ => ErrorKind::Unsupported,
            };
            Error::new(kind, message)
        })
    }

    fn try_open(
        index: c_int,
        memory_bytes: usize,
        arithmetic: Arithmetic,
        shelf: Shelf,
        texts: &Functions,
    ) -> Outcome<Self> {
        let generation = Generation::current();
        let primary = Primary::retain(index)?;
        let retained = Retained { generation, index };
        primary.enter()?;
        let mut modules = Vec::new();
        let mut functions = HashMap::new();
        let overlaps = ffi::can_overlap(index)?;
        for ptx in texts.texts() {
            let module = match overlaps {
                true => Module::load(&overlap::waiting(ptx))?,
                false => Module::load(ptx)?,
            };
            for name in entries(ptx) {
                functions.insert(name.to_owned(), module.function(name)?);
            }
            modules.push(module);
        }
        let shared = ffi::attribute(index, Attribute::SharedBytesMax)?;
        let (least, greatest) = ffi::priorities()?;
        Ok(Self {
            generation,
            primary,
            arithmetic,
            shelf,
            modules,
            functions,
            shared_bytes_max: u32::try_from(shared).unwrap_or(0),
            overlaps,
            priorities: (least, greatest),
            pool: Pool::create(index)?,
            keeper: Stream::create(greatest)?,
            allocated: Event::create()?,
            allocations: AtomicU64::new(0),
            pages: Mutex::new(Vec::new()),
            transfers: Mutex::new(Vec::new()),
            pinned: Mutex::new(Vec::new()),
            budget: Budget::new(memory_bytes),
            is_lost: AtomicBool::new(false),
            loss: Mutex::new(None),
            _retained: retained,
        })
    }

    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    pub(super) fn primary(&self) -> Primary {
        self.primary
    }

    /// What computes products.
    pub(super) fn means(&self) -> Means {
        Means { arithmetic: self.arithmetic, offer: self.shelf.offer(), calls: true }
    }

    pub(super) fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// What a stream has of the libraries.
    pub(super) fn make_handles(&self) -> Result<Option<Handles>, Error> {
        self.enter()?;
        self.shelf.make_handles(|| Stream::create(self.priorities.0))
    }

    /// Whether a function may begin while the one before ends.
    pub(super) fn overlaps(&self) -> bool {
        self.overlaps
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Makes the calls of this thread go to the card.
    pub(super) fn enter(&self) -> Result<(), Error> {
        self.note("entering the card", self.primary.enter())
    }

    /// A function by its name.
    pub(super) fn function(&self, name: &str) -> Result<Function, Error> {
        let missing =
            || Error::new(ErrorKind::Unsupported, format!("no function is called {name}"));
        self.functions.get(name).copied().ok_or_else(missing)
    }

    /// Allows a function blocks with so much dynamic shared memory.
    pub(super) fn allow_shared_bytes(&self, function: Function, bytes: u32) -> Result<(), Error> {
        // What every function may have without being asked.
        const ALLOWED: u32 = 48 << 10;
        if bytes <= ALLOWED {
            return Ok(());
        }
        if self.shared_bytes_max < bytes {
            let message = format!("{bytes} bytes of shared memory, of {}", self.shared_bytes_max);
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        // All that there is, so that no later call allows less.
        let bytes = c_int::try_from(self.shared_bytes_max).unwrap_or(c_int::MAX);
        self.note("asking for shared memory", function.allow_shared_bytes(bytes))
    }

    /// The error of an act of the driver; one that the card does not recover from is kept.
    pub(super) fn note<T>(&self, act: &str, outcome: Outcome<T>) -> Result<T, Error> {
        outcome.map_err(|refusal| {
            let error = refusal.error(act);
            if refusal.is_fatal() { self.lose(&error) } else { error }
        })
    }

    /// Keeps the first error that the card does not recover from, and returns it.
    pub(super) fn lose(&self, error: &Error) -> Error {
        if let Err(first) = self.check() {
            return first;
        }
        let message = format!("{error}; the process must restart to use the device again");
        let error = Error::new(ErrorKind::DeviceLost, message);
        let first = self.loss.lock().get_or_insert(error).clone();
        self.is_lost.store(true, Ordering::Release);
        first
    }

    /// The error of a card that is lost.
    pub(super) fn check(&self) -> Result<(), Error> {
        if !self.is_lost.load(Ordering::Acquire) {
            return Ok(());
        }
        self.loss.lock().clone().map_or(Ok(()), Err)
    }

    /// Zeroed memory, there for every stream that [follows](Self::follow) from now on.
    pub(super) fn make_block(&self, bytes: usize) -> Result<Address, Error> {
        self.enter()?;
        let made = self.pool.allocate(bytes, self.keeper).or_else(|refusal| {
            if !refusal.is_out_of_memory() {
                return Err(refusal);
            }
            // What was freed in pieces that do not fit may fit once the card has it back.
            self.keeper.synchronize()?;
            self.pool.trim()?;
            self.pool.allocate(bytes, self.keeper)
        });
        let address = self.note("allocating", made)?;
        // SAFETY: The memory was just made and belongs to nobody else yet.
        let zeroed = unsafe { self.keeper.fill(address, 0, bytes) };
        let ready = zeroed.and_then(|()| self.allocated.record(self.keeper));
        self.note("zeroing memory", ready).inspect_err(|_| self.free_block(address))?;
        self.allocations.fetch_add(1, Ordering::Release);
        Ok(address)
    }

    /// Frees memory that nobody uses any longer. Never waits.
    pub(super) fn free_block(&self, address: Address) {
        if self.enter().is_ok() {
            // SAFETY: Whoever owned the block has let go of it, and what ran on it has ended.
            let freed = unsafe { ffi::free(address, self.keeper) };
            // Memory of a card that is lost is lost with it.
            let _ = self.note("freeing memory", freed);
        }
    }

    /// Puts a stream behind every allocation that was made before. `seen` is how many it is behind
    /// already.
    pub(super) fn follow(&self, stream: Stream, seen: &AtomicU64) -> Result<(), Error> {
        let made = self.allocations.load(Ordering::Acquire);
        if seen.load(Ordering::Relaxed) < made {
            self.note("waiting for an allocation", stream.wait(self.allocated))?;
            seen.store(made, Ordering::Relaxed);
        }
        Ok(())
    }

    /// A stream of this priority with a place in memory of the host.
    pub(super) fn make_port(&self, priority: Priority) -> Result<Port, Error> {
        self.enter()?;
        let (least, greatest) = self.priorities;
        let level = match priority {
            Priority::Low => least,
            Priority::Normal => least + (greatest - least) / 2,
            Priority::High => greatest,
        };
        let stream = self.note("creating a stream", Stream::create(level))?;
        let place = self.take_place()?;
        Ok(Port::new(stream, priority, place))
    }

    fn take_place(&self) -> Result<super::port::Place, Error> {
        if let Some(place) = self.pages.lock().iter_mut().find_map(Page::take) {
            return Ok(place);
        }
        let mut page = self.note("pinning memory of the host", Page::make())?;
        let place = page.take().expect("a fresh page has room");
        self.pages.lock().push(page);
        Ok(place)
    }

    /// A stream for copies to and from the host.
    pub(super) fn take_transfer(&self) -> Result<Transfer, Error> {
        if let Some(transfer) = self.transfers.lock().pop() {
            return Ok(transfer);
        }
        self.enter()?;
        self.note("making room for copies", Transfer::make(self.priorities.1))
    }

    pub(super) fn put_transfer(&self, transfer: Transfer) {
        self.transfers.lock().push(transfer);
    }

    /// Staging memory of at least so many bytes: the smallest that is idle, or more of it.
    pub(super) fn take_pinned(&self, bytes: usize) -> Result<Pinned, Error> {
        let mut spare = self.pinned.lock();
        let fits = spare.iter().enumerate().filter(|(_, pinned)| bytes <= pinned.bytes());
        if let Some((index, _)) = fits.min_by_key(|(_, pinned)| pinned.bytes()) {
            return Ok(spare.swap_remove(index));
        }
        drop(spare);
        self.enter()?;
        self.note("pinning memory of the host", Pinned::make(bytes))
    }

    pub(super) fn put_pinned(&self, pinned: Pinned) {
        self.pinned.lock().push(pinned);
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if self.generation.is_forked() || self.primary.enter().is_err() {
            return;
        }
        // What a lost card says here concerns nobody.
        for transfer in self.transfers.get_mut().drain(..) {
            transfer.destroy();
        }
        for pinned in self.pinned.get_mut().drain(..) {
            pinned.destroy();
        }
        for page in self.pages.get_mut().drain(..) {
            page.destroy();
        }
        // SAFETY: Nobody has the context any longer.
        let _ = unsafe { self.allocated.destroy() };
        // SAFETY: As above.
        let _ = unsafe { self.keeper.destroy() };
        // SAFETY: As above; every allocation kept the context.
        let _ = unsafe { self.pool.destroy() };
        for module in self.modules.drain(..) {
            // SAFETY: As above; nothing runs.
            let _ = unsafe { module.unload() };
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({:?})", self.primary)
    }
}

/// Whether the card can do what is needed.
pub(super) fn check_card(index: c_int) -> Result<(), Error> {
    let ask = |attribute| {
        ffi::attribute(index, attribute)
            .map_err(|refusal| Error::new(ErrorKind::Unsupported, refusal.to_string()))
    };
    let (major, minor) = (ask(Attribute::Major)?, ask(Attribute::Minor)?);
    if major < MAJOR_MIN {
        let message = format!("cuda:{index} is of compute capability {major}.{minor}, below 8.0");
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    if ask(Attribute::HasPools)? == 0 {
        let message = format!("cuda:{index} has no memory in the order of streams");
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    Ok(())
}

/// The names of the functions in a module.
pub(super) fn entries(ptx: &str) -> impl Iterator<Item = &str> {
    ptx.lines().filter_map(|line| {
        let name = line.trim_start().strip_prefix(".visible .entry ")?;
        Some(name.split('(').next().unwrap_or(name).trim())
    })
}
