//! The sources that the register speaks of.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

/// Files of the workspace by their paths from its root.
#[derive(Clone, Debug, Default)]
pub struct Tree(BTreeMap<String, String>);

impl Tree {
    /// Reads the crates and the mutants.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn load(root: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        for (folder, end) in [("crates", "rs"), ("verify/mutants", "patch")] {
            tree.add(root, &root.join(folder), end)?;
        }
        Ok(tree)
    }

    /// A tree of these files.
    pub fn of(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|&(path, text)| (path.to_owned(), text.to_owned())).collect())
    }

    fn add(&mut self, root: &Path, folder: &Path, end: &str) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                self.add(root, &path, end)?;
            } else if path.extension().is_some_and(|found| found == end) {
                let name = path.strip_prefix(root).unwrap_or(&path);
                self.0.insert(name.to_string_lossy().into_owned(), fs::read_to_string(&path)?);
            }
        }
        Ok(())
    }

    /// The file that the register calls `short`: "rt/pool.rs", "rt/tests/fork.rs".
    pub(super) fn named(&self, short: &str) -> Option<&str> {
        let (package, rest) = short.split_once('/')?;
        let paths = [format!("crates/{package}/src/{rest}"), format!("crates/{package}/{rest}")];
        paths.iter().find_map(|path| self.0.get(path)).map(String::as_str)
    }

    /// The code that ships: path and text.
    pub(super) fn shipped(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_test = |path: &str| {
            path.ends_with("/tests.rs") || path.contains("/tests/") || path.ends_with("/spec.rs")
        };
        self.0
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .filter(move |(path, _)| path.starts_with("crates/") && !is_test(path))
    }

    /// The specifications that are searched: short name and text.
    pub(super) fn specs(&self) -> impl Iterator<Item = (String, &str)> {
        self.0.iter().filter_map(|(path, text)| {
            let short = path.strip_prefix("crates/")?.replacen("/src/", "/", 1);
            short.ends_with("/spec.rs").then_some((short, text.as_str()))
        })
    }

    /// The mutants: name, and the property in the header.
    pub fn mutants(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers("# property:")
    }

    /// The faults that mutants put back: name of the mutant, and one fault.
    pub fn faults(&self) -> impl Iterator<Item = (&str, &str)> {
        let named = self.headers("# faults:");
        named.flat_map(|(name, ids)| ids.split(',').map(move |id| (name, id.trim())))
    }

    /// How many mutants each set of engines has to kill, as the headers name it.
    pub(super) fn killers(&self) -> BTreeMap<&str, usize> {
        let mut count = BTreeMap::new();
        self.headers("# killed-by:")
            .for_each(|(_, engines)| *count.entry(engines).or_default() += 1);
        count
    }

    fn headers(&self, key: &'static str) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(move |(path, text)| {
            let name = path.strip_prefix("verify/mutants/")?.strip_suffix(".patch")?;
            let mut header = text.lines().take_while(|line| line.starts_with('#'));
            Some((name, header.find_map(|line| line.strip_prefix(key))?.trim()))
        })
    }
}
