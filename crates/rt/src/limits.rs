//! Every bound of the kernel, with its reason.

/// The bounds of one device. [`Limits::default`] suits a machine of any size; each field may be
/// lowered for a test or raised for a large server.
///
/// ```
/// use anabranch_rt::Limits;
/// let limits = Limits { streams_max: 4, ..Limits::default() };
/// assert!(limits.memory_bytes_max.is_none());
/// ```
#[derive(Clone, Debug)]
pub struct Limits {
    /// Streams that the pool creates under the policies `Wait` and `Fail`. More streams than
    /// that do not run at the same time on any device there is, and each costs a native queue.
    pub streams_max: usize,
    /// Streams that the pool creates under the policy `Grow`: a leak of leases is told instead
    /// of exhausting the device.
    pub streams_grown_max: usize,
    /// Command buffers of one stream that are committed and unfinished. Far enough ahead to hide
    /// the latency of any device, few enough to keep what they hold alive small.
    pub in_flight_max: usize,
    /// Commands after which an open command buffer is committed by itself, so that the device
    /// starts early.
    pub commands_per_buffer_max: usize,
    /// Device memory that live, pending and cached blocks may hold together, in bytes; `None`
    /// is what the device has.
    pub memory_bytes_max: Option<usize>,
    /// Timing slots that the event pool keeps without counting them as growth.
    pub timing_slots_max: usize,
    /// Times that one failed stream may be reset. The record of each failure is kept for the
    /// snapshots that refer to it.
    pub resets_max: usize,
    /// Trace records that each stream keeps; 0 switches tracing off.
    pub trace_records_max: usize,
    /// Transitions that each state machine keeps until somebody takes them; 0 keeps none.
    pub history_records_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams_max: 32,
            streams_grown_max: 1024,
            in_flight_max: 32,
            commands_per_buffer_max: 64,
            memory_bytes_max: None,
            timing_slots_max: 1024,
            resets_max: 64,
            trace_records_max: 0,
            history_records_max: 0,
        }
    }
}
