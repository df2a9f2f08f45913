//! What each model uses of what the machine can do at most.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Cell;

/// One line of `bench limits --json`.
#[derive(Deserialize)]
struct Limit {
    gflops: f64,
    reads: Vec<Reading>,
}

#[derive(Deserialize)]
struct Reading {
    bytes: f64,
    gb_per_s: f64,
}

/// What `inspect --json` says of a model.
#[derive(Deserialize)]
struct Inspected {
    weight_bytes: f64,
    plan: Plan,
}

#[derive(Deserialize)]
struct Plan {
    flops: f64,
}

/// A table of the models of `cells`, each at the number of callers that makes the most passes.
///
/// # Errors
/// What the program does not say.
pub(super) fn measure(program: &Path, models: &Path, cells: &[Cell]) -> Result<String, String> {
    let limits: Vec<Limit> = ask(program, &["bench", "limits"])?;
    let limit = limits.last().ok_or("no limits were measured")?;
    let mut text = heading(limit);
    for cell in fastest(cells) {
        let file = models.join(&cell.model).join("model.onnx");
        let model: Inspected = ask(program, &["inspect", &file.display().to_string()])?;
        text += &line(limit, cell, &model);
    }
    Ok(text)
}

fn ask<T: DeserializeOwned>(program: &Path, arguments: &[&str]) -> Result<T, String> {
    let told = Command::new(program).args(arguments).arg("--json").output();
    let told = told.map_err(|error| format!("{}: {error}", program.display()))?;
    let what = arguments.join(" ");
    if !told.status.success() {
        return Err(format!("{what}: {}", String::from_utf8_lossy(&told.stderr)));
    }
    serde_json::from_slice(&told.stdout).map_err(|error| format!("{what}: {error}"))
}

/// The cell of each model that has the most passes.
fn fastest(cells: &[Cell]) -> Vec<&Cell> {
    let mut best: Vec<&Cell> = Vec::new();
    for cell in cells {
        match best.iter_mut().find(|other| other.model == cell.model) {
            Some(other) if other.ours_pps < cell.ours_pps => *other = cell,
            Some(_) => {}
            None => best.push(cell),
        }
    }
    best
}

fn heading(limit: &Limit) -> String {
    let reads: Vec<String> = limit
        .reads
        .iter()
        .map(|read| format!("{:.1} MB at {:.0} GB/s", read.bytes / 1e6, read.gb_per_s))
        .collect();
    format!(
        "\n## Beside the machine\n\n\
         All cores together make {:.0} GFLOP/s of multiply-adds between registers, and read {} over \
         and over, each core its own (`anabranch bench limits`). Operations are those of the definition: \
         convolutions by Winograd's algorithm make fewer, so that a share may be above 1. Bytes are \
         those of the weights, read once a pass.\n\n\
         | model | callers | MFLOP a pass | GFLOP/s | share | weights, MB | GB/s | share |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|\n",
        limit.gflops,
        reads.join(", "),
    )
}

fn line(limit: &Limit, cell: &Cell, model: &Inspected) -> String {
    let Cell { model: name, threads, ours_pps, .. } = cell;
    let gflops = model.plan.flops * ours_pps / 1e9;
    let gb_per_s = model.weight_bytes * ours_pps / 1e9;
    // The smallest measured size in which the weights have room.
    let fitting = limit.reads.iter().find(|read| model.weight_bytes <= 1.1 * read.bytes);
    let most = fitting.or(limit.reads.last()).map_or(f64::NAN, |read| read.gb_per_s);
    let mut text = String::new();
    let _ = writeln!(
        text,
        "| {name} | {threads} | {:.1} | {gflops:.0} | {:.2} | {:.1} | {gb_per_s:.1} | {:.2} |",
        model.plan.flops / 1e6,
        gflops / limit.gflops,
        model.weight_bytes / 1e6,
        gb_per_s / most,
    );
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::cell;
    use super::*;

    #[test]
    fn shares_are_of_what_fits() {
        let reads = [(2.5e5, 200.0), (8.4e6, 50.0)];
        let reads = reads.map(|(bytes, gb_per_s)| Reading { bytes, gb_per_s });
        let limit = Limit { gflops: 100.0, reads: reads.into() };
        let model = Inspected { weight_bytes: 8.4e6, plan: Plan { flops: 2e9 } };
        let line = line(&limit, &cell("C1", 1.0), &model);
        assert_eq!(line, "| C1 | 2 | 2000.0 | 20 | 0.20 | 8.4 | 0.1 | 0.00 |\n");
        assert!(
            heading(&limit).contains("100 GFLOP/s")
                && heading(&limit).contains("8.4 MB at 50 GB/s")
        );
    }

    #[test]
    fn each_model_stands_once_with_its_most_passes() {
        let mut cells = [cell("A4", 1.0), cell("A4", 1.0), cell("D", 1.0)];
        cells[1].ours_pps = 11.0;
        let best = fastest(&cells);
        let passes: Vec<f64> = best.iter().map(|cell| cell.ours_pps).collect();
        assert_eq!(passes, [11.0, 10.0]);
    }

    #[test]
    fn what_a_program_does_not_say_is_told() {
        let error = ask::<Vec<Limit>>(Path::new("false"), &["bench", "limits"]);
        assert!(error.is_err_and(|error| error.starts_with("bench limits")));
    }
}
