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
//! package `verify` knows which there are. The engines work beside each other,
//! each in a scratch copy of the sources.

mod folder;
mod lane;
pub(crate) mod orderings;
mod patch;

use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::shell::Engine;
pub(crate) use lane::copy;
use lane::{Lane, Verdict};
use patch::Patch;

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
    let all = patches.as_slice();
    if patches.is_empty() {
        return Err("no mutant has such a name".into());
    }
    let rows = thread::scope(|scope| {
        let lane = |engine| scope.spawn(move || examine_all(root, engine, all));
        let lanes = Engine::ALL.map(lane);
        let rows = lanes.map(|lane| lane.join().expect("what a lane lacks is an error"));
        rows.into_iter().collect::<Result<Vec<_>, _>>()
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

/// The mutants that `engine` has to notice, those of one package after each other.
fn examine_all<'a>(
    root: &Path,
    engine: Engine,
    patches: &'a [Patch],
) -> Result<Vec<Row<'a>>, String> {
    let concerns = |patch: &&Patch| patch.killed_by.contains(&engine);
    let mut patches: Vec<&Patch> = patches.iter().filter(concerns).collect();
    patches.sort_by_key(|patch| &patch.run);
    if patches.is_empty() {
        return Ok(Vec::new());
    }
    let lane = Lane::open(root, engine)?;
    let mut rows = Vec::new();
    for patch in patches {
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
