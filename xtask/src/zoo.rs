//! Whole networks: exported from PyTorch by both of its exporters, run with the shipped program,
//! and compared with ONNX Runtime before and after their last softmax.
//!
//! The networks are in `xtask/zoo/zoo.py`. Their weights are random, from a fixed seed.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::python::{self, Python};
use crate::shell;

const EXPORTERS: [&str; 2] = ["torchscript", "dynamo"];
const OUTPUTS: [&str; 2] = ["before", "after"];

/// Runs the networks whose names contain one of `filters`, or all of them.
///
/// # Errors
/// What cannot be installed or built, and the networks that do not run or whose results differ.
pub(crate) fn run(root: &Path, filters: &[String]) -> Result<(), String> {
    let python = Python::new(root, "zoo", "xtask/zoo/zoo.py", python::EXPORTING)?;
    let names = python.says(python.command().arg("list"))?;
    let wanted = |name: &&str| filters.is_empty() || filters.iter().any(|f| name.contains(&**f));
    let names: Vec<&str> = names.lines().filter(wanted).collect();
    if names.is_empty() {
        return Err("no network has such a name".into());
    }
    let zoo = Zoo { python, program: python::program(root)? };
    let (mut tried, mut wrong) = (0, Vec::new());
    println!("{:<20} {:<12} {:>10} {:>10}", "network", "exporter", OUTPUTS[0], OUTPUTS[1]);
    for name in names {
        for exporter in EXPORTERS {
            tried += 1;
            let said = zoo.compare(name, exporter);
            let (Ok(line) | Err(line)) = &said;
            println!("{name:<20} {exporter:<12} {line}");
            wrong.extend(said.err().map(|error| format!("{name}, {exporter}: {error}")));
        }
    }
    println!("{} of {tried} agree with ONNX Runtime", tried - wrong.len());
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

struct Zoo {
    python: Python,
    program: PathBuf,
}

impl Zoo {
    /// The largest error of each output, relative to its largest element.
    fn compare(&self, name: &str, exporter: &str) -> Result<String, String> {
        let folder = self.python.folder.join(format!("{name}-{exporter}"));
        if !folder.join("complete").is_file() {
            let mut export = self.python.command();
            self.python
                .says(export.args(["export", name, exporter]).arg(&folder))
                .map_err(|error| format!("cannot be exported: {error}"))?;
        }
        let rows = self.python.says(self.python.command().arg("rows").arg(&folder))?;
        let mut command = Command::new(&self.program);
        command.arg("run").arg(folder.join("model.onnx")).arg("--input").arg(folder.join("x.npy"));
        command.args(["--batch", &rows, "--threads", "2", "--passes", "2"]);
        for output in OUTPUTS {
            let file = folder.join(format!("{output}-found.npy"));
            command.arg("--output").arg(format!("{output}={}", file.display()));
        }
        let output = shell::capture(&mut command)?;
        if !output.success {
            return Err(python::last_line(&output.stderr).to_owned());
        }
        self.python.says(self.python.command().arg("compare").arg(&folder))
    }
}
