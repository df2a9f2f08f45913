//! Programs of Python with packages of their own, kept under the target folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell;

/// What exports networks and runs them for comparison.
pub(crate) const EXPORTING: &[&str] = &[
    "torch==2.15.0",
    "torchvision==0.29.2",
    "onnx==1.23.2",
    "onnxscript==0.7.2",
    "onnxruntime==1.31.1",
    "numpy==2.4.6",
];

/// A virtual environment and the script that runs in it.
pub(crate) struct Python {
    /// Where the environment is, and whatever the script leaves behind.
    pub(crate) folder: PathBuf,
    script: PathBuf,
}

impl Python {
    /// The environment `target/NAME` with exactly these packages, installed where it is missing,
    /// for the script at `script` below the root.
    ///
    /// # Errors
    /// What Python and pip say.
    pub(crate) fn new(
        root: &Path,
        name: &str,
        script: &str,
        packages: &[&str],
    ) -> Result<Self, String> {
        let python = Self { folder: shell::target(root).join(name), script: root.join(script) };
        let done = python.folder.join("installed");
        let packages_installed = packages.join("\n");
        if fs::read_to_string(&done).is_ok_and(|installed| installed == packages_installed) {
            return Ok(python);
        }
        println!("installing {} with pip, which takes some minutes", packages.join(" "));
        let mut venv = Command::new("python3");
        shell::run(venv.args(["-m", "venv"]).arg(python.folder.join("venv")))?;
        let mut pip = Command::new(python.interpreter());
        shell::run(pip.args(["-m", "pip", "install", "--quiet"]).args(packages))
            .map_err(|error| format!("{error}\nthe packages come from PyPI"))?;
        fs::write(&done, packages_installed)
            .map_err(|error| format!("{}: {error}", done.display()))?;
        Ok(python)
    }

    fn interpreter(&self) -> PathBuf {
        self.folder.join("venv/bin/python")
    }

    /// The script with arguments.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(self.interpreter());
        command.arg(&self.script);
        command
    }

    /// What the script prints.
    ///
    /// # Errors
    /// The last line of its complaint.
    pub(crate) fn says(&self, command: &mut Command) -> Result<String, String> {
        let output = shell::capture(command)?;
        if output.success {
            Ok(output.stdout.trim_end().to_owned())
        } else {
            Err(last_line(&output.stderr).to_owned())
        }
    }
}

/// Where the program is after it was built with every optimisation.
///
/// # Errors
/// That it does not build.
pub(crate) fn program(root: &Path) -> Result<PathBuf, String> {
    let mut build = shell::cargo(root);
    shell::run(build.args(["build", "--quiet", "--release", "--package", "anabranch"]))?;
    Ok(shell::target(root).join("release/anabranch"))
}

/// Runs the interpreter of this machine in a folder, which is made when it is missing.
///
/// # Errors
/// The command and what it says.
pub(crate) fn run_in(folder: &Path, arguments: &[&str]) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut command = Command::new("python3");
    command.current_dir(folder).args(arguments);
    let output = shell::capture(&mut command)?;
    let said = format!("{}\n{}{}", shell::describe(&command), output.stdout, output.stderr);
    if output.success { Ok(()) } else { Err(said) }
}

/// The last line of a text that says something.
pub(crate) fn last_line(text: &str) -> &str {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing")
}
