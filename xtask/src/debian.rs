//! Debian's compiler, which carries the sources of its standard library.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::shell;

/// Compiler, cargo and standard library sources of one version, from the security archive.
const TOOLCHAIN: &[&str] = &["rustc-web", "cargo-web", "rust-web-src"];
const SOURCES: &str = "/usr/lib/rustlib/src/rust/library/std/Cargo.toml";

/// Installs the toolchain, and `more` packages beside it, through apt, unless it is there.
///
/// # Errors
/// Why it is not there: this user may not install it, or the archive has it not.
pub(crate) fn install(more: &[&str]) -> Result<(), String> {
    if is_installed(more) {
        return Ok(());
    }
    let packages = [TOOLCHAIN, more].concat().join(" ");
    println!("installing {packages} through apt");
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).args(arguments);
        shell::run(&mut command).map_err(|error| refusal(&error, &packages))
    };
    apt(&["update", "-qq"])?;
    let install = ["install", "-y", "-qq", "--no-install-recommends"];
    apt(&install.into_iter().chain(packages.split(' ')).collect::<Vec<_>>())?;
    let missing = || refusal("apt has installed no library sources", &packages);
    is_installed(more).then_some(()).ok_or_else(missing)
}

fn refusal(error: &str, packages: &str) -> String {
    format!(
        "no Debian toolchain: {error}\nrun this as root, on Debian with its security archive: \
         apt-get install --no-install-recommends {packages}"
    )
}

fn is_installed(more: &[&str]) -> bool {
    let mut dpkg = Command::new("dpkg");
    let packages = shell::capture(dpkg.arg("--status").args(TOOLCHAIN).args(more));
    packages.is_ok_and(|output| output.success) && Path::new(SOURCES).exists()
}

/// Its cargo, in the workspace, with the nightly options of its version.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new("/usr/bin/cargo");
    command.current_dir(root).stdin(Stdio::null());
    command.env("PATH", "/usr/bin:/bin").env("RUSTC_BOOTSTRAP", "1");
    // The toolchain that runs this program has set these for itself.
    for name in ["RUSTC", "RUSTDOC", "CARGO", "RUSTUP_TOOLCHAIN", "RUSTFLAGS"] {
        command.env_remove(name);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toolchain_that_cannot_be_had_says_what_to_do() {
        assert!(!is_installed(&["no-such-package"]));
        let said = refusal("apt-get: exit status: 100", "rustc-web lld-22");
        assert!(said.starts_with("no Debian toolchain: apt-get"), "{said}");
        assert!(said.ends_with("--no-install-recommends rustc-web lld-22"), "{said}");
    }
}
