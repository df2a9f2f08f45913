//! The stream pool: leases.

use super::{Property, property};

pub(super) const POOL: &[Property] = &[
    property("SP-1 LeaseExclusive", "No two live exclusive leases denote the same stream.")
        .asserted_in("rt/pool/state.rs")
        .checked_by(&[
            "rt/pool/state/tests.rs: sp_1_lease_exclusive_sp_2_conservation",
            "rt/pool/tests.rs: sp_1_leases_are_exclusive_and_streams_are_reused, \
             sp_1_the_last_of_those_who_share_ends_the_lease",
        ]),
    property("SP-2 Conservation", "free + leased + retiring = created ≤ cap at every step.")
        .asserted_in("rt/pool/state.rs")
        .checked_by(&[
            "rt/pool/state/tests.rs: sp_1_lease_exclusive_sp_2_conservation",
            "rt/pool/tests.rs: a_failed_stream_is_replaced, \
             a_stream_that_fails_after_its_lease_is_replaced_too, \
             model_sp_2_a_waiter_that_gives_up_leaves_nothing_behind, \
             sp_2_a_stream_that_another_thread_keeps_warm_is_free, \
             streams_that_cannot_be_made_leave_no_trace",
        ]),
    property(
        "SP-3 ReturnOnce",
        "Each lease returns exactly one slot exactly once, also when dropped during shutdown or \
         by a dying thread.",
    )
    .asserted_in("rt/pool/state.rs")
    .checked_by(&["rt/pool/state/tests.rs: sp_3_a_stream_comes_back_once"]),
    property(
        "SP-4 CleanHandOver",
        "The new holder's first command is after the previous holder's last (HB13).",
    )
    .asserted_in("rt/stream/section.rs")
    .checked_by(&["rt/pool/tests.rs: sp_4_a_new_holder_comes_after_the_old_one"]),
    property(
        "SP-5 SharingDeclared",
        "A stream reachable from two handles was obtained by the shared call on both.",
    )
    .asserted_in("rt/pool/state.rs")
    .checked_by(&["rt/pool/tests.rs: sp_5_sharing_is_declared_and_never_meets_a_lease"]),
    property(
        "SP-6 PublishComplete",
        "No thread sees a slot before its native queue, timeline and section exist.",
    )
    .asserted_in("rt/pool.rs")
    .checked_by(&["rt/pool/tests.rs: model_sp_6_lk_4_nobody_sees_a_stream_that_is_not_built"]),
    property(
        "SP-7 CreateOnce",
        "Each slot's native object is created at most once per generation.",
    )
    .asserted_in("rt/pool/state.rs")
    .checked_by(&[
        "rt/pool/state/tests.rs: sp_7_a_slot_is_built_once",
        "rt/pool/tests.rs: sp_1_leases_are_exclusive_and_streams_are_reused",
    ]),
    property("SP-8 SelectionNotReset", "Lazy creation never rewinds the selection state.")
        .asserted_in("rt/pool/state.rs")
        .checked_by(&["rt/pool/state/tests.rs: sp_8_building_a_slot_forgets_no_free_one"]),
    property("SP-9 NotCapturing", "A stream in capture is never handed to anyone else.")
        .asserted_in("rt/pool.rs")
        .checked_by(&[
            "rt/pool/tests.rs: sp_1_the_last_of_those_who_share_ends_the_lease",
            "rt/pool/tests.rs: sp_9_a_capture_ends_with_its_lease",
        ]),
    property(
        "SP-L1 LeaseProgress",
        "If leases keep being returned, every waiter with a sufficient deadline gets one, in FIFO \
         order.",
    )
    .guarded_in("rt/pool/state.rs")
    .checked_by(&[
        "rt/pool/state/tests.rs: sp_l1_who_comes_later_does_not_overtake",
        "rt/pool/tests.rs: model_sp_l1_waiters_are_served",
    ])
    .without("the order of waiters on a lock of the engine"),
];
