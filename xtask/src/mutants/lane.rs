//! One engine with a scratch copy of the sources of its own, so that the engines work beside each
//! other and each builds again only what the last mutant and this one changed.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, io};

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
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
];
/// The same of the package with the kernels, which is slow to build and slower to run as it comes,
/// and of the model checkers, which are built once for all mutants.
const BUILT: [&str; 3] = [
    "--config=profile.dev.package.anabranch-hal.opt-level=1",
    "--config=profile.release.package.anabranch-hal.opt-level=1",
    "--config=profile.release.package.\"*\".opt-level=2",
];
/// Nobody reads how a mutant failed, and what failed under one says nothing of the next.
const AS_DRAWN: &[(&str, &str)] =
    &[("PROPTEST_MAX_SHRINK_ITERS", "0"), ("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1")];

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
    /// Makes a fresh copy of the sources in a folder of that name; what was built from the last
    /// copy there is kept.
    ///
    /// # Errors
    /// The file that cannot be copied.
    pub(super) fn open(root: &Path, engine: Engine, name: &str) -> Result<Self, String> {
        let folder = shell::target(root).join("mutants").join(name);
        let tree = folder.join("tree");
        copy(root, &tree)?;
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
        let build = || shell::capture(self.test().arg("--no-run").args(parts.clone()));
        let mut built = build()?;
        if !built.success {
            // What an interrupted build left behind may not fit what is there now.
            self.forget_increments()?;
            built = build()?;
        }
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

    fn forget_increments(&self) -> Result<(), String> {
        let name = self.engine.name();
        let profiles = [self.target.join("debug"), self.target.join(name).join("release")];
        let increments = profiles.map(|profile| profile.join("incremental"));
        increments.iter().filter(|folder| folder.exists()).try_for_each(|folder| remove(folder))
    }

    fn test(&self) -> Command {
        let mut command = self.engine.cargo(&self.tree, &self.target);
        command.arg("test").args(BUILT).args(self.engine.profile());
        command.envs(QUICKLY_BUILT.iter().chain(AS_DRAWN).copied());
        command
    }
}

/// What the test harness prints of a test that failed.
fn is_failure(line: &str) -> bool {
    line.starts_with("test ") && line.ends_with("FAILED")
}

/// Makes `tree` a copy of the sources.
///
/// # Errors
/// The file that cannot be copied.
pub(crate) fn copy(root: &Path, tree: &Path) -> Result<(), String> {
    COPIED.iter().try_for_each(|name| mirror(&root.join(name), &tree.join(name)))
}

/// Makes `to` what `from` is. What is the same is left alone, and what is copied is new: a mutant
/// of an earlier run may have been built from the file that it replaces.
fn mirror(from: &Path, to: &Path) -> Result<(), String> {
    if from.is_dir() {
        let names = names(from)?;
        fs::create_dir_all(to).map_err(|e| format!("{}: {e}", to.display()))?;
        for gone in self::names(to)?.difference(&names) {
            remove(&to.join(gone))?;
        }
        names.iter().try_for_each(|name| mirror(&from.join(name), &to.join(name)))
    } else if from.is_file() {
        let copied = (|| {
            let wanted = fs::read(from)?;
            if fs::read(to).is_ok_and(|there| there == wanted) {
                return Ok(());
            }
            fs::create_dir_all(to.parent().unwrap_or(to))?;
            fs::write(to, wanted)
        })();
        copied.map_err(|error: io::Error| format!("cannot copy {}: {error}", from.display()))
    } else {
        Ok(())
    }
}

/// What lies in a folder, without what cargo puts there.
fn names(folder: &Path) -> Result<BTreeSet<OsString>, String> {
    let failed = |error: io::Error| format!("{}: {error}", folder.display());
    let entries = fs::read_dir(folder).map_err(failed)?;
    let names: io::Result<BTreeSet<_>> = entries.map(|entry| Ok(entry?.file_name())).collect();
    let mut names = names.map_err(failed)?;
    names.remove(OsStr::new("target"));
    Ok(names)
}

fn remove(path: &Path) -> Result<(), String> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_made_anew_only_where_it_differs() {
        let folder = std::env::temp_dir().join(format!("mirror-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("from/same", "one");
        write("from/changed/here", "one");
        write("from/target/built", "one");
        mirror(&folder.join("from"), &folder.join("to")).unwrap();
        let old = std::time::UNIX_EPOCH + Duration::from_secs(1);
        for path in ["to/same", "to/changed/here"] {
            let file = fs::File::options().write(true).open(folder.join(path)).unwrap();
            file.set_modified(old).unwrap();
        }
        write("from/changed/here", "two");
        write("to/gone", "one");
        mirror(&folder.join("from"), &folder.join("to")).unwrap();
        let read = |path: &str| fs::read_to_string(folder.join(path)).unwrap();
        let changed = |path: &str| fs::metadata(folder.join(path)).unwrap().modified().unwrap();
        assert_eq!((read("to/same").as_str(), read("to/changed/here").as_str()), ("one", "two"));
        assert_eq!(changed("to/same"), old, "what is the same stays as it is");
        assert!(old < changed("to/changed/here"), "or cargo takes the old build for the new one");
        assert!(!folder.join("to/gone").exists() && !folder.join("to/target").exists());
        fs::remove_dir_all(folder).unwrap();
    }
}
