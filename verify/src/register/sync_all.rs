//! Waiting for everything.

use super::{Property, property};

pub(super) const SYNC_ALL: &[Property] = &[
    property(
        "SA-1 Covers",
        "On Ok, everything submitted before the call on any stream is complete.",
    )
    .asserted_in("rt/device.rs")
    .checked_by(&[
        "rt/device/tests.rs: model_sa_1_synchronise_all_against_a_submitter, \
         sa_1_every_thread_sees_every_stream, \
         sa_1_everything_everywhere_is_waited_for",
        "rt/graph/tests.rs: a_capture_does_not_hold_up_synchronise_all",
    ]),
    property("SA-2 VisitsAll", "A failure on one stream does not stop the wait for the others.")
        .asserted_in("rt/device.rs")
        .checked_by(&["rt/device/tests.rs: sa_2_a_failure_does_not_end_the_round"]),
    property("SA-3 NoLock", "No registry, pool or section lock is held while waiting.")
        .asserted_in("rt/device.rs")
        .checked_by(&[
            "rt/stream/tests/section.rs: sa_3_synchronise_all_holds_no_lock_while_it_waits",
        ])
        .within("debug builds on real threads; the locks of the kernel, not those of devices"),
    property(
        "SA-4 StableSet",
        "Streams dropped or created concurrently neither crash it nor delay it beyond the \
         snapshot.",
    )
    .asserted_in("rt/device.rs")
    .checked_by(&[
        "rt/device/tests.rs: sa_4_only_what_was_there_is_waited_for",
        "rt/stream/tests/section.rs: sa_4_what_comes_while_it_waits_is_not_waited_for",
    ]),
    property(
        "SA-5 Idle-cheap",
        "A stream with `completed = issued` and no open buffer costs no native call.",
    )
    .asserted_in("rt/stream/section.rs")
    .checked_by(&[
        "rt/device/tests.rs: sa_4_only_what_was_there_is_waited_for",
        "rt/stream/tests/commits.rs: cb_flush_modes",
    ])
    .within("counted in submissions; what a device is asked besides is not counted"),
];
