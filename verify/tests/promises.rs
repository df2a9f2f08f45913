//! The suite of promises on every device, and that each kind of verdict is noticed.

use anabranch_hal::device::QueueId;
use anabranch_hal::error as hal;
use anabranch_hal::sim::{self, Config};
use anabranch_rt::{Device, Limits};
use verify::promises::{
    CPU, EXPECTED_FAILURES, ExpectedFailure, Lose, NULL, Need, Promise, SIM, SIM_LAZY, SUBJECTS,
    Subject, Verdict, faults, table,
};

/// Checks every promise, each by its name, because one that is broken may hang.
fn verdicts(subject: &'static dyn Subject) -> Vec<(&'static Promise, Verdict)> {
    Promise::all()
        .map(|promise| {
            println!("{} on {}: {}", promise.id, subject.name(), promise.statement);
            let verdict = promise.check(subject);
            println!("    {verdict}");
            (promise, verdict)
        })
        .collect()
}

fn check(subject: &'static dyn Subject) {
    let faults = faults(subject.name(), &verdicts(subject), EXPECTED_FAILURES);
    assert_eq!(faults, Vec::<String>::new(), "on {}", subject.name());
}

#[test]
fn promises_on_the_device_that_computes_nothing() {
    check(NULL);
}

#[test]
fn promises_on_the_simulated_device() {
    check(SIM);
}

#[test]
fn promises_on_the_simulated_device_where_work_piles_up() {
    check(SIM_LAZY);
}

#[test]
fn promises_on_the_processor() {
    check(CPU);
}

#[cfg(feature = "cuda")]
#[test]
fn promises_on_cuda() {
    check(verify::promises::CUDA);
}

#[test]
fn every_promise_has_a_name_of_its_own_and_is_shown_somewhere() {
    let mut ids: Vec<&str> = Promise::all().map(|promise| promise.id).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
    for promise in Promise::all() {
        let shown = SUBJECTS.iter().any(|subject| match promise.need {
            Need::Nothing => true,
            Need::Contents => subject.computes(),
            Need::Loss => subject.open_to_lose().is_some(),
            Need::LeftOut(_) => true,
        });
        assert!(shown, "{}: no device can show it", promise.id);
    }
    let known = |entry: &ExpectedFailure| SUBJECTS.iter().any(|s| s.name() == entry.device);
    assert!(EXPECTED_FAILURES.iter().all(known), "an expected failure of no device");
}

/// A device whose first leased stream fails by itself.
struct Failing;

impl Subject for Failing {
    fn name(&self) -> &'static str {
        "failing"
    }

    fn open(&self, limits: Limits) -> Device {
        let (native, control) = sim::open(&Config::automatic(7));
        let error = hal::Error::new(hal::ErrorKind::CommandFailed, "by itself");
        // The default stream has the first number.
        control.fail_next(QueueId(2), error);
        Device::open(native, limits).unwrap()
    }

    fn open_to_lose(&self) -> Option<(Device, Lose)> {
        None
    }

    fn computes(&self) -> bool {
        false
    }
}

#[test]
fn each_kind_of_verdict_is_noticed() {
    let verdicts: Vec<_> = Promise::all()
        .filter(|promise| ["Stream-1", "Device-1", "Device-5"].contains(&promise.id))
        .map(|promise| (promise, promise.check(&Failing)))
        .collect();
    let of = |id: &str| &verdicts.iter().find(|(promise, _)| promise.id == id).unwrap().1;
    assert!(matches!(of("Stream-1"), Verdict::Broken(how) if how.contains("by itself")));
    assert_eq!(of("Device-1"), &Verdict::Held);
    assert!(matches!(of("Device-5"), Verdict::Unsupported(_)));

    let expect = |id| ExpectedFailure { device: "failing", id, reason: "of this test" };
    let found = |expected: &[ExpectedFailure]| faults("failing", &verdicts, expected);
    assert!(found(&[]).iter().any(|fault| fault.starts_with("Stream-1 is broken")));
    assert_eq!(found(&[expect("Stream-1")]), Vec::<String>::new());
    let passing = found(&[expect("Stream-1"), expect("Device-1")]);
    assert_eq!(passing, ["Device-1 holds; take it off the expected failures"]);
    let unsupported = found(&[expect("Stream-1"), expect("Device-5")]);
    assert_eq!(unsupported, ["Device-5 is unsupported, which is no failure"]);
    let unknown = found(&[expect("Stream-1"), expect("Nothing-1")]);
    assert_eq!(unknown, ["Nothing-1 is expected of nothing"]);
}

#[test]
fn the_table_has_a_row_for_each_promise() {
    let table = table(&[NULL]);
    assert_eq!(table.lines().count(), Promise::all().count() + 2);
    assert!(table.lines().all(|row| row.starts_with('|') && row.ends_with('|')), "{table}");
}
