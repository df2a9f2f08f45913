//! Which device to use, and how.

use anabranch::{Device, DeviceOptions, RuntimeLimits, open_device};
use tracing::info;

use crate::failure::Failure;
use crate::report::trace;

/// Arguments that every command with a device has.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DeviceArguments {
    /// Device to run on; `devices` lists them
    #[arg(long, default_value = "cpu:0", value_name = "NAME")]
    device: String,
    /// Cores that the device uses [default: all]
    #[arg(long, value_name = "COUNT", value_parser = super::positive)]
    workers: Option<usize>,
    /// Memory that the device may use, as in 512M [default: all]
    #[arg(long, value_name = "BYTES", value_parser = super::bytes)]
    memory_limit: Option<usize>,
}

impl DeviceArguments {
    /// Opens the device; `streams` are needed at once.
    ///
    /// # Errors
    /// When there is no such device.
    pub(crate) fn open(&self, streams: usize, is_traced: bool) -> Result<Device, Failure> {
        let whole = RuntimeLimits::default();
        let limits = RuntimeLimits {
            streams_max: whole.streams_max.max(streams),
            trace_records_max: if is_traced { trace::RECORDS_MAX } else { 0 },
            ..whole
        };
        let options = DeviceOptions {
            workers: self.workers,
            memory_bytes: self.memory_limit,
            limits,
            ..DeviceOptions::default()
        };
        let device = open_device(&self.device, &options)?;
        info!(device = %device.info().name, description = %device.info().description, "opened");
        Ok(device)
    }
}
