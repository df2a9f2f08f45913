//! The program beside PyTorch, ONNX Runtime and OpenVINO: passes per second in every cell of ten
//! models and four numbers of callers, and what each is of the best peer's.
//!
//! Models, peers and the way of measuring are in `xtask/peers/peers.py`. What the machine can do at
//! most is measured by the program itself, and tells how much of it each model uses.

mod roofline;

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::python::{self, Python};

/// What is needed beside what exports: one more peer, and what draws.
const MORE: &[&str] = &["openvino==2026.4.1", "matplotlib==3.11.2"];

const TABLE: &str = "docs/peers.md";
const PICTURE: &str = "docs/peers.svg";

/// One model with one number of callers.
#[derive(Deserialize)]
struct Cell {
    model: String,
    threads: usize,
    ours_pps: f64,
    best_peer: String,
    best_peer_pps: f64,
    ratio: f64,
    ours_p99_ms: f64,
    ours_rss_mb: f64,
    leanest_peer_rss_mb: f64,
    ours_first_ms: f64,
    ort_first_ms: f64,
}

/// Measures every cell, and writes table and picture; with `--json` one object for each cell
/// instead.
///
/// # Errors
/// What cannot be installed, built or run.
pub(crate) fn run(root: &Path, flags: &[String]) -> Result<(), String> {
    let as_json = match flags {
        [] => false,
        [flag] if flag == "--json" => true,
        _ => return Err(format!("unknown argument: {}", flags.join(" "))),
    };
    let packages = [python::EXPORTING, MORE].concat();
    let python = Python::new(root, "peers", "xtask/peers/peers.py", &packages)?;
    let models = python.folder.join("models");
    let program = python::program(root)?;
    python.says(python.command().arg("export").arg(&models))?;
    let said = python.says(python.command().arg("measure").arg(&models).arg(&program))?;
    if as_json {
        println!("{said}");
        return Ok(());
    }
    let cells = said.lines().map(serde_json::from_str).collect::<Result<Vec<Cell>, _>>();
    let cells = cells.map_err(|error| format!("a cell that is no object: {error}"))?;
    let table = table(&cells) + &roofline::measure(&program, &models, &cells)?;
    let raw = python.folder.join("cells.jsonl");
    fs::write(&raw, &said).map_err(|error| format!("{}: {error}", raw.display()))?;
    let mut draw = python.command();
    python.says(draw.arg("draw").arg(&raw).arg(root.join(PICTURE)))?;
    let path = root.join(TABLE);
    fs::write(&path, heading(&packages) + &table)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    println!("{table}\nwritten: {TABLE}, {PICTURE}");
    Ok(())
}

fn heading(packages: &[&str]) -> String {
    let machine = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = machine
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("an unknown processor", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "# Beside the others\n\n\
         Passes per second of `anabranch` and of the fastest among {}, each at its best setting for \
         the number of callers, all in `f32`. Medians of three repetitions, which took turns. \
         Measured by `cargo xtask peers` on {processor}, {cores} cores.\n\n\
         ![Ratios to the best peer](peers.svg)\n\n",
        packages.iter().filter(|name| is_peer(name)).copied().collect::<Vec<_>>().join(", ")
    )
}

fn is_peer(package: &str) -> bool {
    ["torch==", "onnxruntime==", "openvino=="].iter().any(|name| package.starts_with(name))
}

fn table(cells: &[Cell]) -> String {
    let mut text = String::from(
        "| model | callers | passes/s | best peer | its passes/s | ratio | p99, ms | MB | leanest peer, MB |\n\
         |---|--:|--:|---|--:|--:|--:|--:|--:|\n",
    );
    for cell in cells {
        let Cell { model, threads, ours_pps, best_peer, best_peer_pps, ratio, .. } = cell;
        let Cell { ours_p99_ms, ours_rss_mb, leanest_peer_rss_mb, .. } = cell;
        let _ = writeln!(
            text,
            "| {model} | {threads} | {ours_pps:.0} | {best_peer} | {best_peer_pps:.0} | \
             {ratio:.2} | {ours_p99_ms:.2} | {ours_rss_mb:.0} | {leanest_peer_rss_mb:.0} |"
        );
    }
    let _ = writeln!(text, "\nGeometric mean of the ratios: {:.2}.\n", geometric_mean(cells));
    text + &first_results(cells)
}

/// How long a model takes from its file to its first result, in a process that has loaded the
/// library.
fn first_results(cells: &[Cell]) -> String {
    let mut text = String::from(
        "From the file to the first result, with the library loaded; medians of processes that took turns:\n\n\
         | model | ms | ONNX Runtime, ms | ratio |\n|---|--:|--:|--:|\n",
    );
    for cell in cells.iter().filter(|cell| cell.threads == 1) {
        let Cell { model, ours_first_ms, ort_first_ms, .. } = cell;
        let ratio = ours_first_ms / ort_first_ms;
        let _ = writeln!(text, "| {model} | {ours_first_ms:.0} | {ort_first_ms:.0} | {ratio:.2} |");
    }
    text
}

fn geometric_mean(cells: &[Cell]) -> f64 {
    let logarithms: f64 = cells.iter().map(|cell| cell.ratio.ln()).sum();
    (logarithms / cells.len() as f64).exp()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(super) fn cell(model: &str, ratio: f64) -> Cell {
        let text = format!(
            "{{\"model\":\"{model}\",\"threads\":2,\"ours_pps\":10.0,\"best_peer\":\"ort\",\
             \"best_peer_pps\":5.0,\"ratio\":{ratio},\"ours_p99_ms\":1.5,\"ours_rss_mb\":7.0,\
             \"leanest_peer_rss_mb\":9.0,\"ours_first_ms\":3.0,\"ort_first_ms\":12.0}}"
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn the_mean_is_that_of_factors() {
        let text = table(&[cell("A4", 0.5), cell("D", 2.0)]);
        assert!(text.contains("| A4 | 2 | 10 | ort | 5 | 0.50 | 1.50 | 7 | 9 |"), "{text}");
        assert!(text.contains("Geometric mean of the ratios: 1.00.\n"), "{text}");
    }

    #[test]
    fn a_model_has_one_first_result() {
        let one = Cell { threads: 1, ..cell("D", 1.0) };
        let text = table(&[one, cell("D", 2.0)]);
        assert!(text.ends_with("|---|--:|--:|--:|\n| D | 3 | 12 | 0.25 |\n"), "{text}");
    }

    #[test]
    fn arguments_that_mean_nothing_are_refused() {
        assert!(run(Path::new("/"), &["--yaml".into()]).unwrap_err().contains("--yaml"));
    }
}
