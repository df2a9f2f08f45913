//! Which device to use, and how.

use anabranch::{Device, DeviceOptions, RuntimeLimits, open_device};
use tracing::info;

use crate::failure::Failure;
use crate::report::trace;

/// Transitions that each state of the runtime keeps between two looks of the main thread: what a
/// stream that is never idle can make in that time, many times over.
const HISTORY_MAX: usize = 1 << 14;

/// What the runtime records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recording {
    Nothing,
    /// What ran when.
    Trace,
    /// Every transition of its states.
    History,
}

impl Recording {
    /// A trace, if it is wanted.
    pub(crate) fn trace_if(is_wanted: bool) -> Self {
        if is_wanted { Self::Trace } else { Self::Nothing }
    }
}

/// Arguments that every command with a device has.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DeviceArguments {
    /// Device to run on; `devices` lists them
    #[arg(long, default_value = "cpu:0", value_name = "NAME")]
    device: String,
    /// Cores that the device uses [default: all]
    #[arg(long, value_name = "COUNT", value_parser = super::positive)]
    workers: Option<usize>,
    /// Multiply as defined, without a faster way whose error is a small multiple
    #[arg(long)]
    exact: bool,
    /// Memory that the device may use, as in 512M [default: all]
    #[arg(long, value_name = "BYTES", value_parser = super::bytes)]
    memory_limit: Option<usize>,
}

impl DeviceArguments {
    /// Opens the device; `streams` are needed at once.
    ///
    /// # Errors
    /// When there is no such device.
    pub(crate) fn open(&self, streams: usize, recording: Recording) -> Result<Device, Failure> {
        let whole = RuntimeLimits::default();
        let limits = RuntimeLimits {
            streams_max: whole.streams_max.max(streams),
            trace_records_max: if recording == Recording::Trace { trace::RECORDS_MAX } else { 0 },
            history_records_max: if recording == Recording::History { HISTORY_MAX } else { 0 },
            ..whole
        };
        let options = DeviceOptions {
            workers: self.workers,
            memory_bytes: self.memory_limit,
            exact: self.exact,
            limits,
            ..DeviceOptions::default()
        };
        let device = open_device(&self.device, &options)?;
        info!(device = %device.info().name, description = %device.info().description, "opened");
        Ok(device)
    }
}
