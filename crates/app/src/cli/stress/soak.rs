//! A long run with short-lived threads, watched for growth.

use std::time::Instant;

use anabranch::MemoryStats;
use serde::Serialize;

use crate::callers::Quota;
use crate::failure::Failure;
use crate::report::process::rss_mb;
use crate::report::progress::Bar;
use crate::report::table::bytes;
use crate::report::trace::TraceWriter;

use super::work::{Findings, Work};

/// Passes in the life of one thread.
const PASSES_PER_THREAD: usize = 100;

/// The share of a soak after which memory should not grow any longer.
const WARM_UP: f64 = 0.1;

/// How memory has grown. Sizes of the process are null where the system does not tell.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Growth {
    threads_started: usize,
    rss_start_mb: Option<f64>,
    rss_warm_mb: Option<f64>,
    rss_end_mb: Option<f64>,
    growth_percent: Option<f64>,
    device_live_bytes: usize,
    device_cached_bytes: usize,
    device_reserved_bytes: usize,
    device_reserved_peak_bytes: usize,
}

/// Runs rounds of `threads` new threads until the quota is used up.
///
/// # Errors
/// As [`Work::run`].
pub(super) fn run(
    work: &Work,
    threads: usize,
    quota: Quota,
    mut trace: Option<&mut TraceWriter>,
) -> Result<(Findings, Growth), Failure> {
    let start = Instant::now();
    let rss_start_mb = rss_mb();
    let mut rss_warm_mb = None;
    let mut findings = Findings::default();
    let mut threads_started = 0;
    let bar = work.bar(quota);
    loop {
        let count = (threads * PASSES_PER_THREAD).min(quota.count - findings.ops);
        let round = Quota::of(count);
        findings.add(work.run(threads, round, Bar::hidden(), trace.as_deref_mut())?);
        threads_started += threads;
        bar.set(findings.ops);
        let seconds = start.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        let done = match quota.seconds {
            Some(most) => seconds / most,
            None => findings.ops as f64 / quota.count as f64,
        };
        if WARM_UP <= done && rss_warm_mb.is_none() {
            rss_warm_mb = rss_mb();
        }
        if 1.0 <= done || quota.count <= findings.ops {
            break;
        }
    }
    let rss_end_mb = rss_mb();
    let growth_percent = rss_warm_mb
        .zip(rss_end_mb)
        .filter(|(warm, _)| 0.0 < *warm)
        .map(|(warm, end)| 100.0 * (end - warm) / warm);
    let sum = |field: fn(&MemoryStats) -> usize| work.memory().map(|memory| field(&memory)).sum();
    let growth = Growth {
        threads_started,
        rss_start_mb,
        rss_warm_mb,
        rss_end_mb,
        growth_percent,
        device_live_bytes: sum(|memory| memory.live_bytes),
        device_cached_bytes: sum(|memory| memory.cached_bytes),
        device_reserved_bytes: sum(|memory| memory.reserved_bytes),
        device_reserved_peak_bytes: sum(|memory| memory.reserved_peak_bytes),
    };
    Ok((findings, growth))
}

impl Growth {
    /// For people.
    pub(super) fn text(&self) -> String {
        let mb = |size: Option<f64>| size.map_or("n/a".to_owned(), |mb| format!("{mb:.1} MB"));
        let growth =
            self.growth_percent.map_or("n/a".to_owned(), |percent| format!("{percent:+.2} %"));
        format!(
            "  {} threads started; resident {} at the start, {} warm, {} at the end: {growth}\n  \
             device memory: {} live, {} cached, {} reserved, {} at most",
            self.threads_started,
            mb(self.rss_start_mb),
            mb(self.rss_warm_mb),
            mb(self.rss_end_mb),
            bytes(self.device_live_bytes),
            bytes(self.device_cached_bytes),
            bytes(self.device_reserved_bytes),
            bytes(self.device_reserved_peak_bytes),
        )
    }
}
