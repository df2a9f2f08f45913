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

/// What the devices had reserved after each round, with the share of the soak that was over then.
#[derive(Debug, Default)]
struct Levels(Vec<(f64, usize)>);

impl Levels {
    fn note(&mut self, done: f64, work: &Work) {
        self.0.push((done, work.memory().map(|memory| memory.reserved_bytes).sum()));
    }

    /// The median of a tenth of the soak. A single level is what the callers happen to hold just
    /// then, and the highest one grows with the number of them.
    fn typical(&self, from: f64) -> usize {
        let mut later = self.0.iter().filter(|(done, _)| from <= *done).peekable();
        let first = later.peek().map_or(from, |(done, _)| *done);
        let tenth = later.take_while(|(done, _)| *done <= first.max(from + WARM_UP));
        let mut levels: Vec<usize> = tenth.map(|&(_, level)| level).collect();
        levels.sort_unstable();
        levels.get(levels.len() / 2).or(self.0.last().map(|(_, level)| level)).copied().unwrap_or(0)
    }
}

/// How memory has grown. What is reserved is typical of the tenth after the warm-up, and of the
/// last one. Sizes of the process are null where the system does not tell.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Growth {
    threads_started: usize,
    rss_start_mb: Option<f64>,
    rss_warm_mb: Option<f64>,
    rss_end_mb: Option<f64>,
    growth_percent: Option<f64>,
    device_live_bytes: usize,
    device_cached_bytes: usize,
    device_reserved_warm_bytes: usize,
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
    let mut levels = Levels::default();
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
        levels.note(done, work);
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
        device_reserved_warm_bytes: levels.typical(WARM_UP),
        device_reserved_bytes: levels.typical(1.0 - WARM_UP),
        device_reserved_peak_bytes: sum(|memory| memory.reserved_peak_bytes),
    };
    Ok((findings, growth))
}

impl Growth {
    /// What has grown by more than so many percent: the process, or what the devices have reserved.
    /// A process that tells no size has not.
    pub(super) fn beyond(&self, percent_max: f64) -> Option<String> {
        let (before, after) = (self.device_reserved_warm_bytes, self.device_reserved_bytes);
        #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
        let device = 100.0 * (after as f64 - before as f64) / before.max(1) as f64;
        let grown = [("resident memory", self.growth_percent), ("device memory", Some(device))];
        let grown = grown.into_iter().filter_map(|(what, percent)| Some((what, percent?)));
        let (what, percent) = grown.into_iter().find(|&(_, percent)| percent_max < percent)?;
        Some(format!("{what} has grown by {percent:.2} %"))
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mb = |size: Option<f64>| size.map_or("n/a".to_owned(), |mb| format!("{mb:.1} MB"));
        let growth =
            self.growth_percent.map_or("n/a".to_owned(), |percent| format!("{percent:+.2} %"));
        format!(
            "  {} threads started; resident {} at the start, {} warm, {} at the end: {growth}\n  \
             device memory: {} live, {} cached; {} reserved warm, {} at the end, {} at most",
            self.threads_started,
            mb(self.rss_start_mb),
            mb(self.rss_warm_mb),
            mb(self.rss_end_mb),
            bytes(self.device_live_bytes),
            bytes(self.device_cached_bytes),
            bytes(self.device_reserved_warm_bytes),
            bytes(self.device_reserved_bytes),
            bytes(self.device_reserved_peak_bytes),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Growth, Levels};

    #[test]
    fn what_is_reserved_is_typical_of_a_tenth() {
        let levels = |level: fn(u32) -> usize| {
            Levels((1..=1000).map(|round| (f64::from(round) / 1000.0, level(round))).collect())
        };
        let shares = |levels: &Levels| [levels.typical(0.1), levels.typical(0.9)];
        let spikes = levels(|round| if round % 3 == 0 { round as usize } else { 5 });
        assert_eq!(shares(&spikes), [5, 5]);
        assert_eq!(shares(&levels(|round| round as usize)), [150, 950]);
        assert_eq!(shares(&Levels(vec![(1.0, 7)])), [7, 7]);
        assert_eq!(shares(&Levels(vec![(0.05, 2), (0.5, 7), (1.0, 9)])), [7, 9]);
        assert_eq!(shares(&Levels(vec![(0.05, 2)])), [2, 2], "it ended early");
    }

    #[test]
    fn memory_that_grows_is_told() {
        let growth = |percent, before, after| Growth {
            threads_started: 1,
            rss_start_mb: None,
            rss_warm_mb: None,
            rss_end_mb: None,
            growth_percent: percent,
            device_live_bytes: 0,
            device_cached_bytes: 0,
            device_reserved_warm_bytes: before,
            device_reserved_bytes: after,
            device_reserved_peak_bytes: 1000,
        };
        assert_eq!(growth(Some(1.9), 8, 8).beyond(2.0), None);
        assert_eq!(growth(None, 8, 8).beyond(2.0), None);
        assert!(growth(Some(2.1), 8, 8).beyond(2.0).unwrap().contains("resident memory"));
        assert!(growth(Some(-1.0), 100, 103).beyond(2.0).unwrap().contains("device memory"));
        assert_eq!(growth(Some(-1.0), 100, 102).beyond(2.0), None);
    }
}
