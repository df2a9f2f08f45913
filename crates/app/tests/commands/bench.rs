use std::fs;

use anabranch::Tensor;
use tempfile::tempdir;

use crate::support::{anabranch, digits, keys, read, write};

#[test]
fn operations_have_figures() {
    let said = anabranch(&["bench", "ops", "--seconds", "0.002"]).clean();
    let operations =
        ["submit", "record", "wait", "query stream", "synchronize all", "lease", "allocate"];
    for operation in operations {
        assert!(said.contains(operation), "{operation}: {said}");
    }
    let json = anabranch(&["bench", "ops", "--seconds", "0.002", "--json"]).json();
    for figure in json.as_array().unwrap() {
        assert!(0 < figure["samples"].as_u64().unwrap(), "{figure}");
        assert!(figure["p50_ns"].as_f64().unwrap() <= figure["p99_ns"].as_f64().unwrap());
    }
    let of =
        |threads: u64| json.as_array().unwrap().iter().filter(move |f| f["threads"] == threads);
    assert_eq!(of(1).count(), of(8).count());
}

#[test]
fn a_device_that_cannot_be_kept_busy_is_measured_idle() {
    for device in ["null:0", "sim:0"] {
        let arguments = ["bench", "ops", "--seconds", "0.002", "--device", device, "--json"];
        let json = anabranch(&arguments).json();
        assert!(json.as_array().unwrap().iter().any(|figure| figure["operation"] == "submit"));
    }
}

#[test]
fn models_have_figures() {
    let mut arguments = vec!["bench", "model", "conv-bn", "--threads", "1,3", "--seconds", "0.02"];
    let said = anabranch(&arguments).clean();
    assert!(said.contains("passes/s") && said.lines().count() == 3, "{said}");
    let model = digits("conv-bn.onnx");
    arguments[2] = &model;
    arguments.extend(["--batch", "4", "--json"]);
    let json = anabranch(&arguments).json();
    assert!(json[0]["devices"].is_null(), "one device has no shares: {json}");
    for (row, threads) in json.as_array().unwrap().iter().zip([1, 3]) {
        assert_eq!(row["threads"], threads);
        assert!(0 < row["passes"].as_u64().unwrap());
        assert_eq!((&row["errors"], &row["mismatches"]), (&0.into(), &0.into()));
    }
}

#[test]
fn limits_have_figures() {
    let said = anabranch(&["bench", "limits", "--seconds", "0.002"]).clean();
    assert!(said.contains("GFLOP/s") && said.contains("read 8.0 MiB, GB/s"), "{said}");
    let json = anabranch(&["bench", "limits", "--seconds", "0.002", "--json"]).json();
    for limit in json.as_array().unwrap() {
        assert!(0.0 < limit["gflops"].as_f64().unwrap(), "{limit}");
        let reads = limit["reads"].as_array().unwrap();
        assert!(reads.iter().all(|read| 0.0 < read["gb_per_s"].as_f64().unwrap()), "{limit}");
    }
}

#[test]
fn devices_share_a_model() {
    let mut arguments = vec!["bench", "model", "mlp", "--device", "cpu:0,null:0"];
    arguments.extend(["--threads", "4", "--seconds", "0.05"]);
    assert!(anabranch(&arguments).clean().contains("4 threads, passes by device: cpu:0 "));
    arguments.push("--json");
    let row = &anabranch(&arguments).json()[0];
    assert_eq!((&row["errors"], &row["mismatches"]), (&0.into(), &0.into()), "{row}");
    let shares = row["devices"].as_array().unwrap();
    let passes = shares.iter().map(|share| share["passes"].as_u64().unwrap());
    assert!(passes.clone().all(|passes| 0 < passes), "{row}");
    assert_eq!(row["passes"], passes.sum::<u64>());
}

#[test]
fn peers_are_compared_by_protocol() {
    let folder = tempdir().unwrap();
    let at = folder.path();
    fs::copy(digits("conv-bn.onnx"), at.join("model.onnx")).unwrap();
    let (images, logits) = (read(digits("images.npy")), read(digits("conv-bn-logits.npy")));
    for case in 0..8 {
        let rows = case * 4..case * 4 + 4;
        write(at, &format!("input_{case}.npy"), &images.rows(rows.clone()).unwrap());
        let logits = logits.rows(rows).unwrap();
        #[expect(clippy::cast_possible_truncation, reason = "peers return f32")]
        let single = logits.as_f64().unwrap().iter().map(|&x| x as f32).collect();
        write(at, &format!("output_{case}.npy"), &Tensor::from_f32(&[4, 10], single).unwrap());
    }
    let dir = at.display().to_string();
    let mut arguments = vec!["bench", "peer", "--peer", "ours", "--dir", &dir];
    arguments.extend(["--threads", "1,2", "--passes", "30", "--cap", "60", "--repeats", "2"]);
    arguments.extend(["--retry", "0", "--other-max", "0.1"]);
    let said = anabranch(&arguments).clean();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 4, "{said}");
    for line in lines {
        let expected = "peer model threads rep passes wall_s pps p50_ms p99_ms errors \
                        max_abs_err rss_mb first_ms cpu_cores other_cores steal";
        assert_eq!(keys(line).join(" "), expected);
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((&row["errors"], &row["passes"]), (&0.into(), &30.into()), "{line}");
        assert!(row["max_abs_err"].as_f64().unwrap() < 1e-4, "{line}");
    }
}
