//! One mutant: what its header says, and whether it applies.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::shell::{self, Engine};

/// A patch with what its header says.
#[derive(Debug)]
pub(super) struct Patch {
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// The invariant that the patch breaks.
    pub(super) property: String,
    /// The engines on which the check fails.
    pub(super) killed_by: Vec<Engine>,
    /// The engines on which it does not, and why.
    pub(super) survives: String,
    /// The arguments of `cargo test`.
    pub(super) run: Vec<String>,
    /// The defects of other systems that the patch puts back, as the register calls them.
    pub(super) faults: Vec<String>,
}

impl Patch {
    /// Reads the header of the patch `text`.
    ///
    /// # Errors
    /// All that the header lacks.
    pub(super) fn parse(name: String, path: PathBuf, text: &str) -> Result<Self, String> {
        let value = |key: &str| {
            let prefix = format!("# {key}:");
            let header = text.lines().take_while(|line| line.starts_with('#'));
            header.filter_map(|line| line.strip_prefix(&prefix)).map(str::trim).next()
        };
        let mut faults = Vec::new();
        let mut required = |key: &str| {
            let found = value(key).filter(|value| !value.is_empty());
            if found.is_none() {
                faults.push(format!("no line \"# {key}: ...\""));
            }
            found.unwrap_or_default()
        };
        let property = required("property").to_owned();
        let run = required("run").split_whitespace().map(str::to_owned).collect();
        let engines = required("killed-by");
        let survives = required("survives").to_owned();
        let ids = value("faults").into_iter().flat_map(|ids| ids.split(',')).map(str::trim);
        let ids: Vec<String> = ids.map(str::to_owned).collect();
        for (index, id) in ids.iter().enumerate() {
            if !is_fault(id) {
                faults.push(format!("\"{id}\" is not the name of a fault, as \"E1\" or \"32.39\""));
            } else if ids[..index].contains(id) {
                faults.push(format!("the fault {id} twice"));
            }
        }
        let mut killed_by = Vec::new();
        for name in engines.split(',').map(str::trim).filter(|_| !engines.is_empty()) {
            match Engine::parse(name) {
                Some(engine) => killed_by.push(engine),
                None => faults.push(format!("no engine is called \"{name}\"")),
            }
        }
        match faults.as_slice() {
            [] => Ok(Self { name, path, property, killed_by, survives, run, faults: ids }),
            faults => Err(faults.join("; ")),
        }
    }

    /// Applies the patch to `tree`.
    ///
    /// # Errors
    /// What git says when it cannot.
    pub(super) fn apply(&self, tree: &Path, flags: &[&str]) -> Result<(), String> {
        let mut git = Command::new("git");
        // A scratch copy may lie inside a repository; git has to take it for a plain folder.
        git.env("GIT_CEILING_DIRECTORIES", tree.parent().unwrap_or(tree));
        git.current_dir(tree).stdin(Stdio::null());
        git.args(["apply", "--whitespace=nowarn"]).args(flags).arg(&self.path);
        let output = shell::capture(&mut git)?;
        if output.success { Ok(()) } else { Err(format!("{}: {}", self.name, output.stderr)) }
    }
}

/// A letter and a number, or two numbers with a point. Which there are, the register knows.
fn is_fault(id: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    match id.split_once('.') {
        Some((major, minor)) => is_number(major) && is_number(minor),
        None => id.strip_prefix(|c: char| c.is_ascii_uppercase()).is_some_and(is_number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Patch, String> {
        Patch::parse("m".into(), "m.patch".into(), text)
    }

    #[test]
    fn a_header_is_read() {
        let text = "# property: A\n# run: -p b --lib c::\n# killed-by: loom, native\n\
                    # survives: shuttle (why)\n--- a/x\n# property: B\n";
        let patch = parse(text).unwrap();
        assert_eq!((patch.property.as_str(), patch.survives.as_str()), ("A", "shuttle (why)"));
        assert_eq!(patch.killed_by, [Engine::Loom, Engine::Native]);
        assert_eq!(patch.run, ["-p", "b", "--lib", "c::"]);
    }

    #[test]
    fn the_faults_of_a_header_are_read() {
        let header = "# property: A\n# run: b\n# killed-by: loom\n# survives: none\n# faults: ";
        let faults = |ids: &str| parse(&format!("{header}{ids}\n")).map(|patch| patch.faults);
        assert_eq!(faults("E1, 32.39").unwrap(), ["E1", "32.39"]);
        for ids in ["", "E1,", "E", "32.", "e1", "E1 E2"] {
            assert!(faults(ids).unwrap_err().contains("not the name of a fault"), "{ids}");
        }
        assert_eq!(faults("E1, E2, E1").unwrap_err(), "the fault E1 twice");
    }

    #[test]
    fn a_wrong_header_is_refused() {
        let error = |text: &str| parse(text).unwrap_err();
        for key in ["property", "run", "killed-by", "survives"] {
            assert!(error("--- a/x\n# survives: b\n").contains(&format!("\"# {key}: ...\"")));
            let complete = "# property: A\n# run: b\n# killed-by: loom\n# survives: none\n";
            let cut = complete.replace(&format!("# {key}: "), &format!("# {key}:\n# "));
            assert_eq!(error(&cut), format!("no line \"# {key}: ...\""));
        }
        let trailing = "# property: A\n# run: b\n# killed-by: loom,\n# survives: none\n";
        assert_eq!(error(trailing), "no engine is called \"\"");
        let unknown = "# property: A\n# run: b\n# killed-by: miri, loom, tsan\n# survives: none\n";
        assert_eq!(error(unknown), "no engine is called \"miri\"; no engine is called \"tsan\"");
    }
}
