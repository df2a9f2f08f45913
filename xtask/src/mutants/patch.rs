//! The header of a mutant.

use std::path::PathBuf;

use crate::shell::Engine;

/// A patch with what its header says.
#[derive(Debug)]
pub(super) struct Patch {
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// The invariant that the patch breaks.
    pub(super) property: String,
    /// The engines on which the check fails.
    pub(super) killed_by: Vec<Engine>,
    /// The engines on which it does not, and why.
    pub(super) survives: String,
    /// The arguments of `cargo test`.
    pub(super) run: Vec<String>,
}

impl Patch {
    pub(super) fn parse(name: String, path: PathBuf, text: &str) -> Result<Self, String> {
        let value = |key: &str| {
            let prefix = format!("# {key}:");
            let header = text.lines().take_while(|line| line.starts_with('#'));
            header.filter_map(|line| line.strip_prefix(&prefix)).map(str::trim).next()
        };
        let required = |key: &str| {
            let missing = || format!("{}: no line \"# {key}: ...\"", path.display());
            value(key).filter(|value| !value.is_empty()).ok_or_else(missing)
        };
        let engine = |name: &str| {
            let unknown = || format!("{}: no engine is called \"{name}\"", path.display());
            Engine::parse(name).ok_or_else(unknown)
        };
        let property = required("property")?.to_owned();
        let killed_by = required("killed-by")?.split(',').map(str::trim).map(engine);
        let killed_by = killed_by.collect::<Result<_, _>>()?;
        let run = required("run")?.split_whitespace().map(str::to_owned).collect();
        let survives = value("survives").unwrap_or_default().to_owned();
        Ok(Self { name, path, property, killed_by, survives, run })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Patch, String> {
        Patch::parse("m".into(), "m.patch".into(), text)
    }

    #[test]
    fn a_header_is_read() {
        let text = "# property: A\n# run: -p b --lib c::\n# killed-by: loom, native\n\
                    # survives: shuttle (why)\n--- a/x\n# property: B\n";
        let patch = parse(text).unwrap();
        assert_eq!((patch.property.as_str(), patch.survives.as_str()), ("A", "shuttle (why)"));
        assert_eq!(patch.killed_by, [Engine::Loom, Engine::Native]);
        assert_eq!(patch.run, ["-p", "b", "--lib", "c::"]);
    }

    #[test]
    fn a_wrong_header_is_refused() {
        let error = |text| parse(text).unwrap_err();
        assert!(error("--- a/x\n").contains("# property:"));
        assert!(error("# property: A\n# killed-by:\n").contains("# killed-by:"));
        assert!(error("# property: A\n# killed-by: miri\n").contains("\"miri\""));
        assert!(error("# property: A\n# killed-by: loom\n").contains("# run:"));
    }
}
