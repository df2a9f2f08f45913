//! Command buffers: open, committed, handed over.

use super::{Property, property};

pub(super) const COMMANDS: &[Property] = &[
    property(
        "CB-1 OneOpen",
        "A stream has at most one open command buffer and it at most one open encoder.",
    )
    .asserted_in("rt/stream/section.rs")
    .checked_by(&["rt/stream/tests/section.rs: \
         cb_1_cb_3_a_commit_takes_all_and_what_follows_is_in_the_next_buffer"]),
    property("CB-2 CommitOnce", "No buffer is committed twice.")
        .asserted_in("rt/stream/outbox.rs")
        .checked_by(&[
            "rt/stream/outbox/tests.rs: model_cb_2_two_threads_commit_one_stream",
            "rt/stream/state/tests.rs: cb_2_a_second_commit_finds_nothing",
        ]),
    property(
        "CB-3 NoEncodeAfterCommit",
        "No command is encoded into a buffer that is not Recording.",
    )
    .asserted_in("rt/stream/submit.rs")
    .checked_by(&["rt/stream/tests/section.rs: \
         cb_1_cb_3_a_commit_takes_all_and_what_follows_is_in_the_next_buffer"]),
    property(
        "CB-5 SectionOnly",
        "Buffer and encoder are read or written only inside the stream's exclusive section, also \
         by synchronise-all, profiler, and commit hooks.",
    )
    .asserted_in("rt/stream/submit.rs")
    .checked_by(&["rt/stream/outbox/tests.rs: model_so_2_threads_keep_their_own_order"]),
    property(
        "CB-6 HandlerBeforeCommit",
        "Completion handlers are attached before commit; each runs exactly once.",
    )
    .asserted_in("rt/timeline.rs")
    .checked_by(&["rt/timeline/tests.rs: cb_6_a_report_of_what_nobody_kept_is_refused"]),
    property(
        "CB-7 ResourcesHeld",
        "Every resource a committed buffer names lives until it completed or failed.",
    )
    .asserted_in("rt/timeline.rs")
    .checked_by(&[
        "rt/memory/tests/buffers.rs: bu_1_a_command_in_flight_keeps_what_it_names",
        "rt/timeline/tests.rs: cb_7_a_buffer_is_settled_before_its_value_is_reached",
    ]),
    property(
        "CB-8 InFlightBounded",
        "In-flight buffers per native queue stay below the native limit minus one.",
    )
    .asserted_in("rt/stream/section.rs")
    .checked_by(&[
        "rt/device/tests.rs: limits_are_brought_into_range",
        "rt/stream/outbox/tests.rs: cb_8_a_full_buffer_holds_its_submitter_up, \
         model_cb_8_room_is_found_while_the_device_reports",
        "rt/stream/tests/commits.rs: cb_8_a_callback_is_refused_where_others_wait_for_room, \
         cb_8_the_in_flight_limit_holds_and_is_made_up_for",
        "rt/timeline/tests.rs: model_cb_8_room_is_told",
    ]),
    property(
        "CB-9 CommitOrder",
        "Buffers of one stream are committed in order of their sequence numbers.",
    )
    .asserted_in("rt/stream/state.rs")
    .checked_by(&[
        "rt/stream/outbox/tests.rs: cb_9_buffers_are_handed_over_in_order_from_within_one_another",
    ]),
    property(
        "CB-10 CommitBeforeWait",
        "No thread waits for a timeline value that sits in a never-committed buffer; the waiter \
         commits it first.",
    )
    .asserted_in("rt/stream.rs")
    .checked_by(&[
        "rt/event/tests.rs: ev_1_a_snapshot_has_everything_before_and_nothing_after",
        "rt/stream/tests/commits.rs: cb_11_the_producer_is_committed_before_its_consumer",
        "rt/stream/tests.rs: so_6_synchronize_ends_with_its_deadline",
    ]),
    property(
        "CB-11 NoUncommittedDependency",
        "A committed buffer never waits for a signal contained in an uncommitted buffer.",
    )
    .asserted_in("rt/stream/outbox.rs")
    .checked_by(&[
        "rt/stream/outbox/tests.rs: \
         model_cb_11_streams_that_wait_for_each_other_leave_nothing_behind",
        "rt/stream/tests/commits.rs: cb_11_the_producer_is_committed_before_its_consumer",
        "rt/stream/tests/orders.rs: ev_10_lk_2_a_wait_reaches_over_devices",
    ]),
    property(
        "CB-12 FailureSignals",
        "A buffer that ends in error still leads to a (failed) timeline advance by the host.",
    )
    .asserted_in("rt/timeline.rs")
    .checked_by(&["rt/timeline/tests.rs: cb_12_er_4_a_failure_advances_and_ends_every_wait"]),
];
