//! Host functions and callbacks.

use anabranch_hal::device::Sink;

use super::super::Report;
use super::*;

#[test]
fn hb7_host_functions_run_once_in_their_place() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        let buffer = host_buffer(&device, &[0; 4]);
        let seen = Arc::new(Mutex::new(Vec::new()));
        for byte in 1..=3_u8 {
            stream.submit(fill(&buffer, byte)).unwrap();
            let (seen, buffer) = (Arc::clone(&seen), buffer.clone());
            stream
                .host(move || {
                    assert!(process::in_callback());
                    seen.lock().push((byte, buffer.address()));
                    Ok(())
                })
                .unwrap();
        }
        let _ = stream.query();
        assert!(seen.lock().is_empty());
        run_all(&control);
        let expected: Vec<_> = (1..=3).map(|byte| (byte, buffer.address())).collect();
        assert_eq!(*seen.lock(), expected);
    });
}

#[test]
fn callbacks_may_submit_but_must_not_wait() {
    check_once(|| {
        let device = null_device();
        let (outer, inner) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        let snapshot = inner.record().unwrap();
        let refused = Arc::new(Mutex::new(Vec::new()));
        let (told, device_too, target) = (Arc::clone(&refused), device.clone(), inner.clone());
        outer
            .host(move || {
                let kinds = [
                    kind(target.synchronize(&NEVER)),
                    kind(target.flush(CommitMode::Wait(NEVER))),
                    kind(snapshot.synchronize(&NEVER)),
                    kind(device_too.synchronize(&NEVER)),
                    kind(device_too.shutdown(&NEVER)),
                    kind(device_too.lease(&LeasePolicy::Wait(NEVER))),
                ];
                told.lock().extend(kinds);
                let buffer = device_too.allocate(16, &target).unwrap();
                target.submit(fill(&buffer, 1)).unwrap();
                drop(buffer);
                target.record().unwrap();
                target.flush(CommitMode::Now).unwrap();
                drop(device_too.lease_now().unwrap());
                Ok(())
            })
            .unwrap();
        outer.synchronize(&NEVER).unwrap();
        assert_eq!(*refused.lock(), [ErrorKind::WouldDeadlock; 6], "SH-7");
        inner.synchronize(&NEVER).unwrap();
        assert!(!process::in_callback());
    });
}

#[test]
fn ep_5_completion_callbacks_are_told_once() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        let told = Arc::new(Mutex::new(Vec::new()));
        let listen = |name: &'static str| {
            let told = Arc::clone(&told);
            stream.on_complete(move |outcome| told.lock().push((name, outcome.is_ok()))).unwrap();
        };
        listen("at once");
        assert_eq!(*told.lock(), [("at once", true)]);
        stream.host(|| Ok(())).unwrap();
        listen("first");
        listen("second");
        stream.on_complete(|_| panic!("swallowed")).unwrap();
        doom(&stream, "boom");
        listen("third");
        assert_eq!(told.lock().len(), 1);
        run_all(&control);
        let expected = [("at once", true), ("first", true), ("second", true), ("third", false)];
        assert_eq!(*told.lock(), expected);
        listen("too late");
        assert_eq!(told.lock().last(), Some(&("too late", false)));
    });
}

#[test]
fn a_callback_may_go_on_with_the_stream_that_called_it() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        let buffer = host_buffer(&device, &[0; 8]);
        stream.host(|| Ok(())).unwrap();
        let (next, target) = (stream.clone(), buffer.clone());
        stream
            .on_complete(move |outcome| {
                outcome.unwrap();
                next.submit(fill(&target, 5)).unwrap();
                next.flush(CommitMode::Now).unwrap();
            })
            .unwrap();
        run_all(&control);
        assert_eq!(contents(&buffer), [5; 8]);
    });
}

#[test]
fn lv_5_the_device_knows_whose_report_calls_users() {
    check_once(|| {
        let (device, control) = manual();
        let stream = device.default_stream();
        let report = Report(Arc::clone(&stream.core().timeline));
        let buffer = host_buffer(&device, &[0; 4]);
        stream.submit(fill(&buffer, 1)).unwrap();
        assert!(!report.calls_users(), "nobody is to be told");
        stream.on_complete(|_| ()).unwrap();
        assert!(report.calls_users());
        run_all(&control);
        assert!(!report.calls_users(), "who was to be told has been told");
    });
}
