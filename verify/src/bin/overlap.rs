//! `overlap DEVICE [LEAST]`: how much two queues run at the same time whose kernels fill half of a
//! card each, by the times that the device itself took.
//!
//! Prints the time line. Fails where both run for less than the share LEAST of the time in which
//! one of them does.

use std::process::ExitCode;

use anabranch_hal::any::{self, Options};
use anabranch_hal::buffer::Slice;
use anabranch_hal::command::{Command, Executable, Node, Operand, Operation, Submission};
use anabranch_hal::device::{Completion, Device, Help, Priority, QueueId, Sink, Span};
use anabranch_hal::error::Error;
use anabranch_hal::kernel::{Kernel, Softmax};
use anabranch_sync::{Arc, Condvar, Mutex, thread};

/// Rows, each of which is work for one multiprocessor: half of those that a card has.
const ROWS: usize = 66;
const COLUMNS: usize = 1 << 15;
const BYTES: usize = 4 * ROWS * COLUMNS;

/// Kernels of a launch, and launches of a queue. The first ones are not counted.
const KERNELS: usize = 8;
const LAUNCHES: usize = 40;
const WARM_UP: usize = 8;

/// Spans of each queue that are printed.
const SHOWN: usize = 8;

/// The spans of one queue.
struct Line {
    spans: Mutex<Vec<Span>>,
    longer: Condvar,
}

struct Teller(Arc<Line>);

impl Sink for Teller {
    fn finished(&self, completion: Completion) {
        assert!(completion.result.is_ok(), "{completion:?}");
        self.0.spans.lock().push(completion.span);
        self.0.longer.notify_all();
    }
}

fn executable() -> Arc<Executable> {
    let softmax = Kernel::Softmax(Softmax { outer: ROWS, axis: COLUMNS, inner: 1, log: false });
    let operand = |slot| Operand { slot, offset: 0, bytes: BYTES };
    let operation = Operation::Kernel(Arc::new(softmax));
    let nodes = (0..KERNELS).map(|kernel| {
        let (from, to) = if kernel % 2 == 0 { (0, 1) } else { (1, 0) };
        Node { operation: operation.clone(), operands: vec![operand(from), operand(to)] }
    });
    Arc::new(Executable::new(nodes.collect(), None))
}

/// Launches on a queue of its own, one after the other; when each of them ran.
fn caller(device: &dyn Device, id: u64) -> Result<Vec<Span>, Error> {
    let line = Arc::new(Line { spans: Mutex::new(Vec::new()), longer: Condvar::new() });
    let executable = executable();
    let sink = Box::new(Teller(Arc::clone(&line)));
    let queue = device.create_queue(QueueId(id), Priority::Normal, sink)?;
    let table = [device.allocate(BYTES)?, device.allocate(BYTES)?].map(Slice::whole).to_vec();
    for value in 1..=LAUNCHES {
        let launch = Command::Launch { executable: Arc::clone(&executable), table: table.clone() };
        let commands = vec![launch];
        let submission = Submission { value: value as u64, waits: Vec::new(), commands };
        if queue.submit_and_help(submission) == Help::Nothing {
            drop(line.longer.wait_while(line.spans.lock(), |spans| spans.len() < value));
        }
    }
    let spans = line.spans.lock().split_off(WARM_UP);
    Ok(spans)
}

/// The lines of so many queues at the same time.
fn lines(device: &Arc<Box<dyn Device>>, ids: &[u64]) -> Result<Vec<Vec<Span>>, Error> {
    let callers = ids.iter().map(|&id| {
        let device = Arc::clone(device);
        thread::spawn(move || caller(&**device, id))
    });
    let callers: Vec<_> = callers.collect();
    callers.into_iter().map(|caller| caller.join().expect("a caller does not panic")).collect()
}

/// Time in which one of two lines runs, at least, and in which both do, while neither has ended.
fn overlap(a: &[Span], b: &[Span]) -> (u64, u64) {
    let bounds = |line: &[Span]| {
        let (first, last) = (line.first().copied(), line.last().copied());
        (first.map_or(0, |span| span.start_ns), last.map_or(0, |span| span.end_ns))
    };
    let (begin, end) = (bounds(a).0.max(bounds(b).0), bounds(a).1.min(bounds(b).1));
    let length = |start: u64, stop: u64| stop.min(end).saturating_sub(start.max(begin));
    let busy = |line: &[Span]| line.iter().map(|s| length(s.start_ns, s.end_ns)).sum::<u64>();
    let both = |x: &Span, y: &Span| length(x.start_ns.max(y.start_ns), x.end_ns.min(y.end_ns));
    let both = a.iter().flat_map(|x| b.iter().map(move |y| both(x, y))).sum::<u64>();
    (busy(a) + busy(b) - both, both)
}

fn milliseconds(ns: u64) -> f64 {
    std::time::Duration::from_nanos(ns).as_secs_f64() * 1e3
}

fn median_ms(line: &[Span]) -> f64 {
    let mut times: Vec<u64> = line.iter().map(|span| span.end_ns - span.start_ns).collect();
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, |&ns| milliseconds(ns))
}

/// Measures and prints; the share.
fn measure(name: &str) -> Result<f64, Error> {
    let device: Arc<Box<dyn Device>> = Arc::new(any::open(name, &Options::default())?);
    println!("{}: {}", device.info().name, device.info().description);
    let alone = lines(&device, &[0])?;
    let together = lines(&device, &[1, 2])?;
    device.shutdown();
    let [a, b] = &together[..] else { unreachable!("there are two lines") };
    let zero = a.iter().chain(b).map(|span| span.start_ns).min().unwrap_or(0);
    println!("queue  start, ms    end, ms");
    let shown = together.iter().enumerate().flat_map(|(queue, line)| {
        line.iter().take(SHOWN).map(move |span| (span.start_ns, span.end_ns, queue))
    });
    let mut shown: Vec<_> = shown.collect();
    shown.sort_unstable();
    for (start_ns, end_ns, queue) in shown {
        let (start, end) = (milliseconds(start_ns - zero), milliseconds(end_ns - zero));
        println!("{queue:5} {start:10.3} {end:10.3}");
    }
    let (any_ns, both_ns) = overlap(a, b);
    let share = milliseconds(both_ns) / milliseconds(any_ns).max(f64::MIN_POSITIVE);
    println!(
        "a launch takes {:.3} ms alone, {:.3} and {:.3} ms beside another one",
        median_ms(&alone[0]),
        median_ms(a),
        median_ms(b)
    );
    println!(
        "both queues run in {:.3} of {:.3} ms: overlap share {share:.3}",
        milliseconds(both_ns),
        milliseconds(any_ns)
    );
    Ok(share)
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "cuda:0".to_owned());
    let least = arguments.next().and_then(|least| least.parse().ok()).unwrap_or(0.0);
    match measure(&name) {
        Ok(share) if least <= share => ExitCode::SUCCESS,
        Ok(share) => {
            eprintln!("overlap: the share is {share:.3}, below {least}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("overlap: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(spans: &[(u64, u64)]) -> Vec<Span> {
        spans.iter().map(|&(start_ns, end_ns)| Span { start_ns, end_ns }).collect()
    }

    #[test]
    fn only_what_runs_at_the_same_time_overlaps() {
        let a = line(&[(0, 10), (20, 30), (30, 40)]);
        assert_eq!(overlap(&a, &a), (30, 30));
        assert_eq!(overlap(&a, &line(&[(10, 20), (40, 50)])), (30, 0), "in turns");
        assert_eq!(overlap(&a, &line(&[(5, 25), (38, 60)])), (35, 12), "from 5 to 40");
        assert_eq!(overlap(&a, &line(&[(50, 60)])), (0, 0), "one after the other");
    }
}
