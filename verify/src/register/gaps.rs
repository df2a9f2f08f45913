//! What is not in the register, and why.

use super::{Gap, gap};

/// Properties of what exists that lack one of the four. The audit counts them.
pub const GAPS: &[Gap] = &[
    gap(
        "BU-2 AddressStable",
        "no mutant: the place of a buffer is set once, and nothing here moves memory",
    ),
    gap(
        "GR-13 FrozenInFlight",
        "no assertion and no mutant: the table of a launch moves into its command, and no format \
         of a command shares it",
    ),
    gap(
        "LV-6 NoStarvation",
        "no assertion: the pool serves in order (SP-L1), but the fairness of a lock is the \
         engine's",
    ),
    gap(
        "LV-7 NoInversion",
        "no check: it follows from LK-2, and priorities of threads are the system's",
    ),
];

/// Properties of `docs/SEMANTICS.md` that concern nothing that exists here.
pub const ABSENT: &[Gap] = &[
    gap("CB-4 ClosedBeforeCommit", "commands are data, and no device here has encoders"),
    gap("AL-18 NoQueryInCapture", "no capture here forbids a call into the device"),
    gap("BQ-1 AcceptedResolves", "there is no queue that merges requests into batches"),
    gap("BQ-2 RefusedHasNoEffect", "there is no queue that merges requests into batches"),
    gap("BQ-3 StopDrains", "there is no queue that merges requests into batches"),
    gap("BQ-4 StopConcurrent", "there is no queue that merges requests into batches"),
    gap("BQ-5 RestartIsolated", "there is no queue that merges requests into batches"),
    gap("BQ-6 NoLostWakeup", "there is no queue that merges requests into batches"),
    gap("BQ-7 FifoPerKey", "there is no queue that merges requests into batches"),
    gap("BQ-8 AgeBound", "there is no queue that merges requests into batches"),
    gap("BQ-9 CountersOrdered", "there is no queue that merges requests into batches"),
    gap("BQ-10 FailureLocal", "there is no queue that merges requests into batches"),
    gap("BQ-11 NoSelfWait", "there is no queue that merges requests into batches"),
    gap("BQ-12 ReallyBatches", "there is no queue that merges requests into batches"),
    gap("GR-3 Joined", "a capture has one stream"),
    gap("GR-11 FreeAfterAllUsers", "a capture has one stream, and frees nothing"),
    gap(
        "GR-14 SharedPoolOrder",
        "every executable has private memory of its own, and shares it with nobody",
    ),
    gap(
        "GR-15 SideStateOwned",
        "no command reaches a workspace or a random state beyond its own end",
    ),
    gap("GR-16 Quiet", "the kernel starts no thread"),
];
