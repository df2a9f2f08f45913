//! Runs the binary.

use std::path::{Path, PathBuf};
use std::process::Command;

use anabranch::{ModelLimits, Tensor, npy};
use serde_json::Value;

/// What a run of the binary said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the binary with arguments, in a folder.
pub(crate) fn anabranch_in(folder: &Path, arguments: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_anabranch"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs the binary with arguments.
pub(crate) fn anabranch(arguments: &[&str]) -> Said {
    anabranch_in(Path::new("."), arguments)
}

impl Said {
    /// The standard output of a run that found nothing and complained about nothing.
    #[track_caller]
    pub(crate) fn clean(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{}", self.out);
        self.out
    }

    /// The JSON of a clean run, which is one line.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let out = self.clean();
        assert_eq!(out.lines().count(), 1, "{out}");
        serde_json::from_str(&out).unwrap()
    }
}

/// The keys of an object, in order.
pub(crate) fn keys(line: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("\":") {
        keys.extend(before.rsplit('"').next().map(str::to_owned));
        rest = after;
    }
    keys
}

/// A file of the digits, by the end of its name.
pub(crate) fn digits(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/digits");
    folder.join(format!("digits-{name}")).canonicalize().unwrap().display().to_string()
}

pub(crate) fn read(path: impl AsRef<Path>) -> Tensor {
    npy::read(path, &ModelLimits::default()).unwrap()
}

/// Writes an array into a folder, and returns its path.
pub(crate) fn write(folder: &Path, name: &str, tensor: &Tensor) -> String {
    let path: PathBuf = folder.join(name);
    npy::write(&path, tensor).unwrap();
    path.display().to_string()
}

/// Names of everything in a folder.
pub(crate) fn list(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
