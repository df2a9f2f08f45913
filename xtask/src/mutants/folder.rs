//! All the mutants, and whether they are up to date.

use std::fs;
use std::path::Path;

use super::patch::Patch;

const FOLDER: &str = "verify/mutants";

/// Every patch of `verify/mutants`, by name.
///
/// # Errors
/// All patches whose header is incomplete or that do not apply to the tree, each with what to do.
pub(super) fn load(root: &Path) -> Result<Vec<Patch>, String> {
    let folder = root.join(FOLDER);
    let entries = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut patches = Vec::new();
    let mut faults = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| format!("{}: {e}", folder.display()))?.path();
        if path.extension().is_none_or(|end| end != "patch") {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        match Patch::parse(name.clone(), path, &text) {
            Ok(patch) => {
                if let Err(said) = patch.apply(root, &["--check"]) {
                    faults.push(format!(
                        "{said}  the code that it breaks has changed: plant the defect in it again; \
                         drop the patch if the defect has become impossible"
                    ));
                }
                patches.push(patch);
            }
            Err(lacks) => faults
                .push(format!("{name}: {lacks}\n  complete the header; CONTRIBUTING.md shows one")),
        }
    }
    patches.sort_by(|a, b| a.name.cmp(&b.name));
    faults.sort();
    match faults.as_slice() {
        [] => Ok(patches),
        faults => {
            Err(format!("{} stale mutants in {FOLDER}:\n{}", faults.len(), faults.join("\n")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_applies_and_has_a_complete_header() {
        match load(&crate::root()) {
            Ok(patches) => assert!(!patches.is_empty()),
            Err(stale) => panic!("{stale}"),
        }
    }

    #[test]
    fn all_stale_mutants_are_told_at_once() {
        let root = std::env::temp_dir().join(format!("mutants-{}", std::process::id()));
        let plant = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let header = "# property: A\n# run: b\n# killed-by: loom\n# survives: none\n";
        let patch = |from: &str| format!("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-{from}\n+other\n");
        plant("x", "one\n");
        plant("verify/mutants/good.patch", &format!("{header}{}", patch("one")));
        plant("verify/mutants/readme.txt", "no patch");
        let good = load(&root).map(|patches| patches.len());
        plant("verify/mutants/moved.patch", &format!("{header}{}", patch("two")));
        plant("verify/mutants/bare.patch", &patch("one"));
        let stale = load(&root).map(|patches| patches.len());
        let kept = fs::read_to_string(root.join("x")).unwrap();
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(good, Ok(1));
        let stale = stale.unwrap_err();
        assert!(stale.starts_with("2 stale mutants"), "{stale}");
        assert!(stale.contains("\nbare: no line \"# property: ...\"; no line"), "{stale}");
        assert!(stale.contains("\nmoved: error: patch failed: x:1"), "{stale}");
        assert_eq!(kept, "one\n", "a look changes nothing");
    }
}
