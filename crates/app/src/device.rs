//! Devices by name.

use anabranch_hal::any;
pub use anabranch_hal::device::{Libraries, Waiting};
use anabranch_rt::{Device, Limits};

use crate::error::Error;

/// How to open a device. What a device has no use for is ignored. Plain data, thread-safe.
///
/// ```
/// use anabranch::{DeviceOptions, open_device};
/// let options = DeviceOptions { workers: Some(1), ..DeviceOptions::default() };
/// assert_eq!(open_device("cpu:0", &options)?.info().concurrency, 1);
/// # Ok::<(), anabranch::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct DeviceOptions {
    /// Cores to use, at least 1; every one when absent.
    pub workers: Option<usize>,
    /// Limit of the device's memory, in bytes; all that there is when absent.
    pub memory_bytes: Option<usize>,
    /// Whether products are computed as they are defined. Otherwise the processor may take a way of
    /// fewer multiplications for convolutions, and a card its tensor cores, with an error that is a
    /// small multiple.
    pub exact: bool,
    /// How threads wait for a card.
    pub waiting: Waiting,
    /// Which products a card leaves to libraries of its vendor, and whether its compiler, NVRTC,
    /// compiles the card's functions, which takes a while once and is kept on disk. What they are
    /// found to be decides about the last bits of results, so none is used unless it is asked for.
    pub libraries: Libraries,
    /// Seed of the order in which a simulated device runs things.
    pub seed: u64,
    /// Bounds of the runtime on this device.
    pub limits: Limits,
}

/// What a device is, as [`list_devices`] tells it. Plain data, thread-safe.
///
/// ```
/// let devices = anabranch::list_devices();
/// assert_eq!(devices[0].name, "cpu:0");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSummary {
    /// The name that [`open_device`] takes.
    pub name: String,
    /// What it is made of, for people.
    pub description: String,
    /// Commands that can make progress at the same time.
    pub concurrency: usize,
    /// Memory that it can hand out, in bytes.
    pub memory_bytes: usize,
}

const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<DeviceOptions>();
    assert_send_sync::<DeviceSummary>();
};

/// Opens a device: `cpu:0`, or one of the devices for tests, `null:0` and `sim:0`.
///
/// Any number of devices may be open, also of one name; nothing is shared between them. Blocks
/// while the device starts its threads. Callable from any thread.
///
/// # Errors
/// `InvalidArgument` for a name that is not in [`list_devices`]; what the device itself reports.
pub fn open_device(name: &str, options: &DeviceOptions) -> Result<Device, Error> {
    let native = any::Options {
        workers: options.workers,
        memory_bytes: options.memory_bytes,
        exact: options.exact,
        waiting: options.waiting,
        libraries: options.libraries,
        seed: options.seed,
    };
    let native = any::open(name, &native).map_err(anabranch_rt::Error::from)?;
    Ok(Device::open(native, options.limits.clone())?)
}

/// Opens every device of a list of names, as in `cuda:0,cuda:1`. Blocks as [`open_device`] does.
///
/// ```
/// use anabranch::{DeviceOptions, Replicas, SessionOptions, open_devices};
/// # use anabranch::{Model, ModelLimits};
/// let devices = open_devices("cpu:0,sim:0", &DeviceOptions::default())?;
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/digits/digits-conv-bn.onnx");
/// let model = Model::open(path, &ModelLimits::default())?;
/// let replicas = Replicas::from_model(&devices, model, &SessionOptions::default())?;
/// assert_eq!(replicas.sessions().len(), 2);
/// # Ok::<(), anabranch::Error>(())
/// ```
///
/// # Errors
/// As for [`open_device`], and `InvalidArgument` for a list that names a device twice.
pub fn open_devices(names: &str, options: &DeviceOptions) -> Result<Vec<Device>, Error> {
    let names = any::names(names).map_err(anabranch_rt::Error::from)?;
    names.into_iter().map(|name| open_device(name, options)).collect()
}

/// Every device of this build. The answer is the same until the process ends; nothing is opened,
/// and nothing blocks.
pub fn list_devices() -> Vec<DeviceSummary> {
    let summary = |info: anabranch_hal::device::Info| DeviceSummary {
        name: info.name,
        description: info.description,
        concurrency: info.concurrency,
        memory_bytes: info.memory_bytes,
    };
    any::list().into_iter().map(summary).collect()
}
