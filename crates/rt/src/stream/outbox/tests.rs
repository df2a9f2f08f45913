//! The hand-over between streams, and what two threads can do to one stream.

use anabranch_hal::sim::{self, Config, SimControl};
use anabranch_sync::atomic::{AtomicUsize, Ordering};
use anabranch_sync::model::{bound, check, check_counted, check_once};
use anabranch_sync::{Arc, Mutex, thread};

use crate::tests::{
    NEVER, NOW, contents, counting, doom, host_buffer, lazy_with, manual, manual_with, null_device,
    null_with,
};
use crate::{Command, CommitMode, Device, Limits, Snapshot, Stream, TraceRecord};

#[test]
fn cb_9_buffers_are_handed_over_in_order_from_within_one_another() {
    check_once(|| {
        let device = null_device();
        let stream = device.lease_now().unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let (inner, noted) = (stream.clone(), Arc::clone(&order));
        // The null device runs this while the stream hands it over.
        stream
            .host(move || {
                for index in 1..4 {
                    let noted = Arc::clone(&noted);
                    let note = move || {
                        noted.lock().push(index);
                        Ok(())
                    };
                    inner.host(note).unwrap();
                    inner.flush(CommitMode::Now).unwrap();
                }
                noted.lock().push(0);
                Ok(())
            })
            .unwrap();
        stream.flush(CommitMode::Now).unwrap();
        assert_eq!(*order.lock(), [0, 1, 2, 3], "SO-1");
    });
}

#[test]
fn lazy_devices_are_driven_by_those_who_wait() {
    check_once(|| {
        for seed in 0..20 {
            let limits =
                Limits { in_flight_max: 1, commands_per_buffer_max: 1, ..Limits::default() };
            let (device, _control) = lazy_with(seed, limits);
            let (a, b) = (device.lease_now().unwrap(), device.lease_now().unwrap());
            let x = host_buffer(&device, &[0; 8]);
            for byte in 1..20 {
                a.submit(Command::fill(x.view(), byte)).unwrap();
                b.submit(Command::fill(x.view(), byte + 100)).unwrap();
            }
            b.synchronize(&NEVER).unwrap();
            assert_eq!(contents(&x), [119; 8]);
        }
    });
}

#[test]
fn cb_8_a_full_buffer_holds_its_submitter_up() {
    check_once(|| {
        for seed in 0..10 {
            // A traced stream has one command in each buffer.
            let limits = Limits { in_flight_max: 1, trace_records_max: 64, ..Limits::default() };
            let (device, _control) = lazy_with(seed, limits);
            let stream = device.default_stream();
            for _ in 0..30 {
                stream.host(|| Ok(())).unwrap();
            }
            stream.synchronize(&NEVER).unwrap();
            let mut commands = 0;
            device.drain_trace(|record| match record {
                TraceRecord::Ran { first, last, .. } => {
                    assert_eq!(first, last, "nothing piles up behind the limit");
                    commands += 1;
                }
                TraceRecord::Waited { .. } => unreachable!("one stream waits for nobody"),
            });
            assert_eq!(commands, 30);
        }
    });
}

#[test]
fn model_cb_2_two_threads_commit_one_stream() {
    check(|| {
        let device = null_device();
        let ran = Arc::new(AtomicUsize::new(0));
        let stream = device.default_stream();
        let other = thread::spawn({
            let (stream, ran) = (stream.clone(), Arc::clone(&ran));
            move || {
                counting(&stream, &ran);
                stream.flush(CommitMode::Now).unwrap();
            }
        });
        counting(&stream, &ran);
        stream.flush(CommitMode::Now).unwrap();
        other.join().unwrap();
        assert_eq!(ran.load(Ordering::Relaxed), 2, "CB-2, LV-1: each once, and none is left");
        assert!(stream.query().unwrap());
    });
}

#[test]
fn model_so_2_threads_keep_their_own_order() {
    let each = bound(1, 2, 3);
    check(move || {
        let device = null_device();
        let stream = device.default_stream();
        let order = Arc::new(Mutex::new(Vec::new()));
        let submit = move |name: usize, stream: &Stream, order: &Arc<Mutex<Vec<_>>>| {
            for index in 0..each {
                let order = Arc::clone(order);
                let note = move || {
                    order.lock().push((name, index));
                    Ok(())
                };
                stream.host(note).unwrap();
            }
        };
        let other = thread::spawn({
            let (stream, order) = (stream.clone(), Arc::clone(&order));
            move || submit(1, &stream, &order)
        });
        submit(0, &stream, &order);
        other.join().unwrap();
        stream.synchronize(&NEVER).unwrap();
        for name in 0..2 {
            let own: Vec<_> = order.lock().iter().filter(|note| note.0 == name).copied().collect();
            let expected: Vec<_> = (0..each).map(|index| (name, index)).collect();
            assert_eq!(own, expected, "CB-5: number and place are taken together");
        }
    });
}

#[test]
fn model_cb_11_streams_that_wait_for_each_other_leave_nothing_behind() {
    // Two preemptions are enough to meet a hand-over under way, and keep the search short.
    check_counted(Some(2), || {
        let device = null_device();
        let ran = Arc::new(AtomicUsize::new(0));
        let stream = || device.new_stream(Default::default()).unwrap();
        let (a, b) = (stream(), stream());
        let cross = |from: &Stream, to: &Stream, ran: &Arc<AtomicUsize>| {
            counting(from, ran);
            to.wait(&from.record().unwrap()).unwrap();
            counting(to, ran);
            to.flush(CommitMode::Now).unwrap();
        };
        let other = thread::spawn({
            let (a, b, ran) = (a.clone(), b.clone(), Arc::clone(&ran));
            move || cross(&b, &a, &ran)
        });
        cross(&a, &b, &ran);
        other.join().unwrap();
        assert_eq!(ran.load(Ordering::Relaxed), 4, "LV-1: nobody asks again");
        assert!(a.query().unwrap() && b.query().unwrap(), "LV-2");
    });
}

#[test]
fn model_lv_2_opposite_operands_do_not_deadlock() {
    check(|| {
        let device = automatic();
        let (a, b) = (
            device.new_stream(Default::default()).unwrap(),
            device.new_stream(Default::default()).unwrap(),
        );
        let (x, y) = (host_buffer(&device, &[1; 8]), host_buffer(&device, &[2; 8]));
        let other = thread::spawn({
            let (b, x, y) = (b.clone(), x.clone(), y.clone());
            move || b.submit(Command::copy(y.view(), x.view())).unwrap()
        });
        a.submit(Command::copy(x.view(), y.view())).unwrap();
        other.join().unwrap();
        a.synchronize(&NEVER).unwrap();
        b.synchronize(&NEVER).unwrap();
        let (x, y) = (contents(&x), contents(&y));
        assert!(x == y && (x == [1; 8] || x == [2; 8]), "one after the other: {x:?} {y:?}");
    });
}

fn automatic() -> Device {
    let (native, _control) = sim::open(&Config::automatic(3));
    Device::open(native, Limits::default()).unwrap()
}

#[test]
fn model_lv_1_what_the_limit_held_back_is_committed_by_the_report() {
    check(|| {
        let (device, control) = manual_with(Limits { in_flight_max: 1, ..Limits::default() });
        let stream = device.default_stream();
        stream.host(|| Ok(())).unwrap();
        stream.flush(CommitMode::Now).unwrap();
        stream.host(|| Ok(())).unwrap();
        let driver = thread::spawn({
            let (control, queue) = (control.clone(), stream.id());
            move || assert!(control.step(queue))
        });
        stream.flush(CommitMode::Continue).unwrap();
        driver.join().unwrap();
        assert_eq!(control.pending(), 1, "LV-1: nobody asks again");
        assert!(control.step(stream.id()));
    });
}

/// A stream with a command that is going to fail, and one that is to hear of it.
struct Doomed {
    device: Device,
    control: SimControl,
    producer: Stream,
    snapshot: Snapshot,
    consumer: Stream,
}

fn doomed() -> Doomed {
    let (device, control) = manual();
    let [producer, consumer] = [(); 2].map(|()| device.new_stream(Default::default()).unwrap());
    doom(&producer, "boom");
    let snapshot = producer.record().unwrap();
    producer.flush(CommitMode::Now).unwrap();
    Doomed { device, control, producer, snapshot, consumer }
}

#[test]
fn model_ev_12_a_failure_is_told_whenever_it_comes() {
    check(|| {
        let Doomed { device: _device, control, producer, snapshot, consumer } = doomed();
        let driver = thread::spawn({
            let (control, queue) = (control.clone(), producer.id());
            move || assert!(control.step(queue))
        });
        // Whether it fails now or later, the consumer must not do its work.
        if consumer.wait(&snapshot).is_ok() {
            let _ = consumer.host(|| panic!("EV-12: the failure was lost"));
        }
        let _ = consumer.flush(CommitMode::Now);
        driver.join().unwrap();
        control.run_until_idle(0);
        let error = consumer.synchronize(&NOW).unwrap_err();
        assert!(error.to_string().contains("boom"), "{error}");
    });
}

#[test]
fn model_ev_12_a_queue_is_there_while_it_is_named() {
    check(|| {
        let Doomed { device: _device, control, producer, snapshot, consumer } = doomed();
        consumer.wait(&snapshot).unwrap();
        consumer.host(|| panic!("EV-12: the failure went with the queue")).unwrap();
        let driver = thread::spawn({
            let (control, queue) = (control.clone(), producer.id());
            move || {
                assert!(control.step(queue));
                producer.reset_after_error().unwrap();
            }
        });
        let _ = consumer.flush(CommitMode::Now);
        driver.join().unwrap();
        control.run_until_idle(0);
        let error = consumer.synchronize(&NOW).unwrap_err();
        assert!(error.to_string().contains("boom"), "{error}");
    });
}

#[test]
fn model_bu_4_poison_is_seen_whenever_it_comes() {
    check(|| {
        let (device, control) = manual();
        let (producer, consumer) = (
            device.new_stream(Default::default()).unwrap(),
            device.new_stream(Default::default()).unwrap(),
        );
        let (x, y) = (host_buffer(&device, &[1; 8]), host_buffer(&device, &[2; 8]));
        doom(&producer, "boom");
        producer.submit(Command::fill(x.view(), 9)).unwrap();
        producer.flush(CommitMode::Now).unwrap();
        let driver = thread::spawn({
            let (control, queue) = (control.clone(), producer.id());
            move || assert!(control.step(queue))
        });
        let accepted = consumer.submit(Command::copy(x.view(), y.view())).is_ok();
        let _ = consumer.flush(CommitMode::Now);
        driver.join().unwrap();
        control.run_until_idle(0);
        assert_eq!(consumer.synchronize(&NOW).is_err(), accepted, "it failed or was refused");
        assert!(!accepted || y.read(0, &mut [0]).is_err());
    });
}

#[test]
fn model_cb_8_room_is_found_while_the_device_reports() {
    check(|| {
        let limits = Limits { in_flight_max: 1, commands_per_buffer_max: 1, ..Limits::default() };
        let device = null_with(limits);
        let ran = Arc::new(AtomicUsize::new(0));
        let stream = device.default_stream();
        let other = thread::spawn({
            let (stream, ran) = (stream.clone(), Arc::clone(&ran));
            move || (0..2).for_each(|_| counting(&stream, &ran))
        });
        counting(&stream, &ran);
        other.join().unwrap();
        stream.synchronize(&NEVER).unwrap();
        assert_eq!(ran.load(Ordering::Relaxed), 3);
    });
}
