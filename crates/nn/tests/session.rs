//! Sessions through their public face, on the CPU device.
//!
//! The digits are the test set of the UCI Optical Recognition of Handwritten Digits data set
//! (E. Alpaydin and C. Kaynak, CC BY 4.0).

use std::time::Duration;

use anabranch_hal::any;
use anabranch_nn::{
    DType, Dim, Error, ErrorKind, Limits, ModelBuilder, Session, SessionOptions, Tensor, npy,
};
use anabranch_rt::{Deadline, Device};
use anabranch_sync::{Arc, thread};

const ASSETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/digits/");

fn device() -> Device {
    device_of(None)
}

fn device_of(memory_bytes: Option<usize>) -> Device {
    let options = any::Options { workers: Some(2), memory_bytes, ..Default::default() };
    Device::open(any::open("cpu", &options).unwrap(), anabranch_rt::Limits::default()).unwrap()
}

fn asset(name: &str) -> Tensor {
    npy::read(format!("{ASSETS}{name}.npy"), &Limits::default()).unwrap()
}

fn load(name: &str, limits: Limits) -> Session {
    let path = format!("{ASSETS}{name}.onnx");
    Session::load(&device(), path, &SessionOptions { limits, ..SessionOptions::default() }).unwrap()
}

fn logits(session: &Session, images: &Tensor) -> Result<Tensor, Error> {
    session.run(&[("image", images)]).map(|mut results| results.remove(0).1)
}

const NETWORKS: [&str; 2] = ["digits-conv-bn", "digits-instance-norm"];

#[test]
fn the_digits_networks_agree_with_their_logits() {
    for name in NETWORKS {
        let session = load(name, Limits::default());
        let (images, labels) = (asset("digits-images"), asset("digits-labels"));
        let expected = asset(&format!("{name}-logits"));
        let found = logits(&session, &images).unwrap();
        assert_eq!(found.shape(), expected.shape());
        let pairs = found.as_f32().unwrap().iter().zip(expected.as_f64().unwrap());
        let worst = pairs.map(|(f, e)| (f64::from(*f) - e).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-5, "{name}: {worst}");
        let rows = found.as_f32().unwrap().chunks(10).zip(labels.as_i64().unwrap());
        let right = rows.filter(|(row, label)| {
            let best = (0..10).max_by(|&a, &b| row[a].total_cmp(&row[b]));
            best.and_then(|best| i64::try_from(best).ok()) == Some(**label)
        });
        assert!(1_780 < right.count());
    }
}

#[test]
fn a_result_is_the_same_in_every_batch_and_on_every_thread() {
    for name in NETWORKS {
        let session = Arc::new(load(name, Limits { contexts_max: Some(2), ..Limits::default() }));
        let images = asset("digits-images").rows(0..64).unwrap();
        let expected = logits(&session, &images).unwrap();
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let (session, images, expected) =
                    (Arc::clone(&session), images.clone(), expected.clone());
                thread::spawn(move || {
                    for batch in [1, 4, 7, 64, 1 + number] {
                        for start in (0..64).step_by(batch) {
                            let rows = start..(start + batch).min(64);
                            let part = images.rows(rows.clone()).unwrap();
                            let found = logits(&session, &part).unwrap();
                            assert_eq!(found.as_bytes(), expected.rows(rows).unwrap().as_bytes());
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    }
}

#[test]
fn plans_are_kept_up_to_their_bound() {
    let session = load(NETWORKS[0], Limits { plans_max: 2, ..Limits::default() });
    let images = asset("digits-images");
    for batch in [1, 2, 3, 1, 3] {
        logits(&session, &images.rows(0..batch).unwrap()).unwrap();
        assert!(session.plan_count() <= 2);
    }
    assert_eq!(session.trim(), 2);
    assert_eq!(session.plan_count(), 0);
    logits(&session, &images.rows(0..1).unwrap()).unwrap();
}

#[test]
fn memory_does_not_grow_with_runs() {
    let session = load(NETWORKS[1], Limits::default());
    let images = asset("digits-images").rows(0..8).unwrap();
    logits(&session, &images).unwrap();
    let before = session.device().memory_stats().reserved_bytes;
    for _ in 0..100 {
        logits(&session, &images).unwrap();
    }
    assert_eq!(session.device().memory_stats().reserved_bytes, before);
}

#[test]
fn an_empty_batch_has_an_empty_result() {
    for name in NETWORKS {
        let session = load(name, Limits::default());
        let none = asset("digits-images").rows(5..5).unwrap();
        let found = logits(&session, &none).unwrap();
        assert_eq!((found.shape(), found.dtype()), (&[0, 10][..], DType::F32));
        assert_eq!(session.plan_count(), 0);
    }
}

#[test]
fn what_does_not_fit_the_inputs_is_refused() {
    let session = load(NETWORKS[0], Limits::default());
    let image = Tensor::zeros(DType::F32, &[1, 1, 8, 8]).unwrap();
    let refused = |inputs: &[(&str, &Tensor)]| {
        let error = session.run(inputs).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        error.to_string()
    };
    assert!(refused(&[]).contains("image: f32[batch×1×8×8] is missing"));
    assert!(refused(&[("picture", &image)]).contains("'picture'"));
    assert!(refused(&[("image", &image), ("image", &image)]).contains("twice"));
    let flat = image.reshaped(&[1, 64]).unwrap();
    assert!(refused(&[("image", &flat)]).contains("[1×64]"));
    let turned = image.reshaped(&[8, 8, 1, 1]).unwrap();
    assert!(refused(&[("image", &turned)]).contains("[8×8×1×1]"));
    let wide = Tensor::zeros(DType::F64, &[1, 1, 8, 8]).unwrap();
    assert!(refused(&[("image", &wide)]).contains("f64"));
    assert!(logits(&session, &image).is_ok());
}

#[test]
fn extents_of_one_name_are_the_same_in_every_input() {
    let mut model = ModelBuilder::new("pair", 5);
    let dims = [Dim::Symbol("n".into()), Dim::Any];
    let (a, b) = (model.input("a", &dims), model.input("b", &dims));
    let sum = model.add(a, b);
    model.output("y", sum);
    let session =
        Session::from_model(&device(), model.build().unwrap(), &SessionOptions::default()).unwrap();
    let zeros = |shape: &[usize]| Tensor::zeros(DType::F32, shape).unwrap();
    let (two, row, one) = (zeros(&[2, 3]), zeros(&[2, 1]), zeros(&[1, 3]));
    assert_eq!(session.run(&[("b", &two), ("a", &row)]).unwrap()[0].1.shape(), [2, 3]);
    let error = session.run(&[("a", &two), ("b", &one)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("'n' is both 2 and 1"), "{error}");
}

#[test]
fn nan_and_infinity_are_propagated() {
    let session = load(NETWORKS[0], Limits::default());
    for bad in [f32::NAN, f32::INFINITY] {
        let mut pixels = vec![0.5; 128];
        pixels[70] = bad;
        let images = Tensor::from_f32(&[2, 1, 8, 8], pixels).unwrap();
        let found = logits(&session, &images).unwrap();
        let found = found.as_f32().unwrap();
        assert!(found[..10].iter().all(|logit| logit.is_finite()));
        assert!(found[10..].iter().any(|logit| !logit.is_finite()), "{bad} was hidden");
    }
}

#[test]
fn a_model_that_does_not_fit_is_refused_before_anything_is_allocated() {
    let device = device_of(Some(64 << 10));
    let path = format!("{ASSETS}{}.onnx", NETWORKS[0]);
    let error = Session::load(&device, &path, &SessionOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
    assert!(error.to_string().contains("digits-conv-bn.onnx"), "{error}");
    assert_eq!(device.memory_stats().reserved_peak_bytes, 0);
}

#[test]
fn a_run_that_does_not_fit_fails_and_a_smaller_one_succeeds() {
    let device = device_of(Some(4 << 20));
    let path = format!("{ASSETS}{}.onnx", NETWORKS[0]);
    let session = Session::load(&device, path, &SessionOptions::default()).unwrap();
    let images = asset("digits-images");
    assert_eq!(logits(&session, &images).unwrap_err().kind(), ErrorKind::OutOfMemory);
    assert!(logits(&session, &images.rows(0..4).unwrap()).is_ok());
}

#[test]
fn a_deadline_in_the_past_is_a_timeout() {
    let session = load(NETWORKS[0], Limits::default());
    let image = asset("digits-images").rows(0..1).unwrap();
    let lease_all: Vec<_> = std::iter::from_fn(|| session.device().lease_now().ok()).collect();
    let deadline = Deadline::after(Duration::ZERO);
    let error = session.run_until(&[("image", &image)], &deadline).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    drop(lease_all);
    assert!(logits(&session, &image).is_ok());
}

#[test]
fn a_run_follows_what_its_stream_was_given() {
    let session = load(NETWORKS[0], Limits::default());
    let images = asset("digits-images").rows(0..3).unwrap();
    let expected = logits(&session, &images).unwrap();
    let stream = session.device().default_stream();
    let found = session.run_on(&[("image", &images)], &stream, &Deadline::NEVER).unwrap();
    assert_eq!(found[0].1, expected);
}

#[test]
fn a_missing_file_is_named() {
    let error = Session::load(&device(), "no/such.onnx", &SessionOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().starts_with("no/such.onnx: "), "{error}");
}

#[test]
fn inputs_of_other_types_are_computed_in_their_type() {
    let mut model = ModelBuilder::new("table", 5);
    let rows = model.typed_input("rows", DType::I64, &[Dim::Any]);
    let same = model.add(rows, rows);
    model.output("y", same);
    let model = model.build().unwrap();
    let session = Session::from_model(&device(), model, &SessionOptions::default()).unwrap();
    // Neither of these is an `f32`.
    let rows = Tensor::from_i64(&[2], vec![(1 << 60) + 1, -16_777_217]).unwrap();
    let found = session.run(&[("rows", &rows)]).unwrap().remove(0).1;
    assert_eq!(found.as_i64(), Some(&[(1 << 61) + 2, -33_554_434][..]));
}

#[test]
fn a_session_describes_its_plans() {
    let session = load(NETWORKS[0], Limits::default());
    let plan = session.describe(&[("image", &[4, 1, 8, 8])]).unwrap();
    let kernels: Vec<&str> = plan.steps.iter().map(|step| step.kernel).collect();
    assert_eq!(kernels, ["conv2d", "conv2d", "adaptive_average_pool2d", "matmul"]);
    assert!(plan.to_string().contains("4 steps"));
    assert!(session.describe(&[("image", &[4, 1, 8])]).is_err());
}
