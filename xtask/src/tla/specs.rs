//! The specifications, how many states each has, and what breaks without which rule.

/// One specification in one configuration.
pub(super) struct Spec {
    /// The name of the module.
    pub(super) module: &'static str,
    /// The name of the configuration, and of this run.
    pub(super) config: &'static str,
    /// The instance of another specification whose steps these are, under a mapping.
    pub(super) refines: Option<&'static str>,
    pub(super) states: usize,
    /// What the checker says without a rule.
    pub(super) broken: &'static [(&'static str, &'static str)],
}

const DEADLOCK: &str = "Deadlock detected!";
const NOT_A_LOCK: &str =
    "Refinement violated: a transition is neither a Lock!Next step nor a stutter";

pub(super) const SPECS: &[Spec] = &[
    Spec {
        module: "Lease",
        config: "Lease",
        refines: None,
        states: 35,
        broken: &[("the last comes first", "Liveness property violated: Served")],
    },
    // As many states as `spec_waiters_are_served_as_in_tla` in crates/rt/src/pool/state/spec.rs.
    Spec {
        module: "Pool",
        config: "Pool",
        refines: None,
        states: 8_756,
        broken: &[
            ("what is free is not marked", "Invariant 1 (Conserved) violated!"),
            ("freed, not handed over", "Invariant 3 (NoIdling) violated!"),
            ("the last comes first", "Invariant 4 (InOrder) violated!"),
        ],
    },
    Spec {
        module: "Pool",
        config: "PoolForEver",
        refines: None,
        states: 749,
        broken: &[
            ("freed, not handed over", "Liveness property violated: Progress"),
            ("the place of the dead is not passed on", DEADLOCK),
            ("what is free is not marked", "Invariant 0 (Exclusive) violated!"),
            ("the last comes first", "Liveness property violated: Progress"),
            ("served in silence", DEADLOCK),
        ],
    },
    Spec {
        module: "Pool",
        config: "PoolIsALock",
        refines: Some("Lock"),
        states: 749,
        broken: &[("freed, not handed over", NOT_A_LOCK), ("the last comes first", NOT_A_LOCK)],
    },
    Spec {
        module: "Pool",
        config: "PoolHasty",
        refines: Some("Lock"),
        states: 1_892,
        broken: &[("who gives up leaves the grant", NOT_A_LOCK)],
    },
    Spec {
        module: "Warm",
        config: "Warm",
        refines: None,
        states: 4_212,
        broken: &[
            ("what is warm is not recalled", "Invariant 1 (NothingKept) violated!"),
            ("the count is raised behind the visits", "Invariant 1 (NothingKept) violated!"),
            ("seekers are not looked at", "Invariant 1 (NothingKept) violated!"),
        ],
    },
    Spec {
        module: "Shutdown",
        config: "Shutdown",
        refines: None,
        states: 39_549,
        broken: &[
            ("the gate stays open", "Invariant 0 (NotLetIn) violated!"),
            (
                "a section does not look at the close",
                "Action property NothingAfterClose is violated",
            ),
            ("callbacks are not counted", "Invariant 1 (Quiet) violated!"),
            ("a callback begins after the end", "Invariant 1 (Quiet) violated!"),
            ("the shutdown does not drain", "Invariant 1 (Quiet) violated!"),
            ("the second does not wait", "Invariant 2 (Together) violated!"),
            ("looks outside of the lock", DEADLOCK),
            ("a callback may shut down", DEADLOCK),
        ],
    },
    Spec {
        module: "Shutdown",
        config: "ShutdownStuck",
        refines: None,
        states: 1_520,
        broken: &[("no deadline passes", "Liveness property violated: Terminates")],
    },
    Spec {
        module: "BackPressure",
        config: "BackPressure",
        refines: None,
        states: 7_820,
        broken: &[
            ("producers are left open", "Invariant 1 (CommittedOnly) violated!"),
            ("nobody commits what is full", "Liveness property violated: Completes"),
        ],
    },
    Spec {
        module: "BackPressure",
        config: "BackPressureLazy",
        refines: None,
        states: 7_157,
        broken: &[
            ("waits for room that it does not need", DEADLOCK),
            ("the waiter does not commit", "Liveness property violated: Returns"),
        ],
    },
    Spec {
        module: "BackPressure",
        config: "BackPressureCross",
        refines: None,
        states: 10_901,
        broken: &[("producers are left open", DEADLOCK), ("handed over at once", DEADLOCK)],
    },
];
