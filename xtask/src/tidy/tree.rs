//! The files that the rules look at.

use std::fs;
use std::path::{Path, PathBuf};

use super::Finding;
use super::lexer::{Views, views};

/// Where Rust files, manifests and mutants lie.
const FOLDERS: &[&str] = &["crates", "verify", "xtask", "fuzz"];
/// Folders without source of ours, wherever they lie; what is planted is wrong on purpose.
const SKIPPED: &[&str] = &["target", "artifacts", "corpus", "planted", ".git"];

/// Every file of the workspace that a rule may want.
pub(super) struct Tree {
    pub(super) files: Vec<File>,
}

/// One file; the path is relative to the root, with `/` between its parts.
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
    /// The code without comments and without the contents of strings, and the comments alone;
    /// both empty unless this is a Rust file.
    pub(super) views: Views,
}

impl Tree {
    pub(super) fn load(root: &Path) -> Result<Self, String> {
        let mut paths = Vec::new();
        for folder in FOLDERS {
            collect(&root.join(folder), &mut paths)?;
        }
        collect_file(root.join("docs/VERIFICATION.md"), &mut paths);
        paths.sort();
        let mut files = Vec::new();
        for path in paths {
            let text = fs::read_to_string(&path)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            files.push(File::new(&relative(root, &path), text));
        }
        Ok(Self { files })
    }

    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|(path, text)| File::new(path, (*text).into())).collect() }
    }

    pub(super) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }
}

impl File {
    fn new(path: &str, text: String) -> Self {
        let views = if path.ends_with(".rs") { views(&text) } else { Views::default() };
        Self { path: path.into(), text, views }
    }

    /// Whether the whole file is a test.
    pub(super) fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// The line, from 1, at which the tests inside this file begin; past the end without any.
    pub(super) fn tests_begin(&self) -> usize {
        let inline = |line: &str| line.trim_start().starts_with("mod tests {");
        self.views.code.lines().position(inline).map_or(usize::MAX, |line| line + 1)
    }

    pub(super) fn finding(
        &self,
        line: usize,
        what: impl Into<String>,
        remedy: &'static str,
    ) -> Finding {
        Finding { path: self.path.clone(), line, what: what.into(), remedy }
    }

    /// The findings for each line of code that holds `token` as a word of its own.
    pub(super) fn each_token<'a>(
        &'a self,
        token: &'a str,
    ) -> impl Iterator<Item = (usize, &'a str)> {
        self.views
            .code
            .lines()
            .enumerate()
            .filter_map(move |(index, line)| has_token(line, token).then_some((index + 1, line)))
    }
}

/// Whether `token` stands in `line` with no letter, digit or underscore beside it.
pub(super) fn has_token(line: &str, token: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let (begins, ends) = (token.starts_with(word), token.ends_with(word));
    line.match_indices(token).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + token.len()..].chars().next();
        let joined_before = begins && before.is_some_and(|c| word(c) || c == '\'');
        let joined_after = ends && after.is_some_and(word);
        !joined_before && !joined_after
    })
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<(), String> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry.map_err(|error| format!("{}: {error}", folder.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !SKIPPED.contains(&name.as_str()) {
            collect(&path, paths)?;
        } else if [".rs", ".toml", ".patch"].iter().any(|end| name.ends_with(end)) {
            collect_file(path, paths);
        }
    }
    Ok(())
}

fn collect_file(path: PathBuf, paths: &mut Vec<PathBuf>) {
    if path.is_file() {
        paths.push(path);
    }
}

fn relative(root: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(root).unwrap_or(path);
    relative
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect::<Vec<_>>()
        .join("/")
}
