//! Sessions on a device whose memory the host does not address.

use anabranch_hal::sim::{self, Config};
use anabranch_sync::{Arc, thread};

use super::*;

fn staging(config: Config) -> Device {
    let (native, _) = sim::open(&Config { stages: true, ..config });
    Device::open(native, rt::Limits::default()).unwrap()
}

/// Two inputs, two outputs, one of which is an input again.
fn model() -> Model {
    let mut model = ModelBuilder::new("staged", 1);
    let dims = [Dim::Symbol("n".to_owned()), Dim::Known(3)];
    let (a, b) = (model.input("a", &dims), model.input("b", &dims));
    let sum = model.add(a, b);
    let rectified = model.relu(sum);
    model.output("sum", rectified);
    model.output("a again", a);
    model.build().unwrap()
}

fn session(device: &Device, staged_bytes_max: usize) -> Session {
    let limits = Limits { staged_bytes_max, ..Limits::default() };
    Session::from_model(device, model(), &SessionOptions { limits, ..SessionOptions::default() })
        .unwrap()
}

fn tensors(rows: usize, seed: usize) -> [Tensor; 2] {
    let tensor = |from: usize| {
        let elements = (0..3 * rows).map(|at| f32::from(i16::try_from(at + from).unwrap()) - 20.0);
        Tensor::from_f32(&[rows, 3], elements.collect()).unwrap()
    };
    [tensor(seed), tensor(7 * seed)]
}

fn expected([a, b]: &[Tensor; 2]) -> [Vec<f32>; 2] {
    let (a, b) = (a.as_f32().unwrap(), b.as_f32().unwrap());
    [a.iter().zip(b).map(|(a, b)| (a + b).max(0.0)).collect(), a.to_vec()]
}

#[track_caller]
fn check(session: &Session, rows: usize, seed: usize) {
    let inputs = tensors(rows, seed);
    let results = session.run(&[("b", &inputs[1]), ("a", &inputs[0])]).unwrap();
    for ((name, result), expected) in results.iter().zip(expected(&inputs)) {
        assert_eq!(result.as_f32().unwrap(), expected, "{name}, {rows} rows, seed {seed}");
    }
}

#[test]
fn runs_bring_and_fetch_through_staging_memory() {
    let device = staging(Config::automatic(3));
    // Everything is staged, nothing is, and only what is small enough.
    for staged_bytes_max in [usize::MAX, 0, 200] {
        let session = session(&device, staged_bytes_max);
        for seed in 0..6 {
            check(&session, 1 + seed % 4, seed);
        }
    }
}

#[test]
fn callers_do_not_see_each_others_staging_memory() {
    let device = staging(Config::lazy(5));
    let session = Arc::new(session(&device, usize::MAX));
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let session = Arc::clone(&session);
            thread::spawn(move || (0..40).for_each(|pass| check(&session, 2, 100 * caller + pass)))
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
}

#[test]
fn a_binding_moves_nothing() {
    let device = staging(Config::automatic(3));
    let session = session(&device, usize::MAX);
    let inputs = tensors(2, 1);
    let mut binding =
        session.bind(&[("a", &inputs[0]), ("b", &inputs[1])], &Deadline::NEVER).unwrap();
    binding.run(&Deadline::NEVER).unwrap();
    let others = tensors(2, 4);
    binding.write("a", &others[0]).unwrap();
    binding.write("b", &others[1]).unwrap();
    binding.run(&Deadline::NEVER).unwrap();
    for ((_, result), expected) in binding.results().unwrap().iter().zip(expected(&others)) {
        assert_eq!(result.as_f32().unwrap(), expected);
    }
    check(&session, 2, 9);
}
