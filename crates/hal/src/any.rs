//! Devices by name.

use crate::cpu::{self, CpuConfig};
use crate::device::{Device, Info};
use crate::error::{Error, ErrorKind};
use crate::null;
use crate::sim::{self, SimDevice};

#[cfg(test)]
mod tests;

/// How to open a device. Fields that a device does not have are ignored.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Cores to use; every one when absent. At least 1.
    pub workers: Option<usize>,
    /// Limit of the device's memory, in bytes; all that there is when absent.
    pub memory_bytes: Option<usize>,
    /// Whether `cpu` computes exactly what kernels are defined as, and takes no faster way.
    pub exact: bool,
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
/// same until the process ends; nothing is opened.
pub fn list() -> Vec<Info> {
    let options = Options::default();
    let config = options.cpu();
    vec![cpu::info(&config), null::info(config.memory_bytes), sim::info(&options.sim())]
}

/// Opens a device: `cpu`, `null` or `sim`, each also with the index 0, as in `cpu:0`.
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
/// `NoSuchDevice` for any other name, and what the device itself reports.
pub fn open(name: &str, options: &Options) -> Result<Box<dyn Device>, Error> {
    let (kind, index) = name.split_once(':').unwrap_or((name, "0"));
    match (kind, index) {
        ("cpu", "0") => cpu::open(&options.cpu()),
        ("null", "0") => Ok(null::open(options.cpu().memory_bytes)),
        ("sim", "0") => Ok(SimDevice::new(options.sim()).0),
        _ => Err(unknown(name, kind)),
    }
}

fn unknown(name: &str, kind: &str) -> Error {
    let known: Vec<_> = list().into_iter().map(|info| info.name).collect();
    let known = known.join(", ");
    let reason = match kind {
        "cpu" | "null" | "sim" => format!("there is one device `{kind}`, which is `{kind}:0`"),
        "cuda" | "metal" | "vulkan" | "rocm" | "hip" => {
            format!("this build has no `{kind}` devices")
        }
        _ => "no kind of device has that name".to_owned(),
    };
    let message = format!("there is no device `{name}`: {reason}; there are {known}");
    Error::new(ErrorKind::NoSuchDevice, message)
}
