//! Events, snapshots, and the slots of timed ones.

use super::{Property, property};

pub(super) const EVENTS: &[Property] = &[
    property(
        "EV-1 CapturesAllBefore",
        "Completion of a snapshot implies completion of all work submitted to its stream before \
         the record, and of all that this work waited for.",
    )
    .asserted_in("rt/event.rs")
    .checked_by(&["rt/event/tests.rs: ev_1_a_snapshot_has_everything_before_and_nothing_after"]),
    property(
        "EV-2 WaitBindsAtCall",
        "A wait orders after the most recent record at the time of the wait call; later records \
         change nothing.",
    )
    .asserted_in("rt/stream/submit.rs")
    .checked_by(&["rt/event/tests.rs: ev_2_a_wait_binds_when_it_is_called"]),
    property(
        "EV-3 NoPrematureComplete",
        "query true or synchronize Ok implies the most recent record before the call is complete.",
    )
    .asserted_in("rt/event.rs")
    .checked_by(&["rt/event/tests.rs: ev_3_query_tells_about_the_latest_record"]),
    property("EV-4 OldSnapshotsLive", "Re-recording never changes the truth of earlier snapshots.")
        .held_by_type_in("rt/event.rs")
        .checked_by(&[
            "rt/event.rs: compile_fail",
            "rt/event/tests.rs: ev_4_old_snapshots_stay_as_they_are",
        ])
        .without("nothing but the compiler"),
    property("EV-5 UnrecordedComplete", "`⊥` is complete, waits on it are no-ops.")
        .held_by_type_in("rt/event.rs")
        .checked_by(&["rt/event/tests.rs: ev_5_the_empty_snapshot_is_complete"]),
    property(
        "EV-6 NeverUnsignal",
        "A snapshot once seen complete is complete for everyone afterwards.",
    )
    .guarded_in("rt/timeline/state.rs")
    .checked_by(&[
        "rt/event/tests.rs: ev_4_old_snapshots_stay_as_they_are",
        "rt/timeline/state/tests.rs: ev_6_what_has_ended_well_does_not_fail_later",
        "rt/tests/programs.rs: a_device_that_dawdles_computes_the_same, \
         a_device_that_runs_in_any_order_computes_the_same, the_processor_computes_the_same",
    ]),
    property(
        "EV-7 SelfWaitNoop",
        "Waiting on the own stream's snapshot adds nothing and cannot block.",
    )
    .asserted_in("rt/stream/submit.rs")
    .checked_by(&["rt/event/tests.rs: ev_7_waiting_for_oneself_is_nothing"]),
    property(
        "EV-8 OutlivesStream",
        "A snapshot stays queryable after its stream handle, lease or pool is gone.",
    )
    .held_by_type_in("rt/lib.rs")
    .checked_by(&[
        "rt/event/tests.rs: ev_8_a_snapshot_outlives_its_stream_and_the_runtime",
        "rt/stream/tests.rs: so_9_handles_of_an_ended_lease_are_stale",
    ]),
    property(
        "EV-9 DropPendingSafe",
        "Dropping a handle or snapshot while device signals or waits are pending causes neither \
         reuse of the slot nor a blocked caller.",
    )
    .asserted_in("rt/event/pool.rs")
    .checked_by(&["rt/event/tests.rs: ep_1_slots_come_back_when_nobody_needs_them"])
    .within("one timed snapshot dropped while the device has it"),
    property(
        "EV-10 CrossDevice",
        "Waits between devices give HB5; recording on a stream of another device than the native \
         slot is impossible.",
    )
    .asserted_in("rt/stream/outbox.rs")
    .checked_by(&[
        "rt/stream/tests/orders.rs: ev_10_a_failure_reaches_over_devices",
        "rt/stream/tests/orders.rs: ev_10_lk_2_a_wait_reaches_over_devices",
        "rt/stream/tests/orders.rs: ev_10_streams_of_two_devices_with_one_number_are_two",
    ])
    .within("two devices of the kind sim"),
    property(
        "EV-11 TimingTyped",
        "elapsed answers only for two complete timing records of one device, never waits, \
         non-negative for ordered records.",
    )
    .guarded_in("rt/event.rs")
    .checked_by(&[
        "rt/event/tests.rs: ev_11_time_is_told_only_by_those_who_know_it",
        "rt/event/tests.rs: ev_11_time_of_a_failed_event_is_its_error",
    ]),
    property(
        "EV-12 FailPropagates",
        "If a snapshot fails, every later query/wait/synchronize on it fails with the same first \
         error, and every stream that waited on it fails.",
    )
    .asserted_in("rt/timeline.rs")
    .checked_by(&[
        "rt/event/tests.rs: ev_12_every_query_of_a_failed_snapshot_tells_the_same",
        "rt/stream/outbox/tests.rs: model_ev_12_a_failure_is_told_whenever_it_comes, \
         model_ev_12_a_queue_is_there_while_it_is_named",
        "rt/stream/tests/failures.rs: ev_12_a_failure_travels_along_buffers, \
         ev_12_a_failure_travels_along_waits, \
         ev_12_waiting_for_what_has_failed_fails_at_once, \
         so_12_a_failed_stream_refuses_until_it_is_reset",
        "rt/stream/tests/patience.rs: ev_12_without_room_a_failure_is_not_half_told",
        "rt/stream/tests/section.rs: ev_12_an_earlier_command_that_fails_later_is_told_too",
    ]),
    property(
        "EV-13 SkipNeedsEvidence",
        "A wait may be elided only if completion was observed with acquire ordering by the \
         eliding thread or is implied by the stream's clock.",
    )
    .asserted_in("rt/stream/handle.rs")
    .checked_by(&["rt/frontier/tests.rs: al_4_dominance_needs_every_stream"]),
    property(
        "EV-14 HandleRaceFree",
        "Two threads can never record on one handle concurrently (type system), and a recorder \
         never races a waiter's snapshot read.",
    )
    .held_by_type_in("rt/event.rs")
    .checked_by(&["rt/event.rs: compile_fail"])
    .without("nothing but the compiler"),
    property("EP-1 Partition", "Each slot is in exactly one of free / in use / draining.")
        .asserted_in("rt/event/pool.rs")
        .checked_by(&["rt/event/tests.rs: ep_1_slots_come_back_when_nobody_needs_them"]),
    property(
        "EP-2 NoReusePending",
        "A slot is handed out only if no device signal, device wait, host waiter, callback or \
         snapshot refers to its previous life.",
    )
    .asserted_in("rt/event/pool.rs")
    .checked_by(&["rt/event/tests.rs: ep_1_slots_come_back_when_nobody_needs_them"]),
    property(
        "EP-3 FreshGeneration",
        "Each acquisition has a generation never used before for that slot; 64-bit.",
    )
    .asserted_in("rt/event/pool.rs")
    .checked_by(&["rt/event/tests.rs: ep_3_a_reused_slot_has_no_time_of_its_former_life"]),
    property(
        "EP-4 PoolOutlivesSlots",
        "Returning a slot is safe after the pool handle, the device handle or `shutdown` is gone.",
    )
    .held_by_type_in("rt/event/pool.rs")
    .checked_by(&["rt/event/tests.rs: ep_4_slots_come_back_after_everything_else_is_gone"]),
    property(
        "EP-5 CallbackOnce",
        "Each registered callback runs exactly once, sees final status, even if its event handle \
         is dropped.",
    )
    .asserted_in("rt/timeline.rs")
    .checked_by(&[
        "rt/stream/tests/callbacks.rs: ep_5_completion_callbacks_are_told_once",
        "rt/timeline/tests.rs: ep_5_callbacks_run_once_and_in_order, \
         model_ep_5_a_callback_runs_once_against_the_finish",
    ])
    .without("callbacks that never return"),
    property("EP-6 DeviceMatch", "A slot is used only with streams of its device.")
        .asserted_in("rt/stream/handle.rs")
        .checked_by(&["rt/event/tests.rs: ep_6_each_device_has_slots_of_its_own"]),
    property("EP-7 Bounded", "Slots created ≤ peak simultaneously needed + a constant.")
        .asserted_in("rt/event/pool.rs")
        .checked_by(&["rt/event/tests.rs: ep_1_slots_come_back_when_nobody_needs_them"]),
];
