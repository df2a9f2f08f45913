use serde_json::Value;

use crate::support::{anabranch, keys};

const KEYS: [&str; 9] =
    ["workload", "threads", "ops", "ok", "errors", "mismatches", "seconds", "passes_per_s", "seed"];

/// Keys behind those, and behind what a soak adds.
const LAST_KEYS: [&str; 3] = ["sessions", "cancelled", "failures"];

#[test]
fn the_founding_rounds() {
    for threads in ["1", "4", "16"] {
        let said = anabranch(&["stress", "--threads", threads, "--ops", "12"]).clean();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), 2, "{said}");
        let ends = [
            "s, errors=0, mismatches=0  (Conv2d 3→64, BN, ReLU, Conv2d 64→128, BN, ReLU, \
             AdaptiveAvgPool2d, Linear 128→10; input 4×3×32×32; seed 1)",
            "s, errors=0, mismatches=0  (Conv2d 3→32, InstanceNorm2d affine, ReLU, \
             Conv2d 32→64, BatchNorm2d, ReLU, AdaptiveAvgPool2d, Linear 64→10; \
             input 4×3×32×32; seed 1)",
        ];
        for ((line, title), end) in
            lines.iter().zip(["Conv+BN", "InstanceNorm+BatchNorm"]).zip(ends)
        {
            let rest = line.strip_prefix(&format!("{title}: 12/12 in ")).expect(line);
            let seconds = rest.strip_suffix(end).expect(line);
            assert!(seconds.parse::<f64>().is_ok(), "{line}");
        }
    }
}

/// The objects of a round, all of whose passes were right or cancelled.
#[track_caller]
fn rows(arguments: &[&str]) -> Vec<Value> {
    let json = anabranch(&[&["stress", "--json"], arguments].concat()).json();
    let rows = json.as_array().unwrap().clone();
    for row in &rows {
        assert_eq!((&row["errors"], &row["mismatches"]), (&0.into(), &0.into()), "{row}");
        let right = row["ok"].as_u64().unwrap() + row["cancelled"].as_u64().unwrap();
        assert_eq!(row["ops"], right, "{row}");
    }
    rows
}

#[test]
fn every_network_is_compared_at_many_threads() {
    for (threads, ops) in [("8", "8"), ("32", "64")] {
        let rows = rows(&["--workload", "all", "--threads", threads, "--ops", ops]);
        assert_eq!(rows.len(), 19);
        for row in rows {
            assert_eq!(row["ok"].to_string(), ops, "{row}");
            let extra = LAST_KEYS.map(|key| row[key].as_u64().unwrap());
            assert_eq!(extra, [1, 0, 0], "{row}");
        }
    }
}

#[test]
fn callers_may_have_sessions_of_their_own() {
    let networks = "conv-bn,encoder,embedding";
    let rows = rows(&["--workload", networks, "--threads", "8", "--ops", "64", "--own-sessions"]);
    for row in rows {
        assert_eq!((&row["ok"], &row["sessions"]), (&64.into(), &8.into()), "{row}");
    }
}

#[test]
fn passes_with_deadlines_end_in_time_or_in_the_right_values() {
    let networks = "conv-bn,resnet,transformer,general";
    let rows = rows(&["--workload", networks, "--threads", "8", "--ops", "120", "--deadlines"]);
    for row in rows {
        let cancelled = row["cancelled"].as_u64().unwrap();
        assert!(cancelled <= 40, "only every third pass has a deadline: {row}");
    }
}

#[test]
fn failures_beside_the_callers_change_nothing() {
    let networks = "conv-bn,mixed,gather";
    let arguments =
        ["--workload", networks, "--threads", "8", "--ops", "64", "--failures", "--own-sessions"];
    for row in rows(&arguments) {
        assert_eq!(row["ok"], 64, "{row}");
        assert!(0 < row["failures"].as_u64().unwrap(), "{row}");
    }
    let said =
        anabranch(&["stress", "--ops", "6", "--workload", "mlp", "--failures", "--deadlines"])
            .clean();
    assert!(said.contains(", mismatches=0, cancelled="), "{said}");
    assert!(said.contains(", failures="), "{said}");
}

#[test]
fn devices_share_a_round() {
    let arguments = ["--device", "cpu:0,sim:0", "--threads", "8", "--ops", "64"];
    let trouble = ["--deadlines", "--failures", "--own-sessions"];
    for trouble in [&trouble[..], &[]] {
        for row in rows(&[&arguments, trouble].concat()) {
            let passes = row["ok"].as_u64().unwrap();
            let shares = row["devices"].as_array().unwrap();
            let shares = shares.iter().map(|share| share["passes"].as_u64().unwrap());
            assert!(shares.clone().all(|passes| 0 < passes), "{row}");
            assert_eq!(passes, shares.sum::<u64>(), "{row}");
        }
    }
}

#[test]
fn what_one_caller_needs_is_enough_for_eight() {
    for network in ["conv-bn", "mlp", "transformer"] {
        let alone = rows(&["--workload", network, "--threads", "1", "--ops", "1", "--soak"]);
        let peak = alone[0]["device_reserved_peak_bytes"].as_u64().unwrap().to_string();
        let arguments =
            ["--workload", network, "--threads", "8", "--ops", "64", "--memory-limit", &peak];
        assert_eq!(rows(&arguments)[0]["ok"], 64);
        let arguments = [&arguments[..], &["--deadlines", "--failures"]].concat();
        assert_eq!(rows(&arguments)[0]["ops"], 64);
    }
}

#[test]
fn a_limit_below_one_pass_is_an_error() {
    let said = anabranch(&["stress", "--workload", "conv-bn", "--memory-limit", "2M"]);
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
    assert!(said.err.contains("Conv+BN: no memory for ") && said.err.contains(" of a limit of "));
}

#[test]
fn wrong_usage_is_said_in_one_sentence() {
    for wrong in [
        &["--workload", "conv"][..],
        &["--workload", ""],
        &["--threads", "0"],
        &["--threads", "129"],
        &["--ops", "0"],
        &["--own-sessions=2"],
        &["--deadlines", "3"],
        &["--failures=yes"],
        &["--growth-max", "2"],
    ] {
        let said = anabranch(&[&["stress"], wrong].concat());
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{wrong:?}");
        assert!(said.err.starts_with("error: "), "{wrong:?}: {}", said.err);
    }
}

#[test]
fn json_has_the_promised_keys() {
    let mut arguments = vec!["stress", "--ops", "4", "--workload", "mlp", "--seed", "9", "--json"];
    let said = anabranch(&arguments).clean();
    assert_eq!(keys(&said), [&KEYS[..], &LAST_KEYS].concat());
    assert!(said.contains("\"workload\":\"MLP\"") && said.contains("\"seed\":9"), "{said}");
    arguments.extend(["--soak", "--threads", "2", "--growth-max", "1000"]);
    let said = anabranch(&arguments).clean();
    assert_eq!(keys(&said)[..9], KEYS);
    assert!(keys(&said).ends_with(&LAST_KEYS.map(str::to_owned)));
    assert!(said.contains("\"growth_percent\":"), "{said}");
}

#[test]
fn a_soak_with_every_trouble_finds_nothing() {
    let mut arguments = vec!["--soak", "--workload", "mlp", "--ops", "3000", "--threads", "4"];
    arguments.extend(["--failures", "--deadlines", "--exhaust", "--memory-limit", "16M"]);
    for row in rows(&arguments) {
        assert_eq!(row["threads_started"], 32, "{row}");
        assert!(0 < row["failures"].as_u64().unwrap(), "{row}");
        assert!(row["device_reserved_peak_bytes"].as_u64().unwrap() <= 16 << 20, "{row}");
    }
}

#[test]
fn a_soak_starts_new_threads() {
    let arguments = ["stress", "--soak", "--workload", "mlp", "--ops", "600", "--threads", "2"];
    let said = anabranch(&arguments).clean();
    assert!(said.starts_with("MLP: 600/600 in "), "{said}");
    assert!(said.contains("6 threads started"), "{said}");
    assert!(said.contains("reserved"), "{said}");
}

#[test]
fn time_bounds_a_round() {
    let arguments = ["stress", "--seconds", "0.05", "--workload", "conv-bn", "--json"];
    let json = anabranch(&arguments).json();
    assert_eq!(json[0]["ok"], json[0]["ops"]);
}
