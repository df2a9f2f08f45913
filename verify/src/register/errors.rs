//! Errors: who is told what, and who is not.

use super::{Property, property};

pub(super) const ERRORS: &[Property] = &[
    property(
        "ER-1 DeviceLostSticky",
        "After loss every operation of that generation fails or completes; none succeeds silently.",
    )
    .guarded_in("rt/stream/handle.rs")
    .checked_by(&["rt/stream/tests/failures.rs: er_1_a_lost_device_tells_everybody"]),
    property("ER-2 FirstKept", "The first error of a stream/device is what everyone sees.")
        .asserted_in("rt/timeline/state.rs")
        .checked_by(&[
            "rt/stream/tests/failures.rs: ev_12_waiting_for_what_has_failed_fails_at_once, \
         so_12_a_failed_stream_refuses_until_it_is_reset",
            "rt/stream/tests/section.rs: ev_12_an_earlier_command_that_fails_later_is_told_too",
            "rt/timeline/state/tests.rs: er_2_every_value_keeps_its_first_error, \
             ev_6_what_has_ended_well_does_not_fail_later",
            "rt/timeline/tests.rs: er_2_a_failure_covers_what_comes_behind_it",
        ]),
    property(
        "ER-3 AllTold",
        "Every waiter on a failed value gets the error; reporting to one does not consume it.",
    )
    .asserted_in("rt/timeline.rs")
    .checked_by(&[
        "rt/device/tests.rs: sa_2_a_failure_does_not_end_the_round",
        "rt/stream/tests/failures.rs: so_12_a_failed_stream_refuses_until_it_is_reset",
        "rt/timeline/tests.rs: model_er_3_a_failure_is_never_read_as_a_success, \
         model_er_4_a_failure_wakes_those_who_wait",
    ]),
    property(
        "ER-4 FiniteWaits",
        "After failure all waits on affected values return in bounded steps.",
    )
    .guarded_in("rt/timeline.rs")
    .checked_by(&[
        "rt/timeline/tests.rs: cb_12_er_4_a_failure_advances_and_ends_every_wait",
        "rt/timeline/tests.rs: model_er_4_a_failure_wakes_those_who_wait",
    ])
    .without("that the number of steps is bounded"),
    property(
        "ER-5 Contained",
        "A stream not ordered after a failed one is unaffected, unless the device is lost.",
    )
    .asserted_in("rt/pool.rs")
    .checked_by(&[
        "rt/pool/tests.rs: a_stream_that_fails_after_its_lease_is_replaced_too",
        "rt/stream/tests/failures.rs: er_5_a_failure_stays_where_it_is, \
         ev_12_a_failure_travels_along_waits",
    ]),
    property("ER-6 CallerErrorsInert", "E0 changes no state.")
        .guarded_in("rt/command.rs")
        .checked_by(&[
            "rt/command/tests.rs: er_6_mistakes_are_refused_and_change_nothing",
            "rt/graph/tests.rs: er_6_parameters_are_checked, \
             gr_2_operands_of_another_capture_are_refused",
            "rt/memory/tests/buffers.rs: bu_frozen_buffers_are_read_freely_and_never_written",
            "rt/stream/tests/orders.rs: buffers_of_another_device_are_refused",
        ]),
    property("ER-7 NoUnwindFFI", "No panic crosses a native callback.")
        .guarded_in("rt/timeline.rs")
        .checked_by(&[
            "rt/stream/tests/failures.rs: er_7_a_panic_in_a_host_function_fails_its_stream",
        ]),
    property(
        "ER-8 ReturnCodesUsed",
        "No internal call ignores a failed native status and reports success.",
    )
    .guarded_in("rt/pool.rs")
    .checked_by(&["rt/pool/tests.rs: streams_that_cannot_be_made_leave_no_trace"])
    .without("the answers of `Queue::help`, which is a hint"),
];
