//! A graphics processor as a device, through the driver of CUDA.
//!
//! The driver's library is looked for when a device is opened or listed; a machine without it has
//! no such devices. Each queue is a stream of the card, each launch a graph of it, and a word in
//! memory of the host says how far a stream has come. Results depend on the operands only, and
//! where libraries are used, on their versions.
//!
//! The functions of the card are compiled by the driver when the device is first opened, and kept
//! by it on disk, where `CUDA_CACHE_DISABLE` does not forbid that. What it compiles was made ahead
//! of time, or where libraries are wanted, by NVRTC, and is kept on disk as well.

mod cache;
mod clock;
mod compiler;
mod context;
mod executor;
mod ffi;
mod flight;
mod instances;
mod kernels;
mod lane;
mod legs;
mod lowering;
mod memory;
mod overlap;
mod port;
mod shelf;
mod state;
mod transfer;
mod yard;

use std::ffi::c_int;

use self::compiler::Functions;
use self::context::{Context, check_card};
use self::executor::Executor;
use self::kernels::Arithmetic;
use self::shelf::Shelf;
use crate::device::{Device, Info, Libraries, Waiting};
use crate::engine;
use crate::error::{Error, ErrorKind};

/// Unreported submissions of one queue, of which one is with the card.
const IN_FLIGHT_MAX: usize = 1024;

/// Streams that a card works on at the same time before they share its ways to the host.
const CONCURRENCY: usize = 16;

/// Every card that can be opened, with all of its memory. The answer is the same until the process
/// ends. Thread-safe; blocks while the driver starts.
///
/// # Errors
/// `NoSuchDevice` without a driver or a card, with the reason; `Unsupported` for a driver that is
/// too old.
pub fn list() -> Result<Vec<Info>, Error> {
    ffi::load()?;
    let told = |refusal: ffi::Refusal| Error::new(ErrorKind::NoSuchDevice, refusal.to_string());
    let count = ffi::device_count().map_err(told)?;
    let indices = 0..c_int::try_from(count).unwrap_or(0);
    indices.map(|index| describe(index).map_err(told)).collect()
}

/// The libraries that a card may leave products to, and the compiler of its functions: the name of
/// each, and its version or why it cannot be used. Thread-safe; blocks while they are loaded.
pub fn libraries() -> Vec<(&'static str, Result<String, String>)> {
    let told = |(name, found): (_, Result<usize, String>)| (name, found.map(shelf::version));
    shelf::list().into_iter().map(told).chain([compiler::found()]).collect()
}

fn describe(index: c_int) -> Result<Info, ffi::Refusal> {
    let description = [hardware(index)?, Functions::ahead().told().to_owned()].join(", ");
    Ok(Info {
        name: format!("cuda:{index}"),
        description,
        concurrency: CONCURRENCY,
        memory_bytes: ffi::total_bytes(index)?,
        in_flight_max: IN_FLIGHT_MAX,
        batch_invariant: false,
        host_addressable: false,
    })
}

/// A card and its driver, for people.
fn hardware(index: c_int) -> Result<String, ffi::Refusal> {
    let name = ffi::device_name(index)?;
    let major = ffi::attribute(index, ffi::Attribute::Major)?;
    let minor = ffi::attribute(index, ffi::Attribute::Minor)?;
    let version = ffi::driver_version()?;
    let (release, update) = (version / 1000, version % 1000 / 10);
    Ok(format!("{name}, compute capability {major}.{minor}, CUDA {release}.{update}"))
}

/// How a card is used.
#[derive(Clone, Copy, Debug, Default)]
pub struct CudaConfig {
    /// Memory that may be allocated in all, in bytes; all that the card has when absent.
    pub memory_bytes: Option<usize>,
    /// Whether multiply-adds alone compute products. Otherwise tensor cores may, each number as the
    /// sum of two, with an error of a few times that.
    pub exact: bool,
    /// How threads wait for it.
    pub waiting: Waiting,
    /// Which products it leaves to libraries, and whether NVRTC compiles its functions. They are
    /// looked for when it is opened.
    pub libraries: Libraries,
}

/// Opens a card.
///
/// Thread-safe; starts two threads, and more when host functions stand in each other's way. Blocks
/// while the driver starts and compiles, and a quarter of a minute longer while NVRTC does, where it
/// is wanted and has not before.
///
/// # Errors
/// `NoSuchDevice` with the reason; `Unsupported` for a card or a driver that cannot do what is
/// needed, and for libraries that are missing and always to be used; `MustRestartProcess` after a
/// failure that the driver does not forget; `OutOfMemory`.
pub fn open(index: usize, config: &CudaConfig) -> Result<Box<dyn Device>, Error> {
    let listed = list()?;
    let count = listed.len();
    let missing = || {
        let message = format!("the driver has {count} devices, counted from cuda:0");
        Error::new(ErrorKind::NoSuchDevice, message)
    };
    let mut info = listed.into_iter().nth(index).ok_or_else(missing)?;
    info.memory_bytes = config.memory_bytes.unwrap_or(info.memory_bytes);
    let index = c_int::try_from(index).map_err(|_| missing())?;
    let arithmetic = if config.exact { Arithmetic::MultiplyAdd } else { Arithmetic::Tensor };
    check_card(index)?;
    let shelf = Shelf::find(config.libraries)?;
    let functions = Functions::find(config.libraries, index)?;
    let refused = |refusal: ffi::Refusal| refusal.error("asking for the name of the card");
    let mut told = vec![hardware(index).map_err(refused)?, functions.told().to_owned()];
    told.extend(shelf.describe());
    info.description = told.join(", ");
    let context = Context::open(index, info.memory_bytes, arithmetic, shelf, &functions)?;
    Ok(engine::device(Executor::start(context, config.waiting)?, info))
}
