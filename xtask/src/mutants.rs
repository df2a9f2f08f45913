//! Breaks the code on purpose and expects a check to notice.
//!
//! A mutant is a patch in `verify/mutants` that opens with a header of `# key: value` lines:
//!
//! ```text
//! # property: SLOT-HANDOVER
//! # run: -p anabranch-sync --lib slots::
//! # killed-by: loom
//! # survives: native (x86 orders stores), shuttle (sequentially consistent)
//! ```
//!
//! `run` is what stands behind `cargo test`; `killed-by` lists the engines on which that command
//! fails. An engine under `survives` is documentation and is not run. All four are required, and
//! every patch applies to the tree, whichever of them are run. A fifth line may name defects that
//! shipped systems had and that the patch puts back, `# faults: E1, 32.39`; the register of the
//! package `verify` knows which there are. The engines work beside each other, the one that has
//! most to do in two lanes, each lane in a scratch copy of the sources.

mod folder;
mod lane;
pub(crate) mod orderings;
mod patch;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::shell::Engine;
pub(crate) use lane::copy;
use lane::{Lane, Verdict};
use patch::Patch;

/// Mutants that are worth a second copy of the sources, which has everything to build.
const SHARED_MIN: usize = 32;

/// Runs the mutants whose file names contain one of `filters`, or all of them.
///
/// # Errors
/// The mutants that survived or do not build; before any is run, those that do not apply or whose
/// header is incomplete.
pub(crate) fn run(root: &Path, filters: &[String]) -> Result<(), String> {
    let wanted = |patch: &Patch| {
        filters.is_empty() || filters.iter().any(|filter| patch.name.contains(filter))
    };
    let patches: Vec<_> = folder::load(root)?.into_iter().filter(wanted).collect();
    if patches.is_empty() {
        return Err("no mutant has such a name".into());
    }
    let lists = Engine::ALL.map(|engine| List::new(engine, &patches));
    let rows = thread::scope(|scope| {
        let lane = |(list, end)| scope.spawn(move || examine(root, list, end));
        let [native, loom, shuttle] = &lists;
        let second = (SHARED_MIN <= native.len()).then_some((native, End::Back));
        let first = [native, loom, shuttle].map(|list| (list, End::Front));
        let lanes: Vec<_> = first.into_iter().chain(second).map(lane).collect();
        let rows = lanes.into_iter();
        rows.map(|lane| lane.join().expect("what a lane lacks is an error"))
            .collect::<Result<Vec<_>, _>>()
    })?;
    let mut rows = rows.concat();
    rows.sort_by_key(|row| &row.patch.name);
    println!(
        "\n| mutant | property | faults | engine | verdict | seconds | documented survivors |"
    );
    println!("|---|---|---|---|---|---|---|");
    for Row { patch, engine, verdict, took } in &rows {
        let Patch { name, property, survives, faults, .. } = patch;
        let (faults, verdict, seconds) = (faults.join(", "), verdict.word(), took.as_secs_f64());
        println!(
            "| {name} | {property} | {faults} | {engine} | {verdict} | {seconds:.1} | {survives} |"
        );
    }
    let unnoticed = |row: &&Row| !row.verdict.is_noticed();
    let name = |row: &Row| format!("{} {} on {}", row.verdict.word(), row.patch.name, row.engine);
    match rows.iter().filter(unnoticed).map(name).collect::<Vec<_>>().as_slice() {
        [] => Ok(()),
        unnoticed => Err(unnoticed.join(", ")),
    }
}

/// What one engine says of one mutant.
#[derive(Clone)]
struct Row<'a> {
    patch: &'a Patch,
    engine: Engine,
    verdict: Verdict,
    took: Duration,
}

/// The mutants that an engine has to notice, those of one package after each other.
struct List<'a> {
    engine: Engine,
    left: Mutex<VecDeque<&'a Patch>>,
}

/// Two lanes that share a list begin at its two ends, so that each stays with its packages for
/// long.
#[derive(Clone, Copy)]
enum End {
    Front,
    Back,
}

impl End {
    /// The folder of the lane that begins here.
    fn folder(self, engine: Engine) -> String {
        match self {
            Self::Front => engine.name().to_owned(),
            Self::Back => format!("{}-back", engine.name()),
        }
    }
}

impl<'a> List<'a> {
    fn new(engine: Engine, patches: &'a [Patch]) -> Self {
        let concerns = |patch: &&Patch| patch.killed_by.contains(&engine);
        let mut patches: Vec<&Patch> = patches.iter().filter(concerns).collect();
        patches.sort_by_key(|patch| &patch.run);
        Self { engine, left: Mutex::new(patches.into()) }
    }

    fn len(&self) -> usize {
        self.left.lock().expect("nobody panics while it is held").len()
    }

    fn next(&self, end: End) -> Option<&'a Patch> {
        let mut left = self.left.lock().expect("nobody panics while it is held");
        match end {
            End::Front => left.pop_front(),
            End::Back => left.pop_back(),
        }
    }
}

/// Examines what is left of a list.
fn examine<'a>(root: &Path, list: &List<'a>, end: End) -> Result<Vec<Row<'a>>, String> {
    let engine = list.engine;
    let mut lane = None;
    let mut rows = Vec::new();
    while let Some(patch) = list.next(end) {
        let lane = match &lane {
            Some(lane) => lane,
            None => lane.insert(Lane::open(root, engine, &end.folder(engine))?),
        };
        patch.apply(&lane.tree, &[])?;
        let examined = lane.examine(&patch.run);
        patch.apply(&lane.tree, &["--reverse"])?;
        let (verdict, took, said) = examined?;
        if verdict == Verdict::Unbuilt {
            eprintln!("{} does not build:\n{said}", patch.name);
        }
        let (word, seconds) = (verdict.word(), took.as_secs_f64());
        println!("{word:9} {:8} {} ({seconds:.1} s)", engine.name(), patch.name);
        rows.push(Row { patch, engine, verdict, took });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_lanes_meet_and_leave_nothing() {
        let patch = |name: &str, run: &str, engines: &str| {
            let text = format!(
                "# property: A\n# run: {run}\n# killed-by: {engines}\n# survives: none known\n\
                 --- a/b\n+++ b/b\n"
            );
            Patch::parse(name.into(), "m.patch".into(), &text).unwrap()
        };
        let patches = [
            patch("late", "-p z --lib", "native"),
            patch("early", "-p a --lib", "native, loom"),
            patch("middle", "-p m --lib", "native"),
            patch("other", "-p b --lib", "loom"),
        ];
        let list = List::new(Engine::Native, &patches);
        assert_eq!(list.len(), 3);
        let ends = [End::Front, End::Back, End::Back, End::Front];
        let names: Vec<_> =
            ends.map(|end| list.next(end).map(|patch| patch.name.as_str())).into_iter().collect();
        assert_eq!(names, [Some("early"), Some("late"), Some("middle"), None]);
    }
}
