//! One line of a trace file.

use serde::Serialize;

/// One event, with the field names of the format.
#[derive(Serialize)]
pub(super) struct Event<'a> {
    pub(super) name: &'a str,
    pub(super) ph: &'static str,
    pub(super) pid: u32,
    pub(super) tid: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ts: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dur: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cat: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bp: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) args: Option<Arguments<'a>>,
}

/// What a viewer shows about an event.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Arguments<'a> {
    Name { name: &'a str },
    Order { sort_index: u64 },
    Commands { first: u64, last: u64 },
}

impl Default for Event<'_> {
    fn default() -> Self {
        Self {
            name: "",
            ph: "M",
            pid: 1,
            tid: 0,
            ts: None,
            dur: None,
            cat: None,
            id: None,
            bp: None,
            args: None,
        }
    }
}

/// The format counts in microseconds; a double holds nanoseconds exactly for a hundred days.
pub(super) fn microseconds(ns: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "device clocks start with the device")]
    let ns = ns as f64;
    ns / 1e3
}
