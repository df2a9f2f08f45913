use std::panic::{AssertUnwindSafe, catch_unwind};

use anabranch_sync::{Arc, model, process, thread};

use super::{current_device, current_stream, with_stream};
use crate::{DeviceOptions, open_device};

fn null() -> anabranch_rt::Device {
    open_device("null:0", &DeviceOptions::default()).unwrap()
}

#[test]
fn so_8_guards_nest_over_two_devices() {
    let (first, second) = (null(), null());
    let (a, b, c) =
        (first.lease_now().unwrap(), first.lease_now().unwrap(), second.lease_now().unwrap());
    let outer = with_stream(&a);
    let middle = with_stream(&c);
    let inner = with_stream(&b);
    assert_eq!(current_stream(&first).id(), b.id());
    assert_eq!(current_stream(&second).id(), c.id());
    let is_current = |device: &anabranch_rt::Device| {
        std::ptr::eq(current_device().unwrap().info(), device.info())
    };
    assert!(is_current(&first));
    drop(inner);
    assert!(is_current(&second), "the device is restored as well");
    assert_eq!(current_stream(&first).id(), a.id());
    drop(middle);
    assert!(is_current(&first));
    assert_eq!(current_stream(&second).id(), second.default_stream().id());
    drop(outer);
    assert!(current_device().is_none());
    assert_eq!(current_stream(&first).id(), first.default_stream().id());
}

#[test]
fn so_8_unwinding_restores() {
    let device = null();
    let lease = device.lease_now().unwrap();
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _guard = with_stream(&lease);
        assert_eq!(current_stream(&device).id(), lease.id());
        panic!("on purpose");
    }));
    assert!(unwound.is_err());
    assert!(current_device().is_none());
    assert_eq!(current_stream(&device).id(), device.default_stream().id());
}

#[test]
fn an_outer_guard_that_ends_first_leaves_the_inner_one() {
    let device = null();
    let (a, b) = (device.lease_now().unwrap(), device.lease_now().unwrap());
    let outer = with_stream(&a);
    let inner = with_stream(&b);
    drop(outer);
    assert_eq!(current_stream(&device).id(), b.id());
    drop(inner);
    assert_eq!(current_stream(&device).id(), device.default_stream().id());
}

#[test]
fn so_7_other_threads_start_at_the_default_stream() {
    model::check(|| {
        let device = null();
        let lease = device.lease_now().unwrap();
        let _guard = with_stream(&lease);
        let seen = thread::spawn({
            let device = device.clone();
            move || {
                let seen = current_stream(&device).id();
                let own = device.lease_now().unwrap();
                let _guard = with_stream(&own);
                (seen, current_stream(&device).id() == own.id())
            }
        });
        assert_eq!(seen.join().unwrap(), (device.default_stream().id(), true));
        assert_eq!(current_stream(&device).id(), lease.id());
    });
}

#[test]
fn fk_6_the_current_stream_of_a_parent_is_inert_in_its_child() {
    let device = null();
    let lease = device.lease_now().unwrap();
    let _guard = with_stream(&lease);
    let is_inert = || {
        let current = current_stream(&device);
        let kinds = [current.query().err(), current.host(|| Ok(())).err()];
        let forked = |error: Option<anabranch_rt::Error>| {
            error.is_some_and(|error| error.kind() == anabranch_rt::ErrorKind::ForkedChild)
        };
        kinds.into_iter().all(forked)
    };
    assert!(process::fork_and_check(is_inert).unwrap(), "FK-6");
    assert!(current_stream(&device).query().unwrap(), "FK-2: the parent goes on");
}

#[test]
fn sh_6_a_forgotten_guard_ends_nothing_when_its_thread_ends() {
    let device = null();
    let token = Arc::new(());
    let kept = Arc::clone(&token);
    device.on_memory_pressure(move || drop(Arc::clone(&kept)));
    let forgetful = thread::spawn(move || std::mem::forget(with_stream(&device.default_stream())));
    forgetful.join().unwrap();
    assert_eq!(Arc::strong_count(&token), 2, "SH-6: the device has not been ended on the way out");
}
