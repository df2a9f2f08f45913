//! Memory that has run out: what is tried, what is told, and what is left.

use super::*;

#[test]
fn al_11_memory_pressure_is_relieved_before_it_is_reported() {
    check_once(|| {
        // On the null device the wait for pending blocks comes to an end by itself.
        let device = null_with(roomy(2));
        let (a, b) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        let (first, second) =
            (device.allocate(BLOCK, &a).unwrap(), device.allocate(BLOCK, &a).unwrap());
        a.submit(Command::copy(first.view(), second.view())).unwrap();
        assert_eq!(kind(device.allocate(BLOCK, &b)), ErrorKind::OutOfMemory);
        assert_sums(&device.memory_stats());
        drop(first);
        // Pending on another stream, in an open command buffer: committed and waited for.
        let third = device.allocate(BLOCK, &b).unwrap();
        drop((second, third));
        // Cached in another class: released first.
        let small: Vec<_> = (0..4).map(|_| device.allocate_host(BLOCK / 2).unwrap()).collect();
        assert_eq!(kind(device.allocate(1, &b)), ErrorKind::OutOfMemory);
        drop(small);
        let whole = device.allocate(2 * BLOCK, &b).unwrap();
        assert_eq!(whole.bytes(), 2 * BLOCK);
        assert_sums(&device.memory_stats());
    });
}

#[test]
fn al_12_an_error_changes_nothing() {
    check_once(|| {
        let device = null_with(roomy(1));
        let stream = device.default_stream();
        for bytes in [BLOCK + 1, 1 << 40, usize::MAX] {
            assert_eq!(kind(device.allocate(bytes, &stream)), ErrorKind::OutOfMemory);
        }
        let stats = device.memory_stats();
        assert_eq!((stats.reserved_bytes, stats.reserved_peak_bytes), (0, 0));
        let buffer = device.allocate(BLOCK, &stream).unwrap();
        let error = device.allocate(1, &stream).unwrap_err().to_string();
        assert!(error.contains(&BLOCK.to_string()), "it says how much is used: {error}");
        drop(buffer);
        device.allocate(1, &stream).expect("a smaller request succeeds");
    });
}

#[test]
fn al_12_a_native_refusal_is_survived() {
    check_once(|| {
        let (native, control) = sim::open(&Config::manual());
        let device = Device::open(native, Limits::default()).unwrap();
        let stream = device.default_stream();
        control.refuse_allocations(1);
        device.allocate(BLOCK, &stream).expect("a smaller segment is tried");
        control.set_budget(Some(0));
        device.trim().unwrap();
        assert_eq!(kind(device.allocate(BLOCK, &stream)), ErrorKind::OutOfMemory);
        assert_eq!(device.memory_stats().reserved_bytes, 0);
        control.set_budget(None);
        device.allocate(BLOCK, &stream).unwrap();
        assert_sums(&device.memory_stats());
        // Refusals leave no claim behind: after many of them there is as much room as before.
        device.trim().unwrap();
        control.set_budget(Some(0));
        for _ in 0..4 {
            assert_eq!(kind(device.allocate(300 << 20, &stream)), ErrorKind::OutOfMemory);
        }
        control.set_budget(None);
        device.allocate(1 << 30, &stream).expect("AL-12: the whole device is free");
    });
}

#[test]
fn al_11_a_deadline_bounds_the_wait_for_memory() {
    check_once(|| {
        let (device, control) = manual_with(roomy(1));
        let (a, b) = (device.lease_now().unwrap(), device.lease_now().unwrap());
        let buffer = device.allocate(BLOCK, &a).unwrap();
        a.submit(Command::fill(buffer.view(), 1)).unwrap();
        drop(buffer);
        assert_eq!(kind(device.allocate(BLOCK, &b.until(&NOW))), ErrorKind::OutOfMemory);
        assert_eq!(control.pending(), 1, "LV-4: what stands against it was committed");
        let scope = process::CallbackScope::enter();
        assert_eq!(kind(device.allocate(BLOCK, &b)), ErrorKind::OutOfMemory, "no wait here");
        drop(scope);
        control.run_until_idle(0);
        device.allocate(BLOCK, &b.until(&NOW)).unwrap();
    });
}

#[test]
fn model_al_14_the_limit_is_hard_and_room_is_found() {
    let threads = model::bound(2, 3, 3);
    model::check(move || {
        let device = null_with(roomy(threads));
        let takers: Vec<_> = (0..threads)
            .map(|_| {
                let device = device.clone();
                thread::spawn(move || device.allocate_host(BLOCK))
            })
            .collect();
        let taken: Vec<_> = takers.into_iter().map(|taker| taker.join().unwrap()).collect();
        assert!(taken.iter().all(Result::is_ok), "AL-11: there was room for everybody");
        let stats = device.memory_stats();
        assert_sums(&stats);
        assert_eq!(stats.live_count, threads);
    });
}

#[test]
fn al_15_memory_is_looked_at_from_wherever_it_is_made_or_given_up() {
    check_once(|| {
        let device = null_with(roomy(1));
        let kept = Arc::new(anabranch_sync::Mutex::new(device.allocate_host(BLOCK).ok()));
        let asked = Arc::new(anabranch_sync::Mutex::new(Some(device.clone())));
        let (inner, given_up) = (Arc::clone(&asked), Arc::clone(&kept));
        device.on_memory_pressure(move || {
            // Taken out, so that the device does not keep itself.
            let device = inner.lock().take().expect("it is asked once");
            assert_eq!(device.memory_stats().live_count, 1, "AL-15: every lock is free");
            drop(given_up.lock().take());
        });
        device.allocate_host(BLOCK).expect("AL-15: what the callback gave up");
        assert!(kept.lock().is_none() && asked.lock().is_none());
    });
}

#[test]
fn al_11_small_blocks_of_another_arena_are_taken_where_there_is_no_room_for_more() {
    check_once(|| {
        let limits = Limits { memory_bytes_max: Some(64 << 10), ..Limits::default() };
        let device = null_with(limits);
        let [a, b] = apart(&device);
        let kept = device.allocate(4096, &a).unwrap();
        assert_eq!(device.memory_stats().reserved_bytes, 64 << 10, "all there is");
        let mut taken = Vec::new();
        while let Ok(buffer) = device.allocate(4096, &b) {
            taken.push(buffer);
        }
        assert_eq!(taken.len(), 15, "AL-11: every block but the one of the other stream");
        let mut places: Vec<_> = taken.iter().chain([&kept]).map(Buffer::address).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 16, "AL-1");
    });
}
