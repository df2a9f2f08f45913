//! Forked children.

use super::{Property, property};

pub(super) const FORK: &[Property] = &[
    property(
        "FK-1 ChildInert",
        "In a child of an initialised parent every call returns ForkedChild and no native handle \
         is touched, also at child exit.",
    )
    .guarded_in("rt/gate.rs")
    .checked_by(&[
        "rt/tests/fork.rs: fk_1_a_child_can_do_nothing_fk_2_the_parent_notices_nothing",
        "rt/tests/fork.rs: fk_1_a_child_may_drop_in_any_order",
    ])
    .within("Linux, with the devices null, cpu and sim"),
    property("FK-2 ParentIntact", "Fork changes nothing in the parent, whatever the child does.")
        .guarded_in("sync/process.rs")
        .checked_by(&[
            "app/current/tests.rs: fk_6_the_current_stream_of_a_parent_is_inert_in_its_child",
            "rt/tests/fork.rs: fk_1_a_child_can_do_nothing_fk_2_the_parent_notices_nothing, \
             fk_3_a_child_never_waits_for_a_lock_that_it_inherited, \
             fk_4_a_child_does_not_join_the_threads_of_its_parent",
        ])
        .within("Linux, with the devices null, cpu and sim"),
    property(
        "FK-3 NoInheritedLock",
        "The child never acquires a lock that another parent thread held.",
    )
    .asserted_in("rt/stream.rs")
    .checked_by(&["rt/tests/fork.rs: fk_3_a_child_never_waits_for_a_lock_that_it_inherited"])
    .within("Linux, with the devices null, cpu and sim; 400 forks of a busy process each")
    .without("locks of devices other than null, cpu and sim"),
    property("FK-4 NoJoin", "The child never joins or signals parent threads.")
        .guarded_in("hal/engine.rs")
        .checked_by(&["rt/tests/fork.rs: fk_4_a_child_does_not_join_the_threads_of_its_parent"])
        .within("Linux, with the devices null, cpu and sim"),
    property("FK-5 EarlyForkFree", "Fork before initialisation leaves both sides fully usable.")
        .guarded_in("sync/process.rs")
        .checked_by(&[
            "rt/tests/fork.rs: fk_5_a_child_may_open_a_device_of_its_own",
            "rt/tests/fork.rs: fk_5_a_fork_before_the_first_use_is_free",
        ])
        .within("Linux, with the devices null, cpu and sim"),
    property(
        "FK-6 TlsFresh",
        "Thread-local leases and current streams of the forking thread are invalid in the child.",
    )
    .guarded_in("rt/gate.rs")
    .checked_by(&[
        "app/current/tests.rs: fk_6_the_current_stream_of_a_parent_is_inert_in_its_child",
    ])
    .within("Linux"),
    property("FK-7 PrepareBounded", "The fork hook itself performs no device wait.")
        .guarded_in("sync/process.rs")
        .checked_by(&["rt/tests/fork.rs: fk_7_a_fork_waits_for_no_work"])
        .within("Linux"),
];
