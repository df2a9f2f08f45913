//! The node tests of ONNX: fetched, run through the library, and counted.
//!
//! The counts stand in a file, and a run that comes to others fails: neither an operator that is
//! lost nor one that is gained goes unseen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{python, shell};

/// The package whose last version that ships the node tests as files is the one that is fetched.
const VERSION: &str = "1.22.0";

/// Where the counts stand.
const RECORD: &str = "verify/onnx.txt";

/// The operators that networks for images and encoders of text are made of.
const CORE: &str = "\
    Add And Attention AveragePool BatchNormalization Cast Clip Concat Constant ConstantOfShape \
    Conv ConvTranspose Cos CumSum DepthToSpace DequantizeLinear Div Dropout \
    DynamicQuantizeLinear Einsum Equal Erf Exp Expand Flatten Gather GatherElements GatherND Gelu \
    Gemm GlobalAveragePool GlobalMaxPool Greater GridSample GroupNormalization HardSigmoid \
    HardSwish Identity InstanceNormalization LRN LayerNormalization LeakyRelu Less Log LogSoftmax \
    MatMul MatMulInteger Max MaxPool Min Mul Neg NonMaxSuppression Not Or PRelu Pad Pow \
    QuantizeLinear RMSNormalization Range ReduceMax ReduceMean ReduceSum Relu Reshape Resize \
    RotaryEmbedding ScatterElements ScatterND Shape Sigmoid SimplifiedLayerNormalization Sin Slice \
    Softmax SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tanh Tile TopK Transpose Trilu Unsqueeze \
    Upsample Where";

/// How many cases ended in each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    unsupported: usize,
}

impl Counts {
    fn total(self) -> usize {
        self.passed + self.failed + self.unsupported
    }

    fn add(&mut self, end: &str) -> Result<(), String> {
        let count = match end {
            "passed" => &mut self.passed,
            "failed" => &mut self.failed,
            "unsupported" => &mut self.unsupported,
            other => return Err(format!("a case ended as \"{other}\"")),
        };
        *count += 1;
        Ok(())
    }
}

/// What a run came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Report {
    /// By operator; models of several nodes are one entry.
    operators: BTreeMap<String, Counts>,
    all: Counts,
    /// Cases of one node with one of [`CORE`], without `Cast`.
    core: Counts,
}

impl Report {
    /// Reads lines of a case, its operator, its end and why, parted by tabs.
    fn parse(text: &str) -> Result<Self, String> {
        let core: BTreeSet<&str> = CORE.split_whitespace().filter(|name| *name != "Cast").collect();
        let mut report = Self::default();
        for line in text.lines() {
            let mut fields = line.split('\t').skip(1);
            let (Some(operator), Some(end)) = (fields.next(), fields.next()) else {
                return Err(format!("a case without an end: {line}"));
            };
            report.operators.entry(operator.to_owned()).or_default().add(end)?;
            report.all.add(end)?;
            if core.contains(operator) {
                report.core.add(end)?;
            }
        }
        Ok(report)
    }

    /// One line an operator, the sums last.
    fn table(&self) -> String {
        let mut text = String::new();
        let all = [("core", &self.core), ("all", &self.all)];
        let operators = self.operators.iter().map(|(name, counts)| (name.as_str(), counts));
        let _ = writeln!(text, "{:<44}{:>8}{:>8}{:>12}", "", "passed", "failed", "unsupported");
        for (name, counts) in operators.chain(all) {
            let Counts { passed, failed, unsupported } = counts;
            let _ = writeln!(text, "{name:<44}{passed:>8}{failed:>8}{unsupported:>12}");
        }
        text
    }

    fn json(&self) -> String {
        let Counts { passed, failed, unsupported } = self.all;
        format!(
            "{{\"total\":{},\"passed\":{passed},\"failed\":{failed},\"unsupported\":{unsupported},\
             \"core_total\":{},\"core_passed\":{}}}",
            self.all.total(),
            self.core.total(),
            self.core.passed
        )
    }

    /// The operators whose counts are others than the recorded ones.
    fn drift(&self, record: &str) -> Vec<String> {
        let table = self.table();
        let (found, known): (BTreeSet<&str>, BTreeSet<&str>) = (
            table.lines().collect(),
            record.lines().filter(|line| !line.starts_with('#')).collect(),
        );
        let squeeze = |line: &&str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let new = found.difference(&known).map(|line| format!("found    {}", squeeze(line)));
        let old = known.difference(&found).map(|line| format!("recorded {}", squeeze(line)));
        old.chain(new).collect()
    }
}

/// Runs the cases. `--json` prints the sums for machines, `--record` writes the counts down.
///
/// # Errors
/// That the cases cannot be had or run, unknown flags, and counts that are not the recorded ones.
pub(crate) fn run(root: &Path, flags: &[String]) -> Result<(), String> {
    let known = ["--json", "--record"];
    if let Some(unknown) = flags.iter().find(|flag| !known.contains(&flag.as_str())) {
        return Err(format!("unknown argument: {unknown}"));
    }
    let wanted = |flag: &str| flags.iter().any(|given| given == flag);
    let cases = cases(root)?;
    let mut command = shell::cargo(root);
    command.args(["run", "--quiet", "--release", "--package", "anabranch-nn"]);
    command.args(["--example", "node_tests", "--"]).arg(&cases);
    let output = shell::capture(&mut command)?;
    if !output.success {
        return Err(format!("{}\n{}", shell::describe(&command), output.stderr));
    }
    let said = shell::target(root).join("onnx").join("node-tests.tsv");
    fs::write(&said, &output.stdout).map_err(|error| format!("{}: {error}", said.display()))?;
    let report = Report::parse(&output.stdout)?;
    if wanted("--json") {
        println!("{}", report.json());
    } else {
        println!("{}what became of each case: {}", report.table(), said.display());
    }
    let path = root.join(RECORD);
    if wanted("--record") {
        let heading = format!(
            "# The node tests of onnx {VERSION}, by operator.\n\
             # Written by `cargo xtask onnx --record`, compared by `cargo xtask onnx`.\n"
        );
        return fs::write(&path, heading + &report.table())
            .map_err(|error| format!("{}: {error}", path.display()));
    }
    let record =
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    match report.drift(&record).as_slice() {
        [] => Ok(()),
        drift => Err(format!(
            "counts have drifted from {RECORD}:\n{}\nwhere the change is meant, write them with \
             `cargo xtask onnx --record`",
            drift.join("\n")
        )),
    }
}

/// The folder of the cases, fetched when it is missing.
pub(crate) fn cases(root: &Path) -> Result<PathBuf, String> {
    let folder = shell::target(root).join("onnx").join(VERSION);
    let cases = folder.join("onnx/backend/test/data/node");
    let done = folder.join("complete");
    if done.is_file() {
        return Ok(cases);
    }
    let package = format!("onnx=={VERSION}");
    let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", &package];
    python::run_in(&folder, &pip)
        .map_err(|error| format!("{error}\nthe cases come from PyPI, through pip"))?;
    let entries =
        fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let wheel = names.filter(|name| Path::new(name).extension().is_some_and(|end| end == "whl"));
    let wheel = wheel.max().ok_or("pip has left no package behind")?;
    python::run_in(&folder, &["-m", "zipfile", "-e", &wheel, "."])?;
    fs::write(&done, "").map_err(|error| format!("{}: {error}", done.display()))?;
    Ok(cases)
}

#[cfg(test)]
mod tests;
