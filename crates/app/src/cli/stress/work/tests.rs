use anabranch::{Deadline, DeviceOptions, Tensor, open_device};
use anabranch_sync::Arc;

use super::{Case, Work};
use crate::callers::Quota;
use crate::cli::workload;
use crate::report::progress::Bar;

fn work() -> Work {
    let device = open_device("cpu:0", &DeviceOptions::default()).unwrap();
    Work::prepare(&device, workload::find("mlp").unwrap(), 1).unwrap()
}

#[test]
fn one_wrong_bit_is_a_mismatch() {
    let mut work = work();
    let cases = work.cases.iter().enumerate().map(|(index, case)| {
        let mut expected = case.expected.clone();
        if index == 3 {
            let output = &mut expected[0].1;
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
    work.device.shutdown(&Deadline::NEVER).unwrap();
    let findings = work.run(2, Quota::of(10), Bar::hidden(), None).unwrap();
    assert_eq!((findings.ops, findings.errors, findings.mismatches), (10, 10, 0));
    assert!(findings.first_error.unwrap().contains("shut down"));
}
