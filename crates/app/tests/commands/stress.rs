use crate::support::{anabranch, keys};

const KEYS: [&str; 9] =
    ["workload", "threads", "ops", "ok", "errors", "mismatches", "seconds", "passes_per_s", "seed"];

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

#[test]
fn every_network_is_compared_at_many_threads() {
    let json =
        anabranch(&["stress", "--workload", "all", "--threads", "32", "--ops", "64", "--json"])
            .json();
    let rows = json.as_array().unwrap();
    assert!(5 <= rows.len());
    for row in rows {
        assert_eq!((&row["ops"], &row["ok"]), (&64.into(), &64.into()), "{row}");
        assert_eq!((&row["errors"], &row["mismatches"]), (&0.into(), &0.into()), "{row}");
    }
}

#[test]
fn json_has_the_promised_keys() {
    let mut arguments = vec!["stress", "--ops", "4", "--workload", "mlp", "--seed", "9", "--json"];
    let said = anabranch(&arguments).clean();
    assert_eq!(keys(&said), KEYS);
    assert!(said.contains("\"workload\":\"MLP\"") && said.contains("\"seed\":9"), "{said}");
    arguments.extend(["--soak", "--threads", "2"]);
    let said = anabranch(&arguments).clean();
    assert_eq!(keys(&said)[..9], KEYS);
    assert!(said.contains("\"growth_percent\":"), "{said}");
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
