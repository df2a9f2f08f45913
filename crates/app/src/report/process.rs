//! What the operating system knows about this process and its machine. Nothing on systems
//! without `/proc`.

use std::fs;

/// Clock ticks per second in `/proc`: fixed by the kernel's interface with programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// The most memory that the process ever had resident, in MiB.
pub(crate) fn peak_rss_mb() -> Option<f64> {
    status_kib("VmHWM:").map(|kib| kib / 1024.0)
}

/// Memory that the process has resident, in MiB.
pub(crate) fn rss_mb() -> Option<f64> {
    status_kib("VmRSS:").map(|kib| kib / 1024.0)
}

/// Lets the peak start again from here, where the system allows it.
pub(crate) fn reset_peak_rss() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

fn status_kib(key: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Processor time since some moment, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CpuTime {
    /// Of this process.
    pub(crate) own: f64,
    /// Of everything on the machine.
    pub(crate) all: f64,
    /// That the machine was kept from running.
    pub(crate) stolen: f64,
}

impl CpuTime {
    /// What has been used so far; zeros where the system does not tell.
    pub(crate) fn read() -> Self {
        let machine = fs::read_to_string("/proc/stat").unwrap_or_default();
        let (all, stolen) = parse_machine(&machine).unwrap_or_default();
        let own = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        Self { own: parse_own(&own).unwrap_or_default(), all, stolen }
    }

    /// What was used since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            own: self.own - earlier.own,
            all: self.all - earlier.all,
            stolen: self.stolen - earlier.stolen,
        }
    }
}

/// Busy and stolen seconds of the line `cpu user nice system idle iowait irq softirq steal`.
fn parse_machine(stat: &str) -> Option<(f64, f64)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<f64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let [user, nice, system, _, _, irq, soft_irq, stolen, ..] = ticks[..] else { return None };
    let busy = user + nice + system + irq + soft_irq;
    Some((busy / TICKS_PER_SECOND, stolen / TICKS_PER_SECOND))
}

/// User and system seconds: the 14th and 15th field. The second one may contain anything.
fn parse_own(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::{parse_machine, parse_own};

    #[test]
    fn reads_the_times_of_the_machine() {
        let stat = "cpu  100 200 300 9999 9999 40 60 50 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(parse_machine(stat), Some((7.0, 0.5)));
        assert_eq!(parse_machine(""), None);
        assert_eq!(parse_machine("cpu  1 2 3"), None);
    }

    #[test]
    fn reads_the_times_of_the_process() {
        let stat = "42 (a b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0";
        assert_eq!(parse_own(stat), Some(2.0));
        assert_eq!(parse_own("42"), None);
    }
}
