use anabranch_hal::sim::{self, Config, SimControl};
use anabranch_rt::{Device, Limits};
use anabranch_sync::{Arc, model, thread};

use super::*;
use crate::{Dim, ErrorKind, ModelBuilder, SessionOptions};

fn runs(balance: &Balance) -> Vec<usize> {
    balance.shares.iter().map(|share| share.running.load(Ordering::Relaxed)).collect()
}

#[test]
fn the_least_busy_is_taken_and_the_idle_take_turns() {
    model::check_once(|| {
        let balance = Balance::new(3);
        let held: Vec<_> = (0..7).map(|_| balance.take()).collect();
        assert_eq!(runs(&balance), [3, 2, 2]);
        let kept = held.into_iter().filter(|taken| taken.index == 1).collect::<Vec<_>>();
        assert_eq!(runs(&balance), [0, 2, 0]);
        let next: Vec<_> = (0..4).map(|_| balance.take()).collect();
        assert_eq!(runs(&balance), [2, 2, 2]);
        drop((kept, next));
        let turns: Vec<_> = (0..3).map(|_| balance.take().index).collect();
        assert!((0..3).all(|index| turns.contains(&index)), "{turns:?}");
    });
}

#[test]
fn model_every_run_counts() {
    model::check(|| {
        let balance = Arc::new(Balance::new(2));
        // The other device is the least busy one for both that come now.
        std::mem::forget(balance.take());
        let other = thread::spawn({
            let balance = Arc::clone(&balance);
            move || std::mem::forget(balance.take())
        });
        std::mem::forget(balance.take());
        other.join().unwrap();
        let mut runs = runs(&balance);
        runs.sort_unstable();
        assert_eq!(runs, [1, 2]);
    });
}

#[test]
fn the_lost_are_taken_last() {
    model::check_once(|| {
        let balance = Balance::new(2);
        assert!(balance.take().lose());
        let held: Vec<_> = (0..3).map(|_| balance.take()).collect();
        assert!(held.iter().all(|taken| taken.index == 1));
        assert!(!held[0].lose(), "there is no other one");
        assert_eq!(balance.take().index, 0, "any is as good, and tells its own error");
    });
}

fn doubling(inputs: &[&str]) -> (Session, SimControl) {
    let mut model = ModelBuilder::new("double", 1);
    for name in inputs {
        let x = model.input(name, &[Dim::Known(2)]);
        let doubled = model.add(x, x);
        model.output(&format!("{name} twice"), doubled);
    }
    let (native, control) = sim::open(&Config::automatic(7));
    let device = Device::open(native, Limits::default()).unwrap();
    let options = SessionOptions::default();
    (Session::from_model(&device, model.build().unwrap(), &options).unwrap(), control)
}

#[test]
fn runs_go_on_while_one_device_is_left() {
    let (sessions, controls): (Vec<_>, Vec<_>) = (0..3).map(|_| doubling(&["x"])).unzip();
    let replicas = Replicas::new(sessions).unwrap();
    let x = Tensor::from_f32(&[2], vec![1.5, -2.0]).unwrap();
    let run = || replicas.run(&[("x", &x)]);
    for lost in &controls {
        for _ in 0..6 {
            assert_eq!(run().unwrap()[0].1.as_f32(), Some(&[3.0, -4.0][..]));
        }
        lost.lose("as the test wants");
    }
    let error = run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Runtime);
    assert!(is_lost(&error), "{error}");
    assert_eq!(runs(&replicas.balance), [0, 0, 0]);
}

#[test]
fn sessions_of_other_models_are_refused() {
    assert_eq!(Replicas::new(Vec::new()).unwrap_err().kind(), ErrorKind::InvalidInput);
    let sessions = vec![doubling(&["x"]).0, doubling(&["x", "y"]).0];
    assert_eq!(Replicas::new(sessions).unwrap_err().kind(), ErrorKind::InvalidInput);
}
