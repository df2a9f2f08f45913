//! Which device to use, and how.

use anabranch::{Deadline, Device, DeviceOptions, Libraries, RuntimeLimits, Waiting, open_devices};
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
    /// Device to run on; `devices` lists them. Several, separated by commas, have a copy of the
    /// weights each, and a pass goes to the least busy one
    #[arg(long, default_value = "cpu:0", value_name = "NAMES")]
    device: String,
    /// Cores that the device uses [default: all]
    #[arg(long, value_name = "COUNT", value_parser = super::positive)]
    workers: Option<usize>,
    /// Multiply as defined, without a faster way whose error is a small multiple
    #[arg(long)]
    exact: bool,
    /// How threads wait for a card: awake, for the shortest waits, or asleep, for more threads
    /// than cores
    #[arg(long, default_value = "awake", value_name = "HOW", value_parser = waiting)]
    waiting: Waiting,
    /// Products that a card leaves to cuBLASLt and cuDNN: none with off; those that they are faster
    /// for, where they are found; or always whatever they can compute. With found or always, NVRTC
    /// compiles the other functions for the card; without, that was done ahead of time
    #[arg(long, default_value = "off", value_name = "WHICH")]
    libraries: Libraries,
    /// Memory that the device may use, as in 512M [default: all]
    #[arg(long, value_name = "BYTES", value_parser = super::bytes)]
    memory_limit: Option<usize>,
}

fn waiting(text: &str) -> Result<Waiting, String> {
    match text {
        "awake" => Ok(Waiting::Awake),
        "asleep" => Ok(Waiting::Asleep),
        _ => Err("threads wait awake or asleep".to_owned()),
    }
}

impl DeviceArguments {
    /// Opens the device of a command that has use for one only; `streams` are needed at once.
    ///
    /// # Errors
    /// When there is no such device, and for a list of several.
    pub(crate) fn open(&self, streams: usize, recording: Recording) -> Result<Device, Failure> {
        let mut devices = self.open_all(streams, recording)?;
        match devices.pop() {
            Some(device) if devices.is_empty() => Ok(device),
            _ => Err(Failure::input(format!(
                "--device {}: this is done on one device at a time",
                self.device
            ))),
        }
    }

    /// Opens every device that is named; `streams` are needed at once on each.
    ///
    /// # Errors
    /// When there is no such device; for a list that names one twice; for a trace of several,
    /// whose clocks have nothing to do with each other.
    pub(crate) fn open_all(
        &self,
        streams: usize,
        recording: Recording,
    ) -> Result<Vec<Device>, Failure> {
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
            waiting: self.waiting,
            libraries: self.libraries,
            limits,
            ..DeviceOptions::default()
        };
        if recording == Recording::Trace && self.device.contains(',') {
            let list = &self.device;
            let message = format!("--device {list}: a trace has the clock of one device");
            return Err(Failure::input(message));
        }
        let devices = open_devices(&self.device, &options)?;
        for device in &devices {
            let info = device.info();
            info!(device = %info.name, description = %info.description, "opened");
        }
        Ok(devices)
    }
}

/// Ends the devices, so that no thread of them is left. Blocks until all work has ended.
///
/// # Errors
/// The first that one of them reports.
pub(crate) fn end(devices: &[Device]) -> Result<(), Failure> {
    devices.iter().try_for_each(|device| Ok(device.shutdown(&Deadline::NEVER)?))
}
