use anabranch::{Deadline, DeviceOptions, Tensor, open_devices};
use anabranch_sync::Arc;

use super::{Case, Trouble, Work};
use crate::callers::Quota;
use crate::cli::workload;
use crate::report::progress::Bar;

fn work() -> Work {
    work_with(Trouble::default())
}

fn work_with(trouble: Trouble) -> Work {
    work_on("cpu:0", trouble)
}

fn work_on(devices: &str, trouble: Trouble) -> Work {
    let devices = open_devices(devices, &DeviceOptions::default()).unwrap();
    Work::prepare(&devices, workload::find("mlp").unwrap(), 1, 2, trouble).unwrap()
}

#[test]
fn one_wrong_bit_is_a_mismatch() {
    let mut work = work();
    let cases = work.cases.iter().enumerate().map(|(index, case)| {
        let mut expected = case.expected.clone();
        if index == 3 {
            let output = &mut expected[0][0].1;
            let mut elements = output.as_f32().unwrap().to_vec();
            elements[7] = f32::from_bits(elements[7].to_bits() ^ 1);
            *output = Tensor::from_f32(output.shape(), elements).unwrap();
        }
        Case { input: case.input.clone(), expected }
    });
    work.cases = Arc::new(cases.collect());
    let findings = work.run(2, Quota::of(32), Bar::hidden(), None).unwrap();
    assert_eq!((findings.ops, findings.errors, findings.mismatches), (32, 0, 4));
}

#[test]
fn a_device_that_goes_away_is_an_error_of_every_pass() {
    let work = work();
    work.devices[0].shutdown(&Deadline::NEVER).unwrap();
    let findings = work.run(2, Quota::of(10), Bar::hidden(), None).unwrap();
    assert_eq!((findings.ops, findings.errors, findings.mismatches), (10, 10, 0));
    assert!(findings.first_error.unwrap().contains("shut down"));
}

#[test]
fn own_sessions_are_one_for_each_caller() {
    let own = work_with(Trouble { own_sessions: true, ..Trouble::default() });
    assert_eq!((own.session_count(), work().session_count()), (2, 1));
    let findings = own.run(2, Quota::of(32), Bar::hidden(), None).unwrap();
    assert_eq!((findings.ops, findings.errors, findings.mismatches), (32, 0, 0));
}

#[test]
fn every_third_pass_has_a_deadline_and_nothing_else_is_cancelled() {
    let work = work_with(Trouble { deadlines: true, ..Trouble::default() });
    assert_eq!((0..9).filter(|&ticket| work.deadline(ticket).is_some()).count(), 3);
    assert!(work.deadline(0).unwrap().has_passed());
    let findings = work.run(2, Quota::of(60), Bar::hidden(), None).unwrap();
    assert_eq!((findings.ops, findings.errors, findings.mismatches), (60, 0, 0));
    assert!(findings.cancelled <= 20);
}

#[test]
fn a_pass_that_gets_no_stream_is_cancelled_at_its_deadline() {
    let work = work_with(Trouble { deadlines: true, ..Trouble::default() });
    let leases: Vec<_> = std::iter::from_fn(|| work.devices[0].lease_now().ok()).collect();
    let findings = work.run(2, Quota::of(1), Bar::hidden(), None).unwrap();
    assert_eq!((findings.ops, findings.errors, findings.cancelled), (1, 0, 1));
    drop(leases);
}

#[test]
fn failures_are_told_and_a_lost_device_is_an_error() {
    let work = work_with(Trouble { failures: true, ..Trouble::default() });
    let findings = work.run(2, Quota::of(32), Bar::hidden(), None).unwrap();
    assert_eq!((findings.ops, findings.errors, findings.mismatches), (32, 0, 0));
    assert!(0 < findings.failures);
    work.devices[0].shutdown(&Deadline::NEVER).unwrap();
    let findings = work.run(2, Quota::of(10), Bar::hidden(), None).unwrap();
    assert_eq!((findings.ops, findings.errors, findings.failures), (10, 11, 0));
}

#[test]
fn each_device_is_held_to_its_own_values() {
    // Whatever runs, `null` leaves the zeros that its memory begins with.
    let mut work = work_on("cpu:0,null:0", Trouble { failures: true, ..Trouble::default() });
    let findings = work.run(2, Quota::of(64), Bar::hidden(), None).unwrap();
    assert_eq!((findings.ops, findings.errors, findings.mismatches), (64, 0, 0));
    let shares = work.shares(&findings.shares);
    assert!(shares.iter().all(|share| 0 < share.passes()), "{shares:?}");
    let cases = work.cases.iter().map(|case| {
        let mut expected = case.expected.clone();
        expected.reverse();
        Case { input: case.input.clone(), expected }
    });
    work.cases = Arc::new(cases.collect());
    let findings = work.run(2, Quota::of(64), Bar::hidden(), None).unwrap();
    assert_eq!((findings.ops, findings.mismatches), (64, 64));
}

#[test]
fn memory_that_is_not_there_is_refused_beside_the_callers() {
    let work = work_with(Trouble { exhaust: true, ..Trouble::default() });
    let findings = work.run(2, Quota::of(32), Bar::hidden(), None).unwrap();
    assert_eq!((findings.ops, findings.errors, findings.mismatches), (32, 0, 0));
    assert!(0 < findings.failures);
}
