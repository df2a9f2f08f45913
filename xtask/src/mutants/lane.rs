//! One engine with a scratch copy of the sources of its own, so that the engines work beside each
//! other and each builds again only what the last mutant and this one changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::shell::{self, Engine};

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
/// A mutant is built once and run for seconds, so what counts is the time of its build.
const QUICKLY_BUILT: &[(&str, &str)] = &[
    ("CARGO_PROFILE_DEV_DEBUG", "0"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "0"),
    ("CARGO_PROFILE_RELEASE_INCREMENTAL", "true"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
];

/// What the checks say of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Killed,
    /// The checks did not end: a deadlock of the mutant, on an engine that does not see it.
    Hung,
    Survived,
    /// It does not build, which says nothing about the checks.
    Unbuilt,
}

impl Verdict {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Hung => "hung",
            Self::Survived => "SURVIVED",
            Self::Unbuilt => "UNBUILT",
        }
    }

    /// Whether the checks noticed.
    pub(super) const fn is_noticed(self) -> bool {
        matches!(self, Self::Killed | Self::Hung)
    }
}

/// A copy of the sources, and the engine that its checks run on.
pub(super) struct Lane {
    engine: Engine,
    pub(super) tree: PathBuf,
    target: PathBuf,
}

impl Lane {
    /// Makes a fresh copy of the sources; what was built from the last copy is kept.
    ///
    /// # Errors
    /// The file that cannot be copied.
    pub(super) fn open(root: &Path, engine: Engine) -> Result<Self, String> {
        let folder = shell::target(root).join("mutants").join(engine.name());
        let tree = folder.join("tree");
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
        Ok(Self { engine, tree, target: folder.join("target") })
    }

    /// Builds the checks `run` over the tree as it is, and runs them up to the first that fails.
    /// Also how long that took, and what the build said.
    ///
    /// # Errors
    /// A sentence about a program that cannot be started.
    pub(super) fn examine(&self, run: &[String]) -> Result<(Verdict, Duration, String), String> {
        let begin = Instant::now();
        // Examples are built as they are run; what they are examples of is the library.
        let parts = run.iter().map(|part| if part == "--doc" { "--lib" } else { part });
        let built = shell::capture(self.test().arg("--no-run").args(parts))?;
        let verdict = if built.success {
            let mut checks = self.test();
            match shell::capture_until(checks.args(run), LIMIT, is_failure)? {
                None => Verdict::Hung,
                Some(true) => Verdict::Survived,
                Some(false) => Verdict::Killed,
            }
        } else {
            Verdict::Unbuilt
        };
        Ok((verdict, begin.elapsed(), built.stderr))
    }

    fn test(&self) -> Command {
        let mut command = self.engine.cargo(&self.tree, &self.target);
        command.arg("test").args(self.engine.profile()).envs(QUICKLY_BUILT.iter().copied());
        command
    }
}

/// What the test harness prints of a test that failed.
fn is_failure(line: &str) -> bool {
    line.starts_with("test ") && line.ends_with("FAILED")
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
