//! What `run` prints.

use anabranch::Precision;
use serde::{Serialize, Serializer};

use crate::cli::shares::{self, Share};
use crate::report::latency::rate;

use super::passes::Outcome;

/// The object of `run --json`. Absent figures are null.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub(super) accuracy: Option<f64>,
    items: usize,
    passes: usize,
    seconds: f64,
    passes_per_s: f64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    compared: usize,
    pub(super) mismatches: usize,
    pub(super) errors: usize,
    pub(super) max_abs_err: Option<f64>,
    #[serde(flatten)]
    pub(super) reduced: Option<Reduced>,
    pub(super) peak_rss_mb: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    devices: Vec<Share>,
    #[serde(skip)]
    items_per_s: f64,
}

/// What fewer bits than those of `f32` have cost.
#[derive(Debug, Serialize)]
pub(super) struct Reduced {
    #[serde(serialize_with = "shown")]
    pub(super) precision: Precision,
    /// The largest difference from a run in `f32`.
    #[serde(rename = "max_abs_err_to_f32")]
    pub(super) max_abs_err: f64,
    /// The largest result of a run in `f32`.
    #[serde(rename = "max_abs_f32")]
    pub(super) max_abs: f64,
}

fn shown<S: Serializer>(precision: &Precision, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(precision)
}

impl Summary {
    pub(super) fn of(outcome: &Outcome) -> Self {
        Self {
            accuracy: None,
            items: outcome.items,
            passes: outcome.passes,
            seconds: outcome.wall.as_secs_f64(),
            passes_per_s: rate(outcome.passes, outcome.wall),
            p50_ms: outcome.latencies.percentile_ms(50),
            p99_ms: outcome.latencies.percentile_ms(99),
            compared: outcome.compared,
            mismatches: outcome.mismatches,
            errors: outcome.errors,
            max_abs_err: None,
            reduced: None,
            peak_rss_mb: None,
            devices: outcome.shares.clone(),
            items_per_s: rate(outcome.rows_done, outcome.wall),
        }
    }

    /// For people. `noun` is what an item is, `against` what the largest error is against.
    pub(super) fn text(&self, noun: &str, against: Option<&str>) -> String {
        let mut lines = Vec::new();
        let mut line = |name: &str, value: String| lines.push(format!("{name:<14} {value}"));
        if let Some(accuracy) = self.accuracy {
            #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
            let right = (accuracy * self.items as f64).round();
            let percent = 100.0 * accuracy;
            line("accuracy", format!("{percent:.2} %, {right} of {} {noun}", self.items));
        } else {
            line(noun, self.items.to_string());
        }
        line("passes", format!("{} in {:.3} s", self.passes, self.seconds));
        if !self.devices.is_empty() {
            line("by device", shares::text(&self.devices));
        }
        let (passes, items) = (self.passes_per_s, self.items_per_s);
        line("throughput", format!("{passes:.0} passes/s, {items:.0} {noun}/s"));
        if let (Some(p50), Some(p99)) = (self.p50_ms, self.p99_ms) {
            line("latency", format!("p50 {p50:.3} ms, p99 {p99:.3} ms"));
        }
        let peak = self.peak_rss_mb.map_or("n/a".to_owned(), |peak| format!("{peak:.1} MB"));
        line("peak memory", peak);
        let (compared, mismatches) = (self.compared, self.mismatches);
        line(
            "compared",
            format!("{compared} results with a serial run, bit for bit: {mismatches} differ"),
        );
        if let (Some(error), Some(against)) = (self.max_abs_err, against) {
            line("largest error", format!("{error:.3e} against {against}"));
        }
        if let Some(Reduced { precision, max_abs_err, max_abs }) = &self.reduced {
            let error = format!("{max_abs_err:.3e} against f32, of up to {max_abs:.3e}");
            line("precision", format!("{precision}: largest error {error}"));
        }
        line("errors", self.errors.to_string());
        lines.join("\n")
    }
}
