//! The end of a device, and of the process.

use super::{Property, property};

pub(super) const SHUTDOWN: &[Property] = &[
    property("SH-1 Linearizable", "Each call is wholly before or wholly after the shutdown point.")
        .asserted_in("rt/stream/section.rs")
        .checked_by(&[
            "rt/device/tests.rs: model_sh_1_a_submission_is_before_or_after_the_shutdown",
            "rt/pool/tests.rs: model_sh_1_waiters_are_let_go_at_the_shutdown, \
             sh_1_the_pool_refuses_after_the_shutdown",
            "rt/stream/state/tests.rs: sh_1_a_closed_stream_still_commits_what_it_has",
        ]),
    property(
        "SH-2 DrainsFirst",
        "Natives are destroyed only after their work and callbacks finished.",
    )
    .asserted_in("rt/device/shutdown.rs")
    .checked_by(&[
        "rt/device/tests.rs: sh_5_every_handle_is_inert_after_the_shutdown",
        "rt/device/tests.rs: the_processor_shuts_down_after_its_work",
    ]),
    property(
        "SH-3 Idempotent",
        "Any number of concurrent shutdowns behave as one; all return after completion.",
    )
    .asserted_in("rt/gate.rs")
    .checked_by(&[
        "rt/device/tests.rs: model_sh_3_all_shutdowns_end_together",
        "rt/device/tests.rs: sh_5_every_handle_is_inert_after_the_shutdown",
        "rt/device/tests.rs: sh_l1_a_shutdown_ends_with_its_deadline",
    ]),
    property(
        "SH-4 NoLateCallback",
        "After shutdown returned Ok, no runtime callback or thread runs.",
    )
    .guarded_in("rt/device/shutdown.rs")
    .checked_by(&[
        "rt/device/tests.rs: model_sh_1_a_submission_is_before_or_after_the_shutdown, \
         sh_4_callbacks_are_over_when_the_shutdown_is",
        "rt/timeline/tests.rs: sh_4_running_callbacks_are_waited_for",
    ])
    .without(
        "a callback whose registration overlaps the shutdown runs on the registering thread, \
              and may end after the shutdown has returned",
    ),
    property(
        "SH-5 LateHandlesInert",
        "Every operation on a handle after shutdown returns E3 or, for drop, does nothing native.",
    )
    .guarded_in("rt/gate.rs")
    .checked_by(&["rt/device/tests.rs: sh_5_every_handle_is_inert_after_the_shutdown"]),
    property("SH-6 ExitSilent", "No native call happens from static or thread-local destructors.")
        .guarded_in("app/current.rs")
        .checked_by(&[
            "app/current/tests.rs: sh_6_a_forgotten_guard_ends_nothing_when_its_thread_ends",
            "rt/tests/fork.rs: sh_6_a_child_may_end_through_its_exit_handlers",
        ])
        .within("Linux")
        .without("destructors of other libraries"),
    property(
        "SH-7 SelfCallRefused",
        "shutdown/stop/sync from a callback or worker is refused, not dead-locked.",
    )
    .guarded_in("rt/device.rs")
    .checked_by(&[
        "rt/device/tests.rs: sh_7_waiting_in_a_callback_is_refused",
        "rt/stream/tests/callbacks.rs: callbacks_may_submit_but_must_not_wait",
    ]),
    property(
        "SH-L1 Terminates",
        "shutdown returns by its deadline; stop returns if commands finish.",
    )
    .guarded_in("rt/device/shutdown.rs")
    .checked_by(&["rt/device/tests.rs: sh_l1_a_shutdown_ends_with_its_deadline"])
    .without("that the deadline is kept on time: no test reads a clock"),
];
