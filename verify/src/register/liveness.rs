//! What comes to an end.

use super::{Property, property};

pub(super) const LIVENESS: &[Property] = &[
    property("LV-1 Completion", "Every accepted command eventually completes or fails.")
        .asserted_in("rt/stream.rs")
        .checked_by(&[
            "rt/stream/outbox/tests.rs: \
             model_cb_11_streams_that_wait_for_each_other_leave_nothing_behind, \
             model_cb_2_two_threads_commit_one_stream, \
             model_lv_1_what_the_limit_held_back_is_committed_by_the_report",
            "rt/stream/tests/commits.rs: cb_8_the_in_flight_limit_holds_and_is_made_up_for",
            "rt/tests/programs.rs: a_device_that_dawdles_computes_the_same, \
             a_device_that_runs_in_any_order_computes_the_same, the_processor_computes_the_same",
        ]),
    property(
        "LV-2 NoSelfDeadlock",
        "No sequence of record/wait/submit calls can, by itself, build a cycle of waits.",
    )
    .asserted_in("rt/stream/submit.rs")
    .checked_by(&[
        "rt/stream/outbox/tests.rs: \
         model_cb_11_streams_that_wait_for_each_other_leave_nothing_behind, \
         model_lv_2_opposite_operands_do_not_deadlock",
        "rt/stream/tests/orders.rs: lv_2_streams_that_cross_do_not_block_each_other",
    ])
    .without("circles that pass through the caller's own locks"),
    property("LV-3 SyncReturns", "Every synchronise returns.")
        .guarded_in("rt/timeline.rs")
        .checked_by(&[
            "rt/stream/tests/patience.rs: \
             lv_3_no_call_outlasts_its_deadline_and_nothing_was_submitted, \
             model_a_deadline_fires_while_room_is_made",
            "rt/tests/programs.rs: a_device_that_dawdles_computes_the_same, \
             a_device_that_runs_in_any_order_computes_the_same, the_processor_computes_the_same, \
             threads_that_share_streams_compute_the_same",
        ]),
    property(
        "LV-4 BackpressureSafe",
        "A thread blocked at a limit has committed, or caused to be committed, everything any \
         other thread may need for progress.",
    )
    .guarded_in("rt/memory.rs")
    .checked_by(&["rt/memory/tests/pressure.rs: al_11_a_deadline_bounds_the_wait_for_memory"]),
    property(
        "LV-5 CallbackProgress",
        "Every registered callback eventually runs even if one of them is slow; a blocked one \
         delays only its lane.",
    )
    .asserted_in("rt/timeline.rs")
    .checked_by(&["rt/timeline/tests.rs: ep_5_callbacks_run_once_and_in_order"])
    .without("callbacks that never return"),
    property(
        "LV-8 ReclaimProgress",
        "With bounded live memory, reserved memory stays bounded for ever under any repeating \
         workload.",
    )
    .guarded_in("rt/device.rs")
    .checked_by(&["rt/memory/tests.rs: lv_8_a_repeating_workload_stays_bounded"])
    .without("workloads that do not repeat"),
];
