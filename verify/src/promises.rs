//! One suite for the runtime on every device: a check for each promise of `docs/SEMANTICS.md`.
//!
//! The checks know a runtime only through its public interface, and a device through a
//! [`Subject`], which opens it. A [`Promise`] says what a device must be able to do to show it,
//! so [`Verdict::Unsupported`] is known before a check runs, and is for ever. What fails for now is
//! an [`ExpectedFailure`]: that list may only become shorter, because a check on it that holds
//! fails the run, as one that is not on it and breaks does.
//!
//! A runtime that waits where it must not makes a check hang; the names of the tests tell which.

mod buffers;
mod devices;
mod ends;
mod events;
mod graphs;
mod memory;
mod pool;
mod scene;
mod streams;
mod subjects;

use std::panic::{AssertUnwindSafe, catch_unwind};

use anabranch_rt::{Device, Limits};
use anabranch_sync::model::check_once;
use anabranch_sync::{Arc, Mutex};

pub use crate::conformance::{Lose, Verdict};
#[cfg(feature = "cuda")]
pub use subjects::CUDA;
pub use subjects::{CPU, NULL, SIM, SIM_LAZY, SUBJECTS};

/// Opens the runtimes that are checked.
pub trait Subject: Send + Sync {
    /// What the table calls it.
    fn name(&self) -> &'static str;

    /// A fresh runtime with these limits.
    fn open(&self, limits: Limits) -> Device;

    /// A fresh runtime, and what loses its device; `None` where there is no way to lose one.
    fn open_to_lose(&self) -> Option<(Device, Lose)>;

    /// Whether commands have effects on memory.
    fn computes(&self) -> bool;
}

/// What a device must be able to do to show that a promise holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing in particular.
    Nothing,
    /// It computes.
    Contents,
    /// It can be lost.
    Loss,
    /// More than any device: the runtime does not offer it, for this reason.
    LeftOut(&'static str),
}

/// Why a check ended early.
#[derive(Debug)]
struct Broken(String);

impl From<anabranch_rt::Error> for Broken {
    fn from(error: anabranch_rt::Error) -> Self {
        Self(format!("unexpected {:?}: {error}", error.kind()))
    }
}

type Outcome = Result<(), Broken>;

/// Goes on if `holds`.
fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(Broken(otherwise())) }
}

/// One promise with its check.
#[derive(Clone, Copy)]
pub struct Promise {
    /// The object and a number.
    pub id: &'static str,
    /// What is promised.
    pub statement: &'static str,
    /// What it takes to show it.
    pub need: Need,
    check: fn(&'static dyn Subject) -> Outcome,
}

impl Promise {
    const fn new(
        id: &'static str,
        statement: &'static str,
        check: fn(&'static dyn Subject) -> Outcome,
    ) -> Self {
        Self { id, statement, need: Need::Nothing, check }
    }

    const fn needs(self, need: Need) -> Self {
        Self { need, ..self }
    }

    const fn left_out(id: &'static str, statement: &'static str, why: &'static str) -> Self {
        Self::new(id, statement, |_| Ok(())).needs(Need::LeftOut(why))
    }

    /// Every promise, in the order of the document.
    pub fn all() -> impl Iterator<Item = &'static Promise> {
        [
            devices::PROMISES,
            streams::PROMISES,
            pool::PROMISES,
            events::PROMISES,
            memory::PROMISES,
            buffers::PROMISES,
            graphs::PROMISES,
            ends::PROMISES,
        ]
        .into_iter()
        .flatten()
    }

    /// Checks one runtime. Blocks until the check has ended.
    pub fn check(&self, subject: &'static dyn Subject) -> Verdict {
        match self.need {
            Need::LeftOut(why) => return Verdict::Unsupported(why),
            Need::Contents if !subject.computes() => {
                return Verdict::Unsupported("the device computes nothing");
            }
            Need::Loss if subject.open_to_lose().is_none() => {
                return Verdict::Unsupported("there is no way to lose this device");
            }
            _ => {}
        }
        let outcome = Arc::new(Mutex::new(Ok(())));
        let (result, check) = (Arc::clone(&outcome), self.check);
        let ran = catch_unwind(AssertUnwindSafe(|| {
            check_once(move || *result.lock() = check(subject));
        }));
        match (ran, &*outcome.lock()) {
            (Err(panic), _) => {
                let message = panic.downcast_ref::<String>().cloned();
                Verdict::Broken(format!("panic: {}", message.unwrap_or_default()))
            }
            (Ok(()), Err(Broken(how))) => Verdict::Broken(how.clone()),
            (Ok(()), Ok(())) => Verdict::Held,
        }
    }
}

/// A promise that a device is known to break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedFailure {
    /// The name of the subject.
    pub device: &'static str,
    /// The promise.
    pub id: &'static str,
    /// Why, and until when.
    pub reason: &'static str,
}

/// What is known to be broken. It may only become shorter.
pub const EXPECTED_FAILURES: &[ExpectedFailure] = &[];

/// What is wrong with the verdicts of one device: what breaks unexpectedly, what holds
/// unexpectedly, and what is expected of nothing that there is.
pub fn faults(
    device: &str,
    verdicts: &[(&'static Promise, Verdict)],
    expected: &[ExpectedFailure],
) -> Vec<String> {
    let expected = || expected.iter().filter(|entry| entry.device == device);
    let is_expected = |id: &str| expected().any(|entry| entry.id == id);
    let mut faults: Vec<String> = verdicts
        .iter()
        .filter_map(|(promise, verdict)| match (verdict, is_expected(promise.id)) {
            (Verdict::Broken(how), false) => Some(format!("{} is broken: {how}", promise.id)),
            (Verdict::Held, true) => {
                Some(format!("{} holds; take it off the expected failures", promise.id))
            }
            (Verdict::Unsupported(_), true) => {
                Some(format!("{} is unsupported, which is no failure", promise.id))
            }
            _ => None,
        })
        .collect();
    let is_known = |id: &str| verdicts.iter().any(|(promise, _)| promise.id == id);
    let unknown = expected().filter(|entry| !is_known(entry.id));
    faults.extend(unknown.map(|entry| format!("{} is expected of nothing", entry.id)));
    faults
}

/// The promises with their verdicts on every device, as a table in Markdown.
pub fn table(subjects: &[&'static dyn Subject]) -> String {
    let names: Vec<&str> = subjects.iter().map(|subject| subject.name()).collect();
    let mut text = format!("| promise | statement | {} |\n", names.join(" | "));
    text += &format!("|---|---|{}\n", "---|".repeat(names.len()));
    for promise in Promise::all() {
        let verdicts: Vec<String> =
            subjects.iter().map(|subject| promise.check(*subject).to_string()).collect();
        let (id, statement) = (promise.id, promise.statement);
        text += &format!("| {id} | {statement} | {} |\n", verdicts.join(" | "));
    }
    text
}
