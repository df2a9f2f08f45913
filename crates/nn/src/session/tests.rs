use anabranch_hal::any;
use anabranch_rt as rt;

use super::*;
use crate::{Dim, ModelBuilder, npy};

const ASSETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/digits/");

fn device() -> Device {
    let native = any::open("cpu", &any::Options::default()).unwrap();
    Device::open(native, rt::Limits::default()).unwrap()
}

fn asset(name: &str) -> Tensor {
    npy::read(format!("{ASSETS}{name}.npy"), &Limits::default()).unwrap()
}

/// Runs a digits network on all images, some at a time, and returns the largest error of its
/// logits and how many digits it knows.
fn digits(name: &str, batch: usize) -> (f64, usize) {
    let session =
        Session::load(&device(), format!("{ASSETS}{name}.onnx"), &SessionOptions::default()).unwrap();
    let (images, labels) = (asset("digits-images"), asset("digits-labels"));
    let expected = asset(&format!("{name}-logits"));
    let count = images.shape()[0];
    let (mut worst, mut right) = (0f64, 0);
    let mut parts = Vec::new();
    for start in (0..count).step_by(batch) {
        let rows = images.rows(start..count.min(start + batch)).unwrap();
        let mut results = session.run(&[("image", &rows)]).unwrap();
        assert_eq!(results[0].0, "logits");
        parts.push(results.remove(0).1);
    }
    let logits = Tensor::concat(&parts).unwrap();
    assert_eq!(logits.shape(), expected.shape());
    for (found, wanted) in logits.as_f32().unwrap().iter().zip(expected.as_f64().unwrap()) {
        worst = worst.max((f64::from(*found) - wanted).abs());
    }
    for (row, label) in logits.as_f32().unwrap().chunks(10).zip(labels.as_i64().unwrap()) {
        let best = (0..10).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
        right += usize::from(i64::try_from(best) == Ok(*label));
    }
    (worst, right)
}

#[test]
fn the_digits_networks_agree_with_their_logits() {
    for name in ["digits-conv-bn", "digits-instance-norm"] {
        for batch in [1797, 7] {
            let (worst, right) = digits(name, batch);
            println!("{name} by {batch}: {worst:e} {right}");
            assert!(worst < 2e-5, "{name} by {batch}: {worst}");
            assert!(1760 < right, "{name} by {batch}: {right} of 1797");
        }
    }
}
