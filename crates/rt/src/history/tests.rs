//! Legal histories of real runs, and the same histories with damage.

use anabranch_sync::model::{check, check_once};
use anabranch_sync::thread;

use super::*;
use crate::tests::{NEVER, contents, doom, host_buffer, lazy_with, manual_with, null_with};
use crate::{Command, CommitMode, Device, Limits};

fn limits() -> Limits {
    Limits { history_records_max: 256, in_flight_max: 2, ..Limits::default() }
}

fn history(device: &Device) -> History {
    let mut history = History::new();
    device.take_history(&mut history);
    assert_eq!(history.dropped(), 0);
    history
}

/// Waits, a failure that travels, a reset, a capture and leases, on a device with an order of its
/// own.
fn eventful(seed: u64) -> History {
    let (device, _control) = lazy_with(seed, limits());
    let buffer = host_buffer(&device, &[0; 8]);
    for round in 0..2 {
        let (first, second) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        for byte in 0..3 {
            first.submit(Command::fill(buffer.view(), byte)).unwrap();
            first.flush(CommitMode::Now).unwrap();
        }
        // Given back while the device uses it, and taken again, in its order and beside it.
        for stream in [&first, &first, &second] {
            let passing = device.allocate(8, stream).unwrap();
            stream.submit(Command::fill(passing.view(), 1)).unwrap();
        }
        second.wait(&first.record().unwrap()).unwrap();
        second.submit(Command::fill(buffer.view(), round)).unwrap();
        second.synchronize(&NEVER).unwrap();
        assert_eq!(contents(&buffer), [round; 8]);
    }
    let (broken, waiting) = (device.lease_now().unwrap(), device.lease_now().unwrap());
    drop(broken.begin_capture().unwrap());
    doom(&broken, "broken");
    waiting.wait(&broken.record().unwrap()).unwrap();
    waiting.synchronize(&NEVER).unwrap_err();
    broken.synchronize(&NEVER).unwrap_err();
    broken.reset_after_error().unwrap();
    drop((broken, waiting));
    let _ = device.synchronize(&NEVER);
    history(&device)
}

fn rule(history: &History) -> &'static str {
    history.check(&limits()).expect_err("this history was damaged").rule
}

/// The history with one of its events replaced: the first for which `change` has another.
fn damaged(mut history: History, change: impl Fn(Event) -> Option<Event>) -> History {
    history.records.sort_by_key(|record| record.order);
    let found = history.records.iter_mut().find_map(|record| {
        let event = change(record.event)?;
        record.event = event;
        Some(())
    });
    found.expect("the history has such an event");
    history
}

/// The history with the first event of which `is_first` holds and the first of which `is_second`
/// does in each other's place.
fn exchanged(
    mut history: History,
    is_first: impl Fn(Event) -> bool,
    is_second: impl Fn(Event) -> bool,
) -> History {
    history.records.sort_by_key(|record| record.order);
    let find = |wanted: &dyn Fn(Event) -> bool| {
        history.records.iter().position(|record| wanted(record.event)).unwrap()
    };
    let (first, second) = (find(&is_first), find(&is_second));
    let order = history.records[first].order;
    history.records[first].order = history.records[second].order;
    history.records[second].order = order;
    history
}

#[test]
fn what_a_device_did_is_legal() {
    check_once(|| {
        for seed in 0..8 {
            let history = eventful(seed);
            let tally = history.check(&limits()).unwrap();
            assert_eq!(tally.transitions, history.len());
            assert!(2 <= tally.waits && 2 <= tally.failed && 6 <= tally.leases, "{tally:?}");
            assert!(tally.failed < tally.finished && 2 <= tally.streams, "{tally:?}");
        }
    });
}

#[test]
fn so_2_a_number_that_was_given_twice_is_told() {
    check_once(|| {
        use crate::stream::state::Outcome::Issued;
        let history = damaged(eventful(0), |event| match event {
            Event::Stream(action, Issued(2)) => Some(Event::Stream(action, Issued(1))),
            _ => None,
        });
        assert_eq!(rule(&history), "SO-2 SubmitAtomic");
    });
}

#[test]
fn al_memory_that_is_taken_too_early_is_told() {
    check_once(|| {
        let taken_early = |event| match event {
            Event::Memory(Blocks::Taken { block, home, in_order: true }) => {
                Some(Event::Memory(Blocks::Taken { block, home, in_order: false }))
            }
            _ => None,
        };
        let (device, control) = manual_with(limits());
        let stream = device.default_stream();
        for _ in 0..2 {
            let passing = device.allocate(8, &stream).unwrap();
            stream.submit(Command::fill(passing.view(), 1)).unwrap();
        }
        stream.flush(CommitMode::Now).unwrap();
        control.run_until_idle(0);
        device.trim().unwrap();
        assert_eq!(rule(&damaged(history(&device), taken_early)), "AL-2 NoEarlyReuse");

        let change = |to: fn(Blocks) -> Option<Blocks>| {
            damaged(eventful(0), move |event| match event {
                Event::Memory(step) => to(step).map(Event::Memory),
                _ => None,
            })
        };
        let twice = change(|step| match step {
            Blocks::Given { block } => Some(Blocks::Taken { block, home: None, in_order: false }),
            _ => None,
        });
        assert_eq!(rule(&twice), "AL-1 NoOverlap");
        let unowned = change(|step| match step {
            Blocks::Taken { block, .. } => Some(Blocks::Given { block }),
            _ => None,
        });
        assert_eq!(rule(&unowned), "AL-17 OneOwner");
        let trimmed = change(|step| match step {
            Blocks::Given { block } => Some(Blocks::Trimmed { segment: block.segment }),
            _ => None,
        });
        assert_eq!(rule(&trimmed), "AL-8 MergeQuiescent");
    });
}

#[test]
fn so_1_a_report_out_of_order_is_told() {
    check_once(|| {
        let history = damaged(eventful(0), |event| match event {
            Event::Finished { value, ending } => Some(Event::Finished { value: value + 1, ending }),
            _ => None,
        });
        assert_eq!(rule(&history), "SO-1 StreamFIFO");
    });
}

#[test]
fn sp_1_a_stream_with_two_holders_is_told() {
    check_once(|| {
        let history = damaged(eventful(0), |event| match event {
            Event::Stream(crate::stream::state::Action::EndLease, _) => Some(Event::Leased),
            _ => None,
        });
        assert_eq!(rule(&history), "SP-1 LeaseExclusive");
    });
}

#[test]
fn so_4_a_report_before_its_submission_is_told() {
    check_once(|| {
        let history = exchanged(
            eventful(0),
            |event| matches!(event, Event::Handed(_)),
            |event| matches!(event, Event::Finished { .. }),
        );
        assert_eq!(rule(&history), "SO-4 CompletionTruth");
    });
}

/// Streams that wait for one another on a device that is lost: the last one ends first.
fn lost() -> History {
    let (device, control) = manual_with(limits());
    let leases: Vec<_> = (0..3).map(|_| device.lease_now().unwrap()).collect();
    for pair in leases.windows(2).rev() {
        pair[1].host(|| Ok(())).unwrap();
        pair[0].wait(&pair[1].record().unwrap()).unwrap();
    }
    leases[0].host(|| Ok(())).unwrap();
    leases.iter().for_each(|lease| drop(lease.flush(CommitMode::Now)));
    control.lose("as the test wants");
    drop(leases);
    let _ = device.synchronize(&NEVER);
    history(&device)
}

#[test]
fn ev_1_a_device_that_is_lost_waits_for_nothing_and_others_do() {
    check_once(|| {
        let tally = lost().check(&limits()).unwrap();
        assert!(2 <= tally.waits && tally.failed == 3, "{tally:?}");
        let mut early = lost();
        for record in &mut early.records {
            if let Event::Finished { ending, .. } = &mut record.event {
                *ending = Ending::Failed;
            }
        }
        assert_eq!(rule(&early), "EV-1 CapturesAllBefore");
    });
}

#[test]
fn ev_12_a_failure_that_did_not_travel_is_told() {
    check_once(|| {
        let mut history = eventful(0);
        history.records.sort_by_key(|record| record.order);
        let last = history.records.iter_mut().rev().find_map(|record| match &mut record.event {
            Event::Finished { ending, .. } if *ending == Ending::Failed => Some(ending),
            _ => None,
        });
        *last.unwrap() = Ending::Well;
        assert_eq!(rule(&history), "EV-12 FailPropagates");
    });
}

#[test]
fn cb_11_a_wait_for_what_is_not_committed_is_told() {
    check_once(|| {
        let history = damaged(eventful(0), |event| match event {
            Event::Awaits { producer, value } => {
                Some(Event::Awaits { producer, value: value + 100 })
            }
            _ => None,
        });
        assert_eq!(rule(&history), "CB-11 NoUncommittedDependency");
    });
}

#[test]
fn cb_8_more_in_flight_than_allowed_is_told() {
    check_once(|| {
        let narrow = Limits { in_flight_max: 1, ..limits() };
        let violation = eventful(0).check(&narrow).unwrap_err();
        assert_eq!(violation.rule, "CB-8 InFlightBounded");
    });
}

#[test]
fn sp_1_a_stream_leased_twice_is_told() {
    check_once(|| {
        use crate::pool::state::{Action, Grant, Outcome};
        let history = damaged(eventful(0), |event| match event {
            Event::Pool(action @ Action::Lease { .. }, Outcome::Granted(Grant::Stream(slot))) => {
                let other = Outcome::Granted(Grant::Stream(1 - slot));
                Some(Event::Pool(action, other))
            }
            _ => None,
        });
        assert_eq!(rule(&history), "SP-1 LeaseExclusive");
    });
}

#[test]
fn er_5_a_command_that_joins_those_of_the_lease_before_is_told() {
    check_once(|| {
        use crate::stream::state::Outcome::{Committed, Issued};
        let device = null_with(limits());
        for _ in 0..2 {
            device.lease_now().unwrap().host(|| Ok(())).unwrap();
        }
        device.synchronize(&NEVER).unwrap();
        let history = exchanged(
            history(&device),
            |event| matches!(event, Event::Stream(_, Committed(1))),
            |event| matches!(event, Event::Stream(_, Issued(2))),
        );
        assert_eq!(rule(&history), "ER-5 Contained");
    });
}

#[test]
fn a_history_with_a_gap_is_no_history() {
    check_once(|| {
        let mut gapped = eventful(0);
        gapped.records.remove(7);
        assert_eq!(rule(&gapped), "complete");

        let device = null_with(Limits { history_records_max: 2, ..Limits::default() });
        for _ in 0..4 {
            device.default_stream().host(|| Ok(())).unwrap();
        }
        device.synchronize(&NEVER).unwrap();
        let mut short = History::new();
        device.take_history(&mut short);
        assert!(0 < short.dropped());
        assert_eq!(rule(&short), "complete");
    });
}

#[test]
fn model_every_schedule_leaves_a_legal_history() {
    check(|| {
        let device = null_with(limits());
        let snapshot = device.default_stream().record().unwrap();
        let submitter = thread::spawn({
            let stream = device.default_stream();
            move || {
                stream.host(|| Ok(())).unwrap();
                stream.record().unwrap()
            }
        });
        let own = device.lease_now().unwrap();
        own.wait(&snapshot).unwrap();
        own.host(|| Ok(())).unwrap();
        own.wait(&submitter.join().unwrap()).unwrap();
        own.synchronize(&NEVER).unwrap();
        drop(own);
        device.synchronize(&NEVER).unwrap();
        let tally = history(&device).check(&limits()).unwrap();
        assert_eq!(tally.leases, 1);
    });
}
