//! Licences, bans and sources of everything that the workspace depends on, on every platform.
//!
//! The rules are those of `deny.toml`, which `cargo deny` reads as well. What is locked is in
//! `Cargo.lock`, and the licences are what cargo reads off the manifests, so nothing has to be
//! installed for this. A table or key of the rules that is not known here is an error.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use spdx::{Expression, LicenseReq, ParseMode};

use crate::shell;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

/// A dependency is under one of these, or under a choice that one of these is part of.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bans {
    wildcards: Deny,
    #[serde(rename = "allow-wildcard-paths")]
    _wildcard_paths: bool,
    deny: Vec<Ban>,
}

/// A package that is not wanted, those that may depend on it all the same, and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ban {
    #[serde(rename = "crate")]
    package: String,
    #[serde(default)]
    wrappers: Vec<String>,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Sources {
    unknown_registry: Deny,
    unknown_git: Deny,
    allow_registry: Vec<String>,
}

/// The only level there is: what is told is fatal.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Deny {
    Deny,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

/// One package of `Cargo.lock`.
#[derive(Deserialize)]
struct Locked {
    name: String,
    /// None for a member of the workspace.
    source: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

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
    let rules: Rules = read(&root.join("deny.toml"))?;
    let Lock { package: locked } = read(&root.join("Cargo.lock"))?;
    let mut faults: Vec<_> =
        licensed.iter().filter_map(|package| licence(package, &rules.licenses.allow)).collect();
    faults.extend(locked.iter().filter_map(|package| source(package, &rules.sources)));
    faults.extend(rules.bans.deny.iter().flat_map(|ban| users(ban, &locked)));
    let Deny::Deny = rules.bans.wildcards;
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

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}

/// Package and licence of a line like "libc v0.2.186|MIT OR Apache-2.0 (*)"; the mark is on what
/// was printed before.
fn licensed(line: &str) -> Option<(&str, &str)> {
    let (package, licence) = line.trim_end_matches(" (*)").split_once('|')?;
    Some((package, licence))
}

fn licence((package, licence): &(&str, &str), allowed: &[String]) -> Option<String> {
    let is_allowed = |asked: &LicenseReq| allowed.contains(&asked.to_string());
    let expression = Expression::parse_mode(licence, ParseMode::LAX);
    let accepted = expression
        .is_ok_and(|expression| expression.evaluate(|asked: &LicenseReq| is_allowed(asked)));
    (!accepted).then(|| {
        format!("{package}: the licence \"{licence}\" is not among {}", allowed.join(", "))
    })
}

fn source(package: &Locked, rules: &Sources) -> Option<String> {
    let Sources { unknown_registry: Deny::Deny, unknown_git: Deny::Deny, allow_registry } = rules;
    let source = package.source.as_deref()?;
    let registry = source.strip_prefix("registry+");
    let known = registry.is_some_and(|registry| allow_registry.iter().any(|url| url == registry));
    (!known).then(|| format!("{}: comes from {source}, which is not allowed", package.name))
}

/// Those who depend on what is banned.
fn users(ban: &Ban, locked: &[Locked]) -> Vec<String> {
    // A version behind the name tells two of one name apart.
    let names = |dependency: &String| dependency.split(' ').next() == Some(&ban.package);
    let users = locked.iter().filter(|user| user.dependencies.iter().any(names));
    let users = users.filter(|user| !ban.wrappers.contains(&user.name));
    users.map(|user| format!("{} depends on {}: {}", user.name, ban.package, ban.reason)).collect()
}

/// Every requirement that any version meets, wherever it stands in a manifest.
fn wildcards(manifest: &Path, table: &toml::Table) -> Vec<String> {
    let found = table.iter().flat_map(|(name, value)| match value {
        toml::Value::String(version) if version == "*" => {
            vec![format!("{}: any version of {name} will do", manifest.display())]
        }
        toml::Value::Table(inner) => wildcards(manifest, inner),
        _ => Vec::new(),
    });
    found.collect()
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
        let allowed = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "ISC", "Unicode-3.0"];
        let allowed = allowed.map(str::to_owned);
        let refused = |text: &str| licence(&("a v1", text), &allowed).is_some();
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
        let lock = r#"
            [[package]]
            name = "parking_lot"
            source = "git+https://x"
            [[package]]
            name = "loom"
            dependencies = ["parking_lot"]
            [[package]]
            name = "other"
            source = "registry+https://github.com/rust-lang/crates.io-index"
            dependencies = ["parking_lot 0.12.1"]
        "#;
        let Lock { package: locked } = toml::from_str(lock).unwrap();
        let rules: Rules = read(&crate::root().join("deny.toml")).unwrap();
        let sources: Vec<_> =
            locked.iter().filter_map(|package| source(package, &rules.sources)).collect();
        assert_eq!(sources, ["parking_lot: comes from git+https://x, which is not allowed"]);
        let banned: Vec<_> = rules.bans.deny.iter().flat_map(|ban| users(ban, &locked)).collect();
        assert_eq!(banned.len(), 1, "{banned:?}");
        assert!(banned[0].starts_with("other depends on parking_lot: locks come through"));
        let manifest = "[dependencies]\nb = \"1\"\nc = \"*\"\nd = { version = \"*\" }\n";
        let manifest = toml::from_str(manifest).unwrap();
        assert_eq!(wildcards(Path::new("Cargo.toml"), &manifest).len(), 2);
    }

    #[test]
    fn a_rule_that_nobody_keeps_is_refused() {
        let rules = fs::read_to_string(crate::root().join("deny.toml")).unwrap();
        assert!(toml::from_str::<Rules>(&rules).is_ok());
        let other = rules.replace("[sources]", "[sources]\nrequired-git-spec = \"rev\"");
        assert!(toml::from_str::<Rules>(&other).is_err());
        let lenient = rules.replace("unknown-git = \"deny\"", "unknown-git = \"warn\"");
        assert!(toml::from_str::<Rules>(&lenient).is_err());
    }
}
