//! Cases as files: a line about the case, then one step a line.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Case, Step};

/// The end of the names of these files.
const EXTENSION: &str = "jsonl";

impl Case {
    /// The text of its file.
    pub fn to_text(&self) -> String {
        let head = serde_json::to_string(self).expect("a case is plain data");
        let steps = self.steps.iter().map(|step| {
            let line = serde_json::to_string(step).expect("a step is plain data");
            format!("{line}\n")
        });
        std::iter::once(format!("{head}\n")).chain(steps).collect()
    }

    /// Reads such a text.
    ///
    /// # Errors
    /// The line that is not understood, and why.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().zip(1..);
        let (head, _) = lines.next().ok_or("the file is empty")?;
        let mut case: Case = serde_json::from_str(head).map_err(|error| format!("1: {error}"))?;
        case.steps = lines
            .map(|(line, number)| {
                serde_json::from_str::<Step>(line).map_err(|error| format!("{number}: {error}"))
            })
            .collect::<Result<_, _>>()?;
        Ok(case)
    }

    /// The cases of a folder, by the names of their files, in the order of these.
    ///
    /// # Errors
    /// The file that cannot be read or is not understood.
    pub fn load(folder: &Path) -> Result<Vec<(String, Self)>, String> {
        let problem = |path: &Path, why: String| format!("{}: {why}", path.display());
        let entries = fs::read_dir(folder).map_err(|error| problem(folder, error.to_string()))?;
        let mut paths: Vec<PathBuf> = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .map_err(|error| problem(folder, error.to_string()))?;
        paths.retain(|path| path.extension().is_some_and(|found| found == EXTENSION));
        paths.sort();
        paths
            .into_iter()
            .map(|path| {
                let text = fs::read_to_string(&path).map_err(|e| problem(&path, e.to_string()))?;
                let case = Self::from_text(&text).map_err(|why| problem(&path, why))?;
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                Ok((name, case))
            })
            .collect()
    }

    /// Keeps it in `folder`; returns the path.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep(&self, folder: &Path, name: &str) -> Result<PathBuf, String> {
        let path = folder.join(name).with_extension(EXTENSION);
        let problem = |error: std::io::Error| format!("{}: {error}", path.display());
        fs::create_dir_all(folder).map_err(problem)?;
        fs::write(&path, self.to_text()).map_err(problem)?;
        Ok(path)
    }
}
