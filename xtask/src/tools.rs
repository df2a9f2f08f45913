//! Programs of the crate registry that a task needs, each in one version.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell;

/// A program that cargo installs.
pub(crate) struct Tool {
    /// The name of its package.
    pub(crate) package: &'static str,
    /// The name of the program.
    pub(crate) program: &'static str,
    /// Another version may count, parse or judge in another way.
    pub(crate) version: &'static str,
}

impl Tool {
    /// Where it is: on the path, or under the target folder, where it is installed when it is
    /// missing.
    ///
    /// # Errors
    /// What cargo says when it cannot be installed, and what to do.
    pub(crate) fn find(&self, root: &Path) -> Result<PathBuf, String> {
        let tools = shell::target(root).join("tools");
        let own = tools.join("bin").join(self.program);
        let there = [Path::new(self.program), &own].into_iter().find(|at| self.is_pinned(at));
        if let Some(found) = there {
            return Ok(found.to_owned());
        }
        let Self { package, version, .. } = self;
        println!("installing {package} {version}, which takes some minutes");
        let mut install = shell::cargo(root);
        install.args(["install", "--locked", "--root"]).arg(&tools);
        install.args([*package, "--version", &format!("={version}")]);
        shell::run(&mut install).map_err(|error| {
            format!(
                "no {package} {version}: {error}\nit comes from crates.io; where that cannot be \
                 reached, put the program {} of this version on the path",
                self.program
            )
        })?;
        let missing = || format!("{package} was installed, but {} is not there", own.display());
        self.is_pinned(&own).then(|| own.clone()).ok_or_else(missing)
    }

    fn is_pinned(&self, program: &Path) -> bool {
        let mut command = Command::new(program);
        // A task of cargo is told its own name first.
        command.args(self.program.strip_prefix("cargo-")).arg("--version");
        shell::capture(&mut command).is_ok_and(|output| {
            output.success && output.stdout.split_whitespace().any(|word| word == self.version)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cargo's own name is no package of the registry, and a version of nobody is not found.
    #[test]
    fn a_program_of_another_version_is_not_taken() {
        let cargo = Tool { package: "none", program: "cargo", version: "0.0.0" };
        assert!(!cargo.is_pinned(Path::new("cargo")));
        let said = shell::capture(Command::new("cargo").arg("--version")).unwrap().stdout;
        let version = said.split_whitespace().nth(1).unwrap().to_owned();
        let cargo = Tool { version: version.leak(), ..cargo };
        assert!(cargo.is_pinned(Path::new("cargo")));
        assert!(!cargo.is_pinned(Path::new("no-such-program")));
    }

    #[test]
    fn a_tool_that_cannot_be_had_says_what_to_do() {
        let root = std::env::temp_dir();
        let tool = Tool { package: "..", program: "no-such-program", version: "1.0.0" };
        let error = tool.find(&root).unwrap_err();
        assert!(error.contains("put the program no-such-program of this version on the path"));
    }
}
