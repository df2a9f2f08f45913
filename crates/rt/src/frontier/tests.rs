//! Clocks, over the streams of a device on which nothing runs by itself.

use anabranch_sync::model::check_once;

use super::Clock;
use crate::Lease;
use crate::stream::StreamRef;
use crate::tests::manual;

fn core(lease: &Lease) -> &StreamRef {
    lease.core()
}

#[test]
fn al_19_a_clock_names_each_stream_once_and_the_finished_ones_never() {
    check_once(|| {
        let (device, control) = manual();
        let streams: Vec<_> = (0..4).map(|_| device.lease_now().unwrap()).collect();
        let mut clock = Clock::default();
        for _ in 0..10 {
            for stream in &streams {
                stream.host(|| Ok(())).unwrap();
                clock.raise(core(stream), core(stream).issued());
            }
        }
        assert_eq!(clock.marks().len(), 4);
        assert_eq!(clock.get(core(&streams[2])), 10);
        clock.raise(core(&streams[2]), 3);
        assert_eq!(clock.get(core(&streams[2])), 10, "marks are only raised");
        for stream in &streams[..3] {
            assert!(!stream.query().unwrap());
            assert!(control.step(stream.id()));
        }
        assert!(!clock.is_complete());
        let fresh = device.lease_now().unwrap();
        fresh.host(|| Ok(())).unwrap();
        clock.raise(core(&fresh), 1);
        assert_eq!(clock.marks().len(), 2, "completed marks make room");
        assert_eq!(clock.get(core(&streams[3])), 10);
    });
}

#[test]
fn al_4_dominance_needs_every_stream() {
    check_once(|| {
        let (device, control) = manual();
        let streams: Vec<_> = (0..3).map(|_| device.lease_now().unwrap()).collect();
        let mut uses = Clock::default();
        for stream in &streams {
            stream.host(|| Ok(())).unwrap();
            let _ = stream.query();
            uses.raise(core(stream), 1);
        }
        let requester = core(&streams[0]);
        let mut known = Clock::default();
        assert!(!uses.is_dominated_by(requester, &known));
        known.raise(core(&streams[1]), 1);
        assert!(!uses.is_dominated_by(requester, &known), "one stream is not all of them");
        assert_eq!(uses.beyond(requester, &known).count(), 1);
        let mut all = known.clone();
        all.raise(core(&streams[2]), 1);
        assert!(uses.is_dominated_by(requester, &all), "its own uses are before it anyway");
        assert!(!uses.is_dominated_by(core(&streams[1]), &all), "but not before another one");
        let pending = "EV-13: submitted is not completed";
        assert!(!uses.marks()[2].is_complete(), "{pending}");
        assert!(control.step(streams[2].id()));
        assert!(uses.is_dominated_by(requester, &known), "what has completed is before everybody");
        assert!(Clock::EMPTY.is_dominated_by(requester, &Clock::EMPTY));
        assert!(Clock::EMPTY.is_complete());
        control.run_until_idle(0);
        assert!(uses.is_complete());
    });
}
