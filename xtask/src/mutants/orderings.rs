//! Weakens each memory ordering of the shipped code and expects a test on loom to notice.
//!
//! A patch in `verify/mutants` is chosen; these are not: every acquire and release in
//! [`FOLDERS`], one at a time, with nothing left out. What each of them is worth is written down
//! in [`FILE`]: `killed`, or the reason why the tests of its crate cannot tell. A site without a
//! verdict fails a test of this package, and so does a verdict without a site.

mod site;
mod verdicts;

use std::fs;
use std::path::Path;

use super::lane::{Lane, Verdict};
use crate::shell::Engine;
use crate::tidy::lexer;
use site::Site;
use verdicts::Expected;

/// Where orderings are weakened: what is concurrent and runs on loom.
const FOLDERS: &[&str] = &["crates/rt/src", "crates/sync/src"];
/// What they are worth.
const FILE: &str = "verify/orderings.txt";

/// Weakens the orderings whose files or functions contain one of `filters`, or all of them.
///
/// # Errors
/// The verdicts that differ from those written down; before any is run, the sites without one.
pub(crate) fn run(root: &Path, filters: &[String]) -> Result<(), String> {
    let expected = read(root)?;
    let sites = sites(root)?;
    let found = differences(&sites, &expected);
    if !found.is_empty() {
        return Err(found.join("\n"));
    }
    let wanted = |site: &&Site| {
        let name = site.to_string();
        filters.is_empty() || filters.iter().any(|filter| name.contains(filter))
    };
    let lane = Lane::open(root, Engine::Loom, Engine::Loom.name())?;
    let mut wrong = Vec::new();
    for site in sites.iter().filter(wanted) {
        let path = lane.tree.join(&site.path);
        let whole = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let write = |text: &str| fs::write(&path, text).map_err(|e| format!("{path:?}: {e}"));
        write(&site.weaken(&whole))?;
        let mut examined = lane.examine(&checks(&site.path, true));
        if matches!(examined, Ok((Verdict::Survived, ..))) {
            examined = lane.examine(&checks(&site.path, false));
        }
        write(&whole)?;
        let (verdict, took, said) = examined?;
        println!("{:9} {site} ({:.1} s)", verdict.word(), took.as_secs_f64());
        if verdict == Verdict::Unbuilt {
            println!("{said}");
        }
        match expected.iter().find(|(known, _)| known == &site.key()) {
            Some((_, Expected::Killed)) if verdict.is_noticed() => {}
            Some((_, Expected::Survives)) if verdict == Verdict::Survived => {}
            known => wrong.push(format!("{site}: {}, but {FILE} has {known:?}", verdict.word())),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// The tests of the module on loom, which are the likeliest to notice, or those of its crate. The
/// searches of specifications are none of loom's.
fn checks(path: &str, own: bool) -> Vec<String> {
    let mut parts = path.split('/').skip(1);
    let (package, module) = (parts.next().unwrap_or_default(), parts.nth(1).unwrap_or_default());
    let module = if own { module.trim_end_matches(".rs") } else { "" };
    let checks = format!("-p anabranch-{package} --lib -- {module}:: --skip ::spec");
    checks.split(' ').map(str::to_owned).collect()
}

fn read(root: &Path) -> Result<Vec<(String, Expected)>, String> {
    let text = fs::read_to_string(root.join(FILE)).map_err(|e| format!("{FILE}: {e}"))?;
    verdicts::parse(&text)
}

/// Every weakening there is, in the order of the files.
fn sites(root: &Path) -> Result<Vec<Site>, String> {
    let mut paths = Vec::new();
    for folder in FOLDERS {
        sources(&root.join(folder), &mut paths)?;
    }
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let short = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        all.extend(site::find(&short, &text, &lexer::views(&text).code));
    }
    Ok(all)
}

/// The files that ship: neither tests nor specifications.
fn sources(folder: &Path, found: &mut Vec<std::path::PathBuf>) -> Result<(), String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    for entry in entries {
        let path = entry.map_err(|e| format!("{}: {e}", folder.display()))?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if stem == "tests" || stem == "spec" {
            continue;
        }
        if path.is_dir() {
            sources(&path, found)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// What differs between the sites and the verdicts.
fn differences(sites: &[Site], expected: &[(String, Expected)]) -> Vec<String> {
    let mut found = Vec::new();
    for site in sites {
        let count = expected.iter().filter(|(key, _)| key == &site.key()).count();
        if count != 1 {
            let key = site.key();
            found.push(format!("{FILE} has {count} verdicts on this, instead of one:\n{key}"));
        }
        if 1 < sites.iter().filter(|other| other.key() == site.key()).count() {
            found.push(format!("two sites read the same:\n{}", site.key()));
        }
    }
    let is_site = |key: &String| sites.iter().any(|site| &site.key() == key);
    let gone = expected.iter().filter(|(key, _)| !is_site(key));
    found.extend(gone.map(|(key, _)| format!("{FILE} speaks of what is not there:\n{key}")));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ordering_has_one_verdict() {
        let root = crate::root();
        let found = differences(&sites(&root).unwrap(), &read(&root).unwrap());
        assert!(found.is_empty(), "{}", found.join("\n"));
    }

    #[test]
    fn the_own_tests_come_first() {
        let checks = |own| checks("crates/rt/src/memory/usage.rs", own).join(" ");
        assert_eq!(checks(true), "-p anabranch-rt --lib -- memory:: --skip ::spec");
        assert_eq!(checks(false), "-p anabranch-rt --lib -- :: --skip ::spec");
    }

    #[test]
    fn a_site_without_a_verdict_and_a_verdict_without_a_site_are_found() {
        let of = |text: &str| site::find("a.rs", text, text);
        let sites = of("fn f() {\n    x.load(Ordering::Acquire);\n}\n");
        let verdict = |key: &str| (key.to_owned(), Expected::Killed);
        let key = sites[0].key();
        assert_eq!(differences(&sites, &[verdict(&key)]), [""; 0]);
        assert!(differences(&sites, &[])[0].contains("0 verdicts"));
        assert!(differences(&sites, &[verdict(&key), verdict(&key)])[0].contains("2 verdicts"));
        assert!(differences(&[], &[verdict(&key)])[0].contains("not there"));
        let twice = "x.load(Ordering::Acquire);\nx.load(Ordering::Acquire);\n";
        let twice = of(&format!("fn f() {{\n{twice}}}\n"));
        assert!(differences(&twice, &[verdict(&twice[0].key())])[0].contains("read the same"));
    }
}
