//! Streams: numbers, order, completion.

use super::{Property, property};

pub(super) const STREAMS: &[Property] = &[
    property(
        "SO-1 StreamFIFO",
        "If c1 precedes c2 on a stream, every effect of c1 is finished before c2 starts.",
    )
    .asserted_in("rt/stream/outbox/state.rs")
    .checked_by(&[
        "rt/stream/outbox/tests.rs: cb_9_buffers_are_handed_over_in_order_from_within_one_another",
        "rt/stream/tests.rs: so_1_commands_of_a_stream_run_in_order",
        "rt/tests/programs.rs: a_device_that_dawdles_computes_the_same, \
         a_device_that_runs_in_any_order_computes_the_same, the_processor_computes_the_same, \
         threads_that_share_streams_compute_the_same",
    ])
    .within("random programs, compared byte for byte with a sequential interpreter"),
    property(
        "SO-2 SubmitAtomic",
        "Sequence numbers of a stream are unique, gapless, and their order equals native queue \
         order.",
    )
    .asserted_in("rt/timeline.rs")
    .checked_by(&[
        "rt/stream/outbox/tests.rs: model_so_2_threads_keep_their_own_order",
        "rt/stream/state/tests.rs: so_2_numbers_are_gapless_and_committed_once",
        "rt/timeline/tests.rs: so_2_a_report_of_another_value_is_refused",
    ]),
    property(
        "SO-3 CompletedMonotone",
        "`completed(s)` never decreases and never exceeds `issued(s)`.",
    )
    .asserted_in("rt/timeline/state.rs")
    .checked_by(&[
        "rt/timeline/state/tests.rs: er_2_every_value_keeps_its_first_error, \
         so_3_a_value_is_never_reported_twice",
        "rt/timeline/tests.rs: model_so_4_a_query_that_answers_true_has_seen_it_all, \
         so_3_values_are_reached_in_order",
    ]),
    property(
        "SO-4 CompletionTruth",
        "`completed(s) ≥ n` implies all commands ≤ n finished and their host-visible effects are \
         visible to whoever observed it.",
    )
    .asserted_in("rt/timeline.rs")
    .checked_by(&[
        "rt/timeline/tests.rs: model_lk_3_no_wakeup_is_lost_and_earlier_writes_are_seen",
        "rt/timeline/tests.rs: model_so_4_a_query_that_answers_true_has_seen_it_all",
    ]),
    property(
        "SO-5 QuerySound",
        "`query` answers idle only if at some instant inside the call no earlier submitted \
         command was queued or running.",
    )
    .asserted_in("rt/stream/handle.rs")
    .checked_by(&[
        "rt/stream/tests/failures.rs: so_12_a_failed_stream_refuses_until_it_is_reset",
        "rt/stream/tests.rs: so_5_a_running_command_is_not_idle",
    ])
    .without("the moment itself: a query of a stream that others use has no witness"),
    property(
        "SO-6 SyncCovers",
        "`synchronize` returning Ok implies every command submitted before the call is complete, \
         including those still in an open command buffer and those behind a wait.",
    )
    .asserted_in("rt/stream.rs")
    .checked_by(&[
        "rt/stream/tests.rs: so_6_synchronize_covers_what_is_open",
        "rt/stream/tests.rs: so_6_synchronize_ends_with_its_deadline",
    ]),
    property(
        "SO-7 CurrentIsThreadLocal",
        "Setting the current stream in one thread changes no other thread; new threads start at \
         default.",
    )
    .held_by_type_in("app/current.rs")
    .checked_by(&[
        "app/current.rs: compile_fail",
        "app/current/tests.rs: so_7_other_threads_start_at_the_default_stream",
    ]),
    property(
        "SO-8 GuardRestores",
        "After a guard ends, normally or by panic, device and stream are the previous ones.",
    )
    .asserted_in("app/current.rs")
    .checked_by(&[
        "app/current/tests.rs: so_8_guards_nest_over_two_devices",
        "app/current/tests.rs: so_8_unwinding_restores",
    ]),
    property(
        "SO-9 NoHandleABA",
        "A handle of generation g never denotes a stream of another generation, also for external \
         raw handles.",
    )
    .guarded_in("rt/stream/section.rs")
    .checked_by(&[
        "rt/pool/tests.rs: a_failed_stream_is_replaced",
        "rt/stream/tests.rs: so_9_handles_of_an_ended_lease_are_stale",
    ]),
    property(
        "SO-10 DefaultNeverPooled",
        "The default stream is never leased and no pool stream shares its native queue.",
    )
    .asserted_in("rt/pool.rs")
    .checked_by(&["rt/pool/tests.rs: sp_1_leases_are_exclusive_and_streams_are_reused"]),
    property(
        "SO-11 DropIsSilent",
        "Dropping a stream neither waits nor cancels; events recorded on it still complete.",
    )
    .asserted_in("rt/stream.rs")
    .checked_by(&[
        "rt/device/tests.rs: the_last_handle_may_go_while_work_is_pending",
        "rt/stream/tests.rs: so_11_dropping_a_stream_neither_waits_nor_cancels, \
         so_11_what_a_dropped_lease_left_open_is_committed",
    ]),
    property(
        "SO-12 PoisonRefuses",
        "A failed stream accepts no command until reset; commands already committed behind the \
         failure may physically run, but their timeline values are reported failed and their \
         outputs are poisoned.",
    )
    .guarded_in("rt/stream/submit.rs")
    .checked_by(&["rt/stream/tests/failures.rs: so_12_a_failed_stream_refuses_until_it_is_reset"]),
];
