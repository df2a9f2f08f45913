use std::collections::{HashMap, HashSet};

use serde_json::Value;
use tempfile::tempdir;

use crate::support::{anabranch, digits, list};

/// Every slice lies on a row with a name, rows do not overlap themselves, arrows have two ends.
fn check(trace: &Value) -> usize {
    assert_eq!(trace["otherData"]["dropped_records"], 0);
    let events = trace["traceEvents"].as_array().unwrap();
    let mut named = HashSet::new();
    let mut last_end: HashMap<u64, f64> = HashMap::new();
    let mut flows: HashMap<u64, Vec<&str>> = HashMap::new();
    let mut slices = 0;
    for event in events {
        let row = event["tid"].as_u64().unwrap();
        match event["ph"].as_str().unwrap() {
            "M" if event["name"] == "thread_name" => assert!(named.insert(row), "{event}"),
            "M" => {}
            "X" => {
                slices += 1;
                let (start, length) =
                    (event["ts"].as_f64().unwrap(), event["dur"].as_f64().unwrap());
                assert!(named.contains(&row) && 0.0 <= length, "{event}");
                let before = last_end.insert(row, start + length).unwrap_or(0.0);
                assert!(before <= start + 1e-3, "{event} overlaps its predecessor");
            }
            end @ ("s" | "f") => flows.entry(event["id"].as_u64().unwrap()).or_default().push(end),
            other => panic!("an event of kind {other}"),
        }
    }
    assert!(flows.values().all(|ends| *ends == ["s", "f"]), "{flows:?}");
    slices
}

#[test]
fn run_writes_a_trace() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("trace.json").display().to_string();
    let (model, images) = (digits("conv-bn.onnx"), digits("images.npy"));
    let mut arguments = vec!["run", &model, "--input", &images, "--trace", &path];
    arguments.extend(["--passes", "300", "--threads", "3"]);
    anabranch(&arguments).clean();
    let trace = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(300 <= check(&trace), "there is a slice for each pass at least");
    assert_eq!(list(folder.path()), ["trace.json"]);
}

#[test]
fn stress_writes_a_trace() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("trace.json").display().to_string();
    anabranch(&["stress", "--ops", "20", "--trace", &path]).clean();
    let trace = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(40 <= check(&trace));
}
