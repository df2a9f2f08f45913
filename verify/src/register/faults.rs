//! The defects that systems of this kind have had, and what answers each of them here.
//!
//! A mutant that puts the same defect back names it in its header (`# faults: E1, 32.39`). What
//! cannot be put back has the reason why. The numbers with a point are those of one patch set, of
//! which only these nine are asked for.

use std::collections::BTreeSet;

use super::Tree;

/// A defect that a shipped system had.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// As in "E1" or "32.39".
    pub id: &'static str,
    /// What went wrong.
    pub title: &'static str,
    /// Why no mutant can put it back.
    pub ruled_out: Option<&'static str>,
}

pub(super) const fn fault(id: &'static str, title: &'static str) -> Fault {
    Fault { id, title, ruled_out: None }
}

impl Fault {
    pub(super) const fn ruled_out(mut self, reason: &'static str) -> Self {
        self.ruled_out = Some(reason);
        self
    }
}

const NO_BATCHES: &str = "there is no queue that merges requests into batches";
const ONE_STREAM: &str = "a capture has one stream, and frees nothing";
const OWNED_DATA: &str = "a mutex owns the data that it protects: no unlocked access compiles";
const OWNED_COMMANDS: &str = "a command owns what it names (`'static`), as does a graph's node";
const NO_STATICS: &str = "no static has a destructor: tidy allows none outside of `sync`";

/// All of them.
pub const FAULTS: &[Fault] = &[
    fault("E1", "a wait follows a record that comes after it"),
    fault("E2", "an older record answers for the newest"),
    fault("E3", "a stream whose command runs counts as idle"),
    fault("E4", "a refusal inside synchronise is ignored"),
    fault("E5", "an event that moves to another stream keeps a value that is too high"),
    fault("E6", "values of one timeline are compared with another"),
    fault("E7", "recording again destroys the native event of earlier waits")
        .ruled_out("no event has a native object; a snapshot is a value that never changes"),
    fault("E8", "recording again forgets an earlier use"),
    fault("E9", "several streams record on one event"),
    fault("E10", "a wait counts as done when it is queued"),
    fault("E11", "asking for the time consumes it"),
    fault("E12", "times are taken when a handler runs")
        .ruled_out("`rt` has no clock: the only times are those that the device reports"),
    fault("E13", "times leave out the work between the records"),
    fault("E14", "a slot is used after it came back"),
    fault("E15", "a slot comes back while somebody waits for it"),
    fault("E16", "slots pile up"),
    fault("E17", "each evaluation leaks a slot"),
    fault("E18", "a wait does nothing"),
    fault("E19", "completion is told before its effects are there"),
    fault("E20", "numbers are left out"),
    fault("E21", "what is of another device is accepted"),
    fault("E22", "a slot is of the wrong device"),
    fault("E23", "waiting for the legacy default stream").ruled_out("there is no such stream"),
    fault("E24", "an event cannot be used after its stream is gone"),
    fault("E25", "what is in the open buffer is forgotten"),
    fault("E26", "a trace shows a later record than the one that was waited for"),
    fault("S1", "an exhausted pool lends one stream twice"),
    fault("S2", "making a stream rewinds the choice of the next"),
    fault("S3", "an operation ignores the stream that it was given"),
    fault("S4", "a worker does not inherit the stream of its maker").ruled_out(
        "a documented promise: a thread begins with the default stream, and inherits nothing",
    ),
    fault("S5", "a dead stream stays in the lists of the allocator")
        .ruled_out("a clock holds its streams by counted references, so none of them is dead"),
    fault("S6", "a stream is known by a number that another one has, too"),
    fault("S7", "a stream belongs to one thread")
        .ruled_out("`Stream: Send + Sync` is asserted where it is compiled"),
    fault("S8", "the list of streams is used without its lock").ruled_out(OWNED_DATA),
    fault("S9", "an order between streams is taken for granted")
        .ruled_out("not promised: the order of streams is for the `sim` device to choose"),
    fault("S10", "two streams are taken to run at the same time")
        .ruled_out("not promised: on the `null` device all commands run one after the other"),
    fault("S11", "the default stream is in the pool, too"),
    fault("S12", "synchronising an idle stream costs a call of the device"),
    fault("S13", "a priority is ignored").ruled_out("a priority is a hint, and promises nothing"),
    fault("C1", "an open buffer is used outside of its section"),
    fault("C2", "a section is entered by who is in it"),
    fault("C3", "two threads commit one buffer"),
    fault("C4", "a buffer is committed twice"),
    fault("C5", "a wait for what nobody commits"),
    fault("C6", "synchronise leaves out what is open"),
    fault("C7", "a buffer starts before the last one of its stream has ended"),
    fault("C8", "all wait for room, and nobody commits"),
    fault("C9", "an allocation waits for what is open"),
    fault("C10", "a wait for room with the section held"),
    fault("C11", "a buffer that failed does not advance its timeline"),
    fault("C12", "a buffer that failed counts as a success"),
    fault("C13", "synchronise-all commits without the section")
        .ruled_out("the open buffer lies behind the guard of its section: nothing else compiles"),
    fault("C14", "a buffer is with the device before what it waits for"),
    fault("C15", "a fence spins on the device for ever")
        .ruled_out("no command waits on the device for the processor"),
    fault("C16", "two threads open encoders on one buffer"),
    fault("C17", "the slot of an active command is used again"),
    fault("C18", "a handler is added after the commit"),
    fault("C19", "an encoder is fetched before the section"),
    fault("C20", "what is open at the shutdown is never committed"),
    fault("A1", "a reader on another stream is not recorded"),
    fault("A2", "a block waits for its own stream, and memory grows"),
    fault("A3", "one slow stream holds back all reuse"),
    fault("A4", "one block that never ends holds back all others"),
    fault("A5", "uses are kept by address, and views miss them")
        .ruled_out("uses lie in the buffer that every view of it holds; nothing has an address"),
    fault("A6", "memory for the host is lent while the device uses it"),
    fault("A7", "only the last user is remembered"),
    fault("A8", "a lock of the allocator is held where a lower one is taken"),
    fault("A9", "what is told of an end needs the lock of who waits for it"),
    fault("A10", "the device allocates under a lock of the allocator"),
    fault("A11", "a block is free before its stream has run"),
    fault("A12", "a cache is emptied while it is used"),
    fault("A13", "two kernels race over a buffer"),
    fault("A14", "a block is reused while a command holds it"),
    fault("A15", "a block goes away and comes back between two looks"),
    fault("A16", "a view outlives its buffer"),
    fault("A17", "an operand is freed while it is encoded"),
    fault("A18", "one axis of a clock is enough"),
    fault("A19", "the tracker of a block is missing")
        .ruled_out("every buffer has its clock: it is no option, and no pointer"),
    fault("A20", "a recording keeps memory of the stack").ruled_out(OWNED_COMMANDS),
    fault("L1", "two locks are taken in both orders"),
    fault("L2", "a lock is held over a launch that needs it"),
    fault("L3", "destroying an event waits with a lock held")
        .ruled_out("dropping a slot pushes a number; there is no native event to destroy"),
    fault("L4", "a callback waits for the device that runs it"),
    fault("L5", "a deferred callback waits for its own queue"),
    fault("L6", "the end of a capture and others lock in both orders"),
    fault("L7", "locks of one rank are taken in any order"),
    fault("L8", "a wait holds the lock that submitters need"),
    fault("L9", "callbacks run under a lock that they need"),
    fault("L10", "a lock is taken by who holds it"),
    fault("L11", "a submission is handed over under a lock"),
    fault("L12", "a lock is held over a wait for the device"),
    fault("L13", "a compilation under a lock"),
    fault("L14", "a destructor waits for an enqueue that failed")
        .ruled_out("no destructor waits: dropping a stream, a lease or a buffer takes no wait"),
    fault("L15", "freeing foreign memory waits with a lock held")
        .ruled_out("there is no foreign memory"),
    fault("L16", "a section is held over a wait"),
    fault("W1", "the end is told before it is set"),
    fault("W2", "sleepers are counted outside of the lock"),
    fault("W3", "a signal is left out because nobody seems to wait"),
    fault("W4", "a notification comes between a look and the sleep"),
    fault("W5", "one flag stands for several callbacks"),
    fault("W6", "a callback is added while the end is told"),
    fault("W7", "a waiter spins on what is always posted")
        .ruled_out("every wait sleeps on a condition that is tested again under its lock"),
    fault("W8", "a cache is a map without a lock").ruled_out(OWNED_DATA),
    fault("W9", "a compile cache races").ruled_out(OWNED_DATA),
    fault("W10", "two protocols build one thing"),
    fault("W11", "something is published before it is built"),
    fault("W12", "a counter is read without its lock").ruled_out(OWNED_DATA),
    fault("W13", "two threads build one thing"),
    fault("W14", "a host function does not hold its stream up"),
    fault("G1", "an allocation in a capture that the allocator does not know of"),
    fault("G2", "a watchdog breaks a capture").ruled_out("the kernel starts no thread"),
    fault("G3", "what is being captured is asked whether it is done"),
    fault("G4", "memory goes back to the device in a capture")
        .ruled_out("no capture here forbids a call into the device"),
    fault("G5", "captures are counted for the whole device")
        .ruled_out("a capture is a state of its stream, and nothing counts them"),
    fault("G6", "an abandoned capture goes on"),
    fault("G7", "a workspace of one graph is cleared by another")
        .ruled_out("every executable owns its memory"),
    fault("G8", "a free in a forked stream").ruled_out(ONE_STREAM),
    fault("G9", "memory of a graph is given to others")
        .ruled_out("an executable owns its memory as a buffer, which nobody gets while it lives"),
    fault("G10", "two parts of a graph's memory overlap"),
    fault("G11", "reuse inside a capture with conditions").ruled_out(ONE_STREAM),
    fault("G12", "two launches of one executable overlap"),
    fault("G13", "a captured write reads memory of the stack").ruled_out(OWNED_COMMANDS),
    fault("G14", "a capture that was broken off leaves its stream capturing"),
    fault("R1", "a callback unwinds into the device"),
    fault("R2", "waiters are not told of a failure"),
    fault("R3", "a panic inside a callback ends the process"),
    fault("R4", "synchronise waits for a command that was killed"),
    fault("R5", "the first failure ends synchronise-all"),
    fault("R6", "only one stream is synchronised"),
    fault("R7", "a wait without its deadline"),
    fault("R8", "a destructor panics because what it needs is gone"),
    fault("X1", "a callback after the end"),
    fault("X2", "statics are destroyed in the wrong order").ruled_out(NO_STATICS),
    fault("X3", "an event is waited for after the teardown")
        .ruled_out("a snapshot owns what it asks, and calls nothing native"),
    fault("X4", "a thread-local destructor calls the device"),
    fault("X5", "something is destroyed late, at the exit"),
    fault("X6", "memory goes while work still runs"),
    fault("X7", "the teardown does not wait"),
    fault("X8", "a callback is freed before it is called")
        .ruled_out("the timeline owns the callback, and calling it consumes it"),
    fault("X9", "a look whether the runtime is open, and a use after it has ended"),
    fault("X10", "a slot comes back to a pool that is gone"),
    fault("X11", "handlers outlive what they use"),
    fault("X12", "what was submitted is not drained"),
    fault("F1", "a child calls into the device"),
    fault("F2", "a child takes a lock of its parent"),
    fault("F3", "a count from before the fork"),
    fault("F4", "a fork ends the session of the parent"),
    fault("F5", "a child joins threads of its parent"),
    fault("F6", "a child goes on with the stream of its parent"),
    fault("Q1", "a submission between the stop and the join").ruled_out(NO_BATCHES),
    fault("Q2", "a stop flag outside of the lock").ruled_out(NO_BATCHES),
    fault("Q3", "more completed than submitted").ruled_out(NO_BATCHES),
    fault("Q4", "the second stop does not wait").ruled_out(NO_BATCHES),
    fault("Q5", "a start during a stop").ruled_out(NO_BATCHES),
    fault("Q6", "a worker joins itself").ruled_out(NO_BATCHES),
    fault("Q7", "references from before a change").ruled_out(NO_BATCHES),
    fault("Q8", "a specification that is more atomic than the code").ruled_out(NO_BATCHES),
    fault("Q9", "a batch that runs one by one").ruled_out(NO_BATCHES),
    fault("27.3", "an event ends with the pool that its stream came from"),
    fault("32.39", "the first failure ends synchronise-all"),
    fault("32.58", "an event comes back to a pool that is gone"),
    fault("32.79", "a slot is built without the protocol of all others"),
    fault("32.83", "the pool is used after the end, as if it were there"),
    fault("32.92", "a stream that could not be made is used"),
    fault("32.105", "a look whether the pool lives, and a use after it has ended"),
    fault("32.267", "freed and taken again between two looks"),
    fault("32.291", "a handler is added after the commit"),
];

/// What the mutants and the list say differently. Each finding says what to do.
pub fn fault_findings(faults: &[Fault], tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for Fault { id, ruled_out, .. } in faults {
        if !seen.insert(id) {
            findings.push(format!("{id}: listed twice; keep one entry"));
        }
        match (mutants(id, tree).is_empty(), ruled_out) {
            (true, None) => findings.push(format!(
                "{id}: no mutant; put the defect back in verify/mutants with \"# faults: {id}\", or \
                 say why that cannot be done"
            )),
            (false, Some(_)) => findings
                .push(format!("{id}: there is a mutant, so it is not ruled out; drop the reason")),
            _ => {}
        }
    }
    for (mutant, id) in tree.faults() {
        if faults.iter().all(|fault| fault.id != id) {
            findings.push(format!(
                "verify/mutants/{mutant}.patch names the fault \"{id}\", which is not listed; \
                 correct its header"
            ));
        }
    }
    findings
}

/// The mutants that put a defect back.
pub(super) fn mutants<'a>(id: &str, tree: &'a Tree) -> Vec<&'a str> {
    tree.faults().filter(|(_, named)| *named == id).map(|(mutant, _)| mutant).collect()
}

/// The faults as a table of the ledger.
pub(super) fn fault_table(faults: &[Fault], tree: &Tree) -> String {
    let mut lines = vec!["| fault | what went wrong | put back by, or ruled out because |".into()];
    lines.push("|---|---|---|".into());
    lines.extend(faults.iter().map(|Fault { id, title, ruled_out }| {
        let mutants = mutants(id, tree).into_iter().map(|mutant| format!("`{mutant}`"));
        let answer = ruled_out.map_or_else(|| mutants.collect::<Vec<_>>().join(", "), String::from);
        format!("| {id} | {title} | {answer} |")
    }));
    lines.push(String::new());
    lines.join("\n")
}
