//! Licences, bans and sources of everything that the workspace depends on, on every platform.
//!
//! What is locked is in `Cargo.lock`, and the licences are what cargo reads off the manifests, so
//! nothing has to be installed for this.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::shell;

/// A dependency is under one of these, or under a choice that one of these is part of.
const LICENCES: &[&str] = &[
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

const SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// A package that is not wanted, those that may depend on it all the same, and why.
struct Ban {
    package: &'static str,
    wrappers: &'static [&'static str],
    reason: &'static str,
}

const RUST_ONLY: &str = "the build needs a Rust toolchain and nothing else";

const BANS: &[Ban] = &[
    Ban { package: "openssl-sys", wrappers: &[], reason: RUST_ONLY },
    Ban { package: "cmake", wrappers: &[], reason: RUST_ONLY },
    Ban {
        package: "prost-build",
        wrappers: &[],
        reason: "the generated file is checked in; no protoc in the build",
    },
    Ban {
        package: "parking_lot",
        wrappers: &["loom", "shuttle", "stateright"],
        reason: "locks come through anabranch-sync, so that loom and shuttle see them",
    },
];

/// Checks what the workspace depends on.
///
/// # Errors
/// Every dependency that is not acceptable, with the reason.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let mut tree = shell::cargo(root);
    tree.args(["tree", "--workspace", "--all-features", "--target", "all", "--locked"]);
    tree.args(["--edges", "normal,build,dev", "--prefix", "none", "--format", "{p}|{l}"]);
    let output = shell::capture(&mut tree)?;
    if !output.success {
        return Err(format!("{}:\n{}", shell::describe(&tree), output.stderr));
    }
    let licensed: BTreeSet<_> = output.stdout.lines().filter_map(licensed).collect();
    let read =
        |path: &Path| fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()));
    let lock = read(&root.join("Cargo.lock"))?;
    let locked: Vec<_> = lock.split("[[package]]\n").skip(1).map(Locked::parse).collect();
    let mut faults: Vec<_> = licensed.iter().filter_map(licence).collect();
    faults.extend(locked.iter().filter_map(source));
    faults.extend(locked.iter().flat_map(|package| bans(package, &locked)));
    let crates = fs::read_dir(root.join("crates")).map_err(|e| format!("crates: {e}"))?;
    let mut members: Vec<_> = crates.flatten().map(|entry| entry.path()).collect();
    members.extend(["", "verify", "xtask"].map(|folder| root.join(folder)));
    for manifest in members.iter().map(|member| member.join("Cargo.toml")) {
        faults.extend(wildcards(&manifest, &read(&manifest)?));
    }
    println!("{} packages locked, {} licences read", locked.len(), licensed.len());
    if licensed.is_empty() || locked.is_empty() {
        return Err("nothing is locked, so nothing was checked".into());
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

/// Package and licence of a line like "libc v0.2.186|MIT OR Apache-2.0 (*)"; the mark is on what
/// was printed before.
fn licensed(line: &str) -> Option<(&str, &str)> {
    let (package, licence) = line.trim_end_matches(" (*)").split_once('|')?;
    Some((package, licence))
}

fn licence((package, licence): &(&str, &str)) -> Option<String> {
    let words = licence.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words: Vec<&str> = words.split_whitespace().rev().collect();
    let accepted = any(&mut words).filter(|_| words.is_empty());
    (accepted != Some(true)).then(|| {
        format!("{package}: the licence \"{licence}\" is not among {}", LICENCES.join(", "))
    })
}

/// An expression of SPDX, whose words stand in reverse. No answer if it is none.
fn any(words: &mut Vec<&str>) -> Option<bool> {
    let mut accepted = all(words)?;
    while words.last() == Some(&"OR") {
        words.pop();
        accepted |= all(words)?;
    }
    Some(accepted)
}

fn all(words: &mut Vec<&str>) -> Option<bool> {
    let mut accepted = one(words)?;
    while words.last() == Some(&"AND") {
        words.pop();
        accepted &= one(words)?;
    }
    Some(accepted)
}

fn one(words: &mut Vec<&str>) -> Option<bool> {
    let word = words.pop()?;
    if word == "(" {
        let accepted = any(words)?;
        return (words.pop() == Some(")")).then_some(accepted);
    }
    if words.last() == Some(&"WITH") {
        words.pop();
        let name = format!("{word} WITH {}", words.pop()?);
        return Some(LICENCES.contains(&name.as_str()));
    }
    Some(LICENCES.contains(&word))
}

/// One package of `Cargo.lock`.
struct Locked<'a> {
    name: &'a str,
    /// None for a member of the workspace.
    source: Option<&'a str>,
    dependencies: Vec<&'a str>,
}

impl<'a> Locked<'a> {
    fn parse(text: &'a str) -> Self {
        let value = |key: &str| {
            let mut lines = text.lines().filter_map(|line| line.strip_prefix(key));
            lines.find_map(|value| value.strip_prefix(" = \"")?.strip_suffix('"'))
        };
        // A version behind the name tells two of one name apart.
        let dependency = |line: &'a str| line.strip_prefix(" \"")?.split([' ', '"']).next();
        let dependencies = text.lines().filter_map(dependency).collect();
        Self { name: value("name").unwrap_or_default(), source: value("source"), dependencies }
    }
}

fn source(package: &Locked<'_>) -> Option<String> {
    let source = package.source.filter(|source| *source != SOURCE)?;
    Some(format!("{}: comes from {source}, not from crates.io", package.name))
}

fn bans(package: &Locked<'_>, locked: &[Locked<'_>]) -> Vec<String> {
    let Some(ban) = BANS.iter().find(|ban| ban.package == package.name) else {
        return Vec::new();
    };
    let users = locked.iter().filter(|user| user.dependencies.contains(&ban.package));
    let users = users.filter(|user| !ban.wrappers.contains(&user.name));
    users.map(|user| format!("{} depends on {}: {}", user.name, ban.package, ban.reason)).collect()
}

fn wildcards(manifest: &Path, text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| line.contains("= \"*\""));
    lines.map(|line| format!("{}: any version will do: {line}", manifest.display())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_depends_on_what_is_acceptable() {
        assert_eq!(run(&crate::root()), Ok(()));
    }

    #[test]
    fn licences_are_expressions() {
        let refused = |text: &str| licence(&("a v1", text)).is_some();
        for text in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
            "MIT AND (GPL-3.0 OR ISC)",
        ] {
            assert!(!refused(text), "{text}");
        }
        for text in [
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "GPL-3.0 OR MIT AND GPL-2.0",
            "MIT WITH LLVM-exception",
            "(MIT",
            "MIT Apache-2.0",
            "MIT OR",
        ] {
            assert!(refused(text), "{text}");
        }
        assert_eq!(licensed("a v1|MIT (*)"), Some(("a v1", "MIT")));
        assert_eq!(licensed("a v1 (/path)|"), Some(("a v1 (/path)", "")));
        assert_eq!(licensed(""), None);
    }

    #[test]
    fn what_is_locked_is_judged() {
        let lock = [
            "name = \"parking_lot\"\nversion = \"1\"\nsource = \"git+https://x\"\n",
            "name = \"loom\"\ndependencies = [\n \"parking_lot\",\n]\n",
            "name = \"other\"\ndependencies = [\n \"parking_lot 0.12.1\",\n]\n",
            "name = \"cmake\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n",
        ];
        let locked: Vec<_> = lock.iter().map(|text| Locked::parse(text)).collect();
        let sources: Vec<_> = locked.iter().filter_map(source).collect();
        assert_eq!(sources, ["parking_lot: comes from git+https://x, not from crates.io"]);
        let banned: Vec<_> = locked.iter().flat_map(|package| bans(package, &locked)).collect();
        assert_eq!(banned.len(), 1, "{banned:?}");
        assert!(banned[0].starts_with("other depends on parking_lot: locks come through"));
        let manifest = "b = \"1\"\nc = \"*\"\nd = { version = \"*\" }\n";
        assert_eq!(wildcards(Path::new("Cargo.toml"), manifest).len(), 2);
    }
}
