//! Locks and publication.

use super::{Property, property};

pub(super) const LOCKS: &[Property] = &[
    property(
        "LK-1 Ranked",
        "Locks are acquired in rank order on every path, including callbacks and destructors.",
    )
    .asserted_in("sync/held.rs")
    .checked_by(&["sync/held/tests.rs: lk_1_locks_are_acquired_upwards"])
    .within("debug builds on real threads; the locks of the kernel, not those of devices"),
    property(
        "LK-2 NoneAcrossWait",
        "No lock is held at a device wait, native blocking call, compile, or user code.",
    )
    .asserted_in("rt/stream/outbox.rs")
    .checked_by(&[
        "sync/held/tests.rs: lk_2_a_sleeper_holds_the_lock_that_it_sleeps_on_and_no_other",
        "rt/stream/tests/orders.rs: ev_10_lk_2_a_wait_reaches_over_devices",
        "rt/stream/tests/failures.rs: er_5_lk_2_a_stream_that_was_reset_passes_no_old_failure_on",
    ])
    .within("debug builds on real threads; the locks of the kernel, not those of devices"),
    property(
        "LK-3 NoLostWakeup",
        "State tested by a sleeper is changed under the lock it sleeps on (or by an equivalent \
         protocol).",
    )
    .guarded_in("rt/timeline.rs")
    .checked_by(&[
        "rt/timeline/tests.rs: model_lk_3_no_wakeup_is_lost_and_earlier_writes_are_seen",
    ]),
    property(
        "LK-4 PublishAfterBuild",
        "A flag or pointer that announces an object is set after the object is complete, with \
         release order.",
    )
    .asserted_in("rt/pool.rs")
    .checked_by(&["rt/pool/tests.rs: model_sp_6_lk_4_nobody_sees_a_stream_that_is_not_built"]),
    property(
        "LK-5 OneInitProtocol",
        "Each lazily built object uses one protocol; never once-init on one path and a lock on \
         another.",
    )
    .asserted_in("rt/pool.rs")
    .checked_by(&["rt/pool/tests.rs: a_stream_that_fails_after_its_lease_is_replaced_too"]),
    property(
        "LK-6 NoReentry",
        "Entering a stream's section while holding it is impossible (type or run-time check).",
    )
    .asserted_in("rt/stream.rs")
    .checked_by(&[
        "rt/stream/tests/section.rs: lk_6_lk_8_a_thread_is_in_one_section_once",
        "sync/held/tests.rs: lk_6_a_lock_is_not_entered_twice",
    ])
    .within("debug builds on real threads; the locks of the kernel, not those of devices"),
    property(
        "LK-7 ShardIndependent",
        "Operations on different streams/shards never wait for each other on the fast path.",
    )
    .held_by_type_in("rt/memory.rs")
    .checked_by(&["rt/memory/tests.rs: lk_7_sizes_do_not_share_a_lock, \
         lk_7_streams_do_not_share_small_blocks"])
    .without("that nothing else is shared on the way; no time is measured"),
    property(
        "LK-8 OneSection",
        "No thread holds the exclusive sections of two streams at once; a cross-stream wait first \
         enters and leaves the producer's section (to commit up to the awaited value), then \
         enters the consumer's.",
    )
    .asserted_in("rt/stream.rs")
    .checked_by(&["rt/stream/tests/section.rs: lk_6_lk_8_a_thread_is_in_one_section_once"])
    .within("debug builds on real threads; the locks of the kernel, not those of devices"),
];
