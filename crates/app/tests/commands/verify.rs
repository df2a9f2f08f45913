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
fn the_history_of_every_device_is_replayed() {
    let arguments = ["--model", "mlp", "--json", "--device", "cpu:0,sim:0"];
    let report = anabranch(&[&BRIEFLY[..], &arguments].concat()).json();
    assert_eq!(report["result"], "pass", "{report}");
    let machine = report["machine"].as_str().unwrap();
    assert!(machine.contains("cpu:0") && machine.contains("sim:0"), "{machine}");
    for attempt in report["attempts"].as_array().unwrap() {
        let transitions = attempt["transitions_by_device"].as_array().unwrap();
        let transitions: Vec<u64> = transitions.iter().map(|t| t.as_u64().unwrap()).collect();
        assert!(transitions.len() == 2 && transitions.iter().all(|&t| 0 < t), "{attempt}");
        assert_eq!(attempt["transitions"], transitions.iter().sum::<u64>());
    }
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
