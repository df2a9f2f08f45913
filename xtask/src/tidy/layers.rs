//! Which crate may depend on which.

use super::Finding;
use super::tree::{File, Tree};

/// One row for each package: its manifest, its name, and the workspace crates it may use.
const LAYERS: &[(&str, &str, &[&str])] = &[
    ("crates/sync/Cargo.toml", "anabranch-sync", &[]),
    ("crates/hal/Cargo.toml", "anabranch-hal", &["anabranch-sync"]),
    ("crates/rt/Cargo.toml", "anabranch-rt", &["anabranch-sync", "anabranch-hal"]),
    ("crates/nn/Cargo.toml", "anabranch-nn", &["anabranch-sync", "anabranch-hal", "anabranch-rt"]),
    (
        "crates/app/Cargo.toml",
        "anabranch",
        &["anabranch-sync", "anabranch-hal", "anabranch-rt", "anabranch-nn"],
    ),
    (
        "verify/Cargo.toml",
        "verify",
        &["anabranch-sync", "anabranch-hal", "anabranch-rt", "anabranch-nn", "anabranch"],
    ),
    ("xtask/Cargo.toml", "xtask", &[]),
];

/// Every edge between workspace crates is in the table, and no crate is missing from it.
pub(super) fn dependencies(tree: &Tree) -> Vec<Finding> {
    let is_manifest =
        |file: &&File| file.path.ends_with("/Cargo.toml") && !file.path.starts_with("fuzz/");
    tree.files.iter().filter(is_manifest).flat_map(edges_outside).collect()
}

fn edges_outside(file: &File) -> Vec<Finding> {
    let Some((_, _, layers_below)) = LAYERS.iter().find(|(path, ..)| *path == file.path) else {
        let what = "a package that is not in the table of layers";
        return vec![file.finding(1, what, "give it a row in xtask/src/tidy/layers.rs")];
    };
    let is_ours = |name: &str| LAYERS.iter().any(|(_, package, _)| *package == name);
    dependency_names(&file.text)
        .into_iter()
        .filter(|(_, name)| is_ours(name) && !layers_below.contains(&name.as_str()))
        .map(|(line, name)| {
            file.finding(
                line,
                format!("a dependency on {name}, which is not below this crate"),
                "move the code down, or pass what is needed through the layer between",
            )
        })
        .collect()
}

/// The names under every `dependencies` table, of any kind and target, with their lines. A
/// renamed dependency counts under the package that it names.
fn dependency_names(manifest: &str) -> Vec<(usize, String)> {
    let mut names = Vec::new();
    let mut in_table = false;
    for (index, line) in manifest.lines().map(str::trim).enumerate() {
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_end_matches(']');
            in_table = header.ends_with("dependencies");
            // `[dependencies.name]` is a table of its own.
            if let Some((_, name)) = header.rsplit_once("dependencies.") {
                names.push((index + 1, name.trim_matches('"').to_owned()));
            }
        } else if in_table && let Some((key, value)) = line.split_once('=') {
            let key = key.trim().split('.').next().unwrap_or_default().trim_matches('"');
            let renamed = value.split_once("package").and_then(|(_, rest)| rest.split('"').nth(1));
            names.push((index + 1, renamed.unwrap_or(key).to_owned()));
        }
    }
    names
}
