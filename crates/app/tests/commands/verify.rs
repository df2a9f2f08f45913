//! `verify`: what a user can check without a compiler.

use super::support::anabranch;

const BRIEFLY: [&str; 5] = ["verify", "--seconds", "0.05", "--threads", "3"];

#[test]
fn every_pass_is_compared_and_every_transition_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.md");
    let mut arguments = BRIEFLY.to_vec();
    arguments.extend(["--report", path.to_str().unwrap(), "--json"]);
    let report = anabranch(&arguments).json();
    assert_eq!(report["result"], "pass", "{report}");
    let attempts = report["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 6);
    for attempt in attempts {
        let count = |key: &str| attempt[key].as_u64().unwrap();
        assert!(0 < count("passes") && count("mismatches") + count("errors") == 0, "{attempt}");
        assert!(count("passes") < count("transitions"), "{attempt}");
        let disturbed = attempt["method"].as_str().unwrap().contains("fail");
        assert_eq!(disturbed, 0 < count("failures_told"), "{attempt}");
    }
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("result: **pass**") && text.contains("SO-1 StreamFIFO"), "{text}");
    let data = std::fs::read_to_string(path.with_extension("json")).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&data).unwrap(), report);
}

#[test]
fn what_cannot_be_verified_leaves_no_report() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.md");
    let other = path.with_extension("json");
    for (model, report) in [("missing.onnx", &path), ("mlp", &other)] {
        let mut arguments = BRIEFLY.to_vec();
        arguments.extend(["--model", model, "--report", report.to_str().unwrap()]);
        let said = anabranch(&arguments);
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{}", said.err);
        assert!(said.err.contains("missing.onnx") || said.err.contains("report.json"));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    }
}
