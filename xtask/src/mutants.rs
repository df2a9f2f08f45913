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
//! every patch applies to the tree, whichever of them are run.

mod folder;
mod patch;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::shell::{self, Engine};
use patch::Patch;

/// How long the checks of one mutant may take. One that deadlocks takes for ever, which counts as
/// a kill; the checks of the whole tree end well before.
const LIMIT: Duration = Duration::from_secs(120);
/// What the checks need of the workspace.
const COPIED: &[&str] = &[
    ".cargo",
    "Cargo.lock",
    "Cargo.toml",
    "assets",
    "clippy.toml",
    "crates",
    "rust-toolchain.toml",
    "verify",
    "xtask",
];

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
    let scratch = shell::target(root).join("mutants");
    let tree = copy(root, &scratch)?;
    let mut rows = Vec::new();
    let mut survivors = Vec::new();
    for patch in &patches {
        for &engine in &patch.killed_by {
            let verdict = examine(&tree, &scratch, patch, engine)?;
            println!("{:9} {:8} {}", verdict.word(), engine.name(), patch.name);
            if verdict == Verdict::Survived {
                survivors.push(format!("{} on {}", patch.name, engine.name()));
            }
            rows.push((verdict, engine, patch));
        }
    }
    println!("\n| mutant | property | engine | verdict | documented survivors |");
    println!("|---|---|---|---|---|");
    for (verdict, engine, patch) in rows {
        let (name, property, survives) = (&patch.name, &patch.property, &patch.survives);
        println!("| {name} | {property} | {} | {} | {survives} |", engine.name(), verdict.word());
    }
    match survivors.as_slice() {
        [] => Ok(()),
        survivors => Err(format!("survived: {}", survivors.join(", "))),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Killed,
    /// The checks did not end: a deadlock of the mutant, on an engine that does not see it.
    Hung,
    Survived,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Hung => "hung",
            Self::Survived => "SURVIVED",
        }
    }
}

/// Applies the patch, runs its checks, and takes it back. A mutant that does not build says
/// nothing about the checks, so that is an error and no kill.
fn examine(tree: &Path, scratch: &Path, patch: &Patch, engine: Engine) -> Result<Verdict, String> {
    patch.apply(tree, &[])?;
    let cargo = || {
        let mut command = engine.cargo(tree, &scratch.join("target"));
        command.arg("test").args(engine.profile());
        command
    };
    // Examples are built as they are run; what they are examples of is the library.
    let parts = patch.run.iter().map(|part| if part == "--doc" { "--lib" } else { part });
    let built = shell::capture(cargo().arg("--no-run").args(parts));
    let tested = shell::capture_within(cargo().args(&patch.run), LIMIT);
    patch.apply(tree, &["--reverse"])?;
    let built = built?;
    if !built.success {
        return Err(format!("{} does not build:\n{}", patch.name, built.stderr));
    }
    Ok(match tested? {
        None => Verdict::Hung,
        Some(output) if output.success => Verdict::Survived,
        Some(_) => Verdict::Killed,
    })
}

/// Makes a fresh copy of the sources; what was built from the last copy is kept.
///
/// # Errors
/// The file that cannot be copied.
pub(crate) fn copy(root: &Path, scratch: &Path) -> Result<PathBuf, String> {
    let tree = scratch.join("tree");
    for name in COPIED {
        let (from, to) = (root.join(name), tree.join(name));
        if from.is_dir() {
            if to.exists() {
                fs::remove_dir_all(&to).map_err(|e| format!("{}: {e}", to.display()))?;
            }
            copy_folder(&from, &to)?;
        } else if from.exists() {
            copy_file(&from, &to)?;
        }
    }
    Ok(tree)
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), String> {
    let entries = fs::read_dir(from).map_err(|e| format!("{}: {e}", from.display()))?;
    for entry in entries {
        let from = entry.map_err(|e| format!("{}: {e}", from.display()))?.path();
        let name = from.file_name().unwrap_or_default();
        if from.is_dir() && name != "target" {
            copy_folder(&from, &to.join(name))?;
        } else if from.is_file() {
            copy_file(&from, &to.join(name))?;
        }
    }
    Ok(())
}

// Keeps the time of the last change, so that cargo builds again only what differs.
fn copy_file(from: &Path, to: &Path) -> Result<(), String> {
    let copied = (|| {
        fs::create_dir_all(to.parent().unwrap_or(to))?;
        fs::copy(from, to)?;
        fs::File::options().write(true).open(to)?.set_modified(from.metadata()?.modified()?)
    })();
    copied.map_err(|error| format!("cannot copy {}: {error}", from.display()))
}
