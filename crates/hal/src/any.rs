//! Devices by name.

use crate::cpu::{self, CpuConfig};
use crate::cuda::{self, CudaConfig};
use crate::device::{Device, Info, Libraries, Waiting};
use crate::error::{Error, ErrorKind};
use crate::null;
use crate::sim;

#[cfg(test)]
mod tests;

/// How to open a device. Fields that a device does not have are ignored.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Cores to use; every one when absent. At least 1.
    pub workers: Option<usize>,
    /// Limit of the device's memory, in bytes; all that there is when absent.
    pub memory_bytes: Option<usize>,
    /// Whether `cpu` and `cuda` compute what kernels are defined as, and take no faster way whose
    /// error is a small multiple.
    pub exact: bool,
    /// How threads wait for `cuda`.
    pub waiting: Waiting,
    /// Which products `cuda` leaves to libraries, and whether NVRTC compiles its functions. Other
    /// devices have none, and are refused when they are always to be used.
    pub libraries: Libraries,
    /// Seed of the order in which `sim` runs things.
    pub seed: u64,
}

impl Options {
    fn cpu(&self) -> CpuConfig {
        let whole = CpuConfig::default();
        CpuConfig {
            workers: self.workers.unwrap_or(whole.workers),
            memory_bytes: self.memory_bytes.unwrap_or(whole.memory_bytes),
            exact: self.exact,
        }
    }

    fn sim(&self) -> sim::Config {
        let whole = sim::Config::automatic(self.seed);
        sim::Config { memory_bytes: self.memory_bytes.unwrap_or(whole.memory_bytes), ..whole }
    }
}

/// Every device that [`open`] knows, as it would be with the default options. The answer is the
/// same until the process ends; nothing is opened, but the driver of what is plugged in starts.
pub fn list() -> Vec<Info> {
    let options = Options::default();
    let config = options.cpu();
    let mut devices =
        vec![cpu::info(&config), null::info(config.memory_bytes), sim::info(&options.sim())];
    devices.extend(cuda::list().unwrap_or_default());
    devices
}

/// Opens a device: `cpu`, `null`, `sim` or `cuda`, each also with its index, as in `cpu:0`. There
/// may be several of `cuda`.
///
/// ```
/// use anabranch_hal::any::{self, Options};
/// let device = any::open("cpu:0", &Options { workers: Some(1), ..Options::default() })?;
/// assert_eq!(device.info().concurrency, 1);
/// device.shutdown();
/// assert!(any::open("cpu:1", &Options::default()).is_err());
/// # Ok::<(), anabranch_hal::error::Error>(())
/// ```
///
/// # Errors
/// `NoSuchDevice` for any other name, `Unsupported` for libraries that are always to be used by a
/// device without any, and what the device itself reports.
pub fn open(name: &str, options: &Options) -> Result<Box<dyn Device>, Error> {
    let (kind, index) = parts(name);
    if options.libraries == Libraries::Always && matches!(kind, "cpu" | "null" | "sim") {
        let message = format!("`{name}` has no libraries that it could always use");
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    match (kind, index) {
        ("cpu", "0") => cpu::open(&options.cpu()),
        ("null", "0") => Ok(null::open(options.cpu().memory_bytes)),
        ("sim", "0") => Ok(sim::open(&options.sim()).0),
        ("cuda", index) => match parse(index) {
            Some(index) => {
                let config = CudaConfig {
                    memory_bytes: options.memory_bytes,
                    exact: options.exact,
                    waiting: options.waiting,
                    libraries: options.libraries,
                };
                cuda::open(index, &config).map_err(|error| {
                    let is_missing = error.kind() == ErrorKind::NoSuchDevice;
                    if is_missing { missing(name, &error.to_string()) } else { error }
                })
            }
            None => Err(missing(name, "a device of `cuda` has a number, as in `cuda:0`")),
        },
        _ => Err(unknown(name, kind)),
    }
}

/// The names in a list of devices, such as `cuda:0,cuda:1`, for [`open`].
///
/// ```
/// use anabranch_hal::any;
/// assert_eq!(any::names("cpu:0,sim")?, ["cpu:0", "sim"]);
/// assert!(any::names("cpu:0,cpu").is_err());
/// # Ok::<(), anabranch_hal::error::Error>(())
/// ```
///
/// # Errors
/// `NoSuchDevice` for a list that names one device twice, or has a name missing.
pub fn names(list: &str) -> Result<Vec<&str>, Error> {
    let refused =
        |what: String| Err(Error::new(ErrorKind::NoSuchDevice, format!("{what} in `{list}`")));
    let names: Vec<&str> = list.split(',').collect();
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() {
            return refused("a name is missing".to_owned());
        }
        let (kind, number) = parts(name);
        if names[..index].iter().any(|earlier| parts(earlier) == (kind, number)) {
            return refused(format!("the device `{kind}:{number}` is there twice"));
        }
    }
    Ok(names)
}

/// The kind of a device and its index, which is 0 where there is none.
fn parts(name: &str) -> (&str, &str) {
    name.split_once(':').unwrap_or((name, "0"))
}

/// An index as it is written in the list.
fn parse(index: &str) -> Option<usize> {
    index.parse().ok().filter(|number: &usize| number.to_string() == index)
}

fn unknown(name: &str, kind: &str) -> Error {
    let reason = match kind {
        "cpu" | "null" | "sim" => format!("there is one device `{kind}`, which is `{kind}:0`"),
        "metal" | "vulkan" | "rocm" | "hip" => format!("this build has no `{kind}` devices"),
        _ => "no kind of device has that name".to_owned(),
    };
    missing(name, &reason)
}

fn missing(name: &str, reason: &str) -> Error {
    let known: Vec<_> = list().into_iter().map(|info| info.name).collect();
    let known = known.join(", ");
    let message = format!("there is no device `{name}`: {reason}; there are {known}");
    Error::new(ErrorKind::NoSuchDevice, message)
}
