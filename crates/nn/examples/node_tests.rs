//! Runs the node tests of ONNX through the library: a folder of cases, each with `model.onnx` and
//! the inputs and outputs of at least one run. Prints what became of each case, one a line:
//! the case, whether it counts as core, its operator, its end, and why.
//!
//! `cargo xtask onnx` fetches the cases, calls this and counts.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anabranch_nn::{DType, Error, ErrorKind, Limits, Session, SessionOptions, Tensor};
use anabranch_rt::Device;

const RELATIVE: f64 = 1e-3;
const ABSOLUTE: f64 = 1e-7;

/// How a case ended.
enum End {
    Passed,
    Failed(String),
    /// The library said at load that it has no such thing.
    Unsupported(String),
}

fn main() -> ExitCode {
    let Some(folder) = std::env::args().nth(1) else {
        eprintln!("node_tests FOLDER");
        return ExitCode::FAILURE;
    };
    match run(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let device = anabranch_hal::any::open("cpu", &Default::default())?;
    let device = Device::open(device, anabranch_rt::Limits::default())?;
    let mut cases: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    cases.sort();
    std::panic::set_hook(Box::new(|_| {}));
    for case in cases {
        let name = case.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let nodes = node_types(&fs::read(case.join("model.onnx"))?);
        let operator = match &nodes[..] {
            [one] => one.as_str(),
            _ => "(several)",
        };
        let end = catch_unwind(AssertUnwindSafe(|| check(&device, &case)))
            .unwrap_or_else(|_| End::Failed("panicked".into()));
        let (word, why) = match end {
            End::Passed => ("passed", String::new()),
            End::Failed(why) => ("failed", why),
            End::Unsupported(why) => ("unsupported", why),
        };
        let why = why.replace(['\t', '\n'], " ");
        println!("{name}\t{operator}\t{word}\t{why}");
    }
    Ok(())
}

fn check(device: &Device, case: &Path) -> End {
    let options = SessionOptions::default();
    let session = match Session::load(device, case.join("model.onnx"), &options) {
        Ok(session) => session,
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            return End::Unsupported(error.to_string());
        }
        Err(error) => return End::Failed(format!("load: {error}")),
    };
    for set in 0.. {
        let set = case.join(format!("test_data_set_{set}"));
        if !set.is_dir() {
            break;
        }
        match compare(&session, &set) {
            Ok(None) => {}
            Ok(Some(difference)) => return End::Failed(difference),
            Err(error) => return End::Failed(error.to_string()),
        }
    }
    End::Passed
}

/// One run against its recorded results; what differs, if something does.
fn compare(session: &Session, set: &Path) -> Result<Option<String>, Error> {
    let inputs = files(set, "input", session.inputs().iter().map(|port| port.name.clone()))?;
    let given: Vec<(&str, &Tensor)> =
        inputs.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let found = session.run(&given)?;
    let wanted = files(set, "output", session.outputs().iter().map(|port| port.name.clone()))?;
    if found.len() != wanted.len() {
        return Ok(Some(format!("{} outputs, not {}", found.len(), wanted.len())));
    }
    for ((name, found), (_, wanted)) in found.iter().zip(&wanted) {
        if let Some(difference) = difference(found, wanted) {
            return Ok(Some(format!("{name}: {difference}")));
        }
    }
    Ok(None)
}

/// The tensors `input_0.pb`, `input_1.pb`, …, by the names that the model gives them.
fn files(
    set: &Path,
    kind: &str,
    names: impl Iterator<Item = String>,
) -> Result<Vec<(String, Tensor)>, Error> {
    let mut tensors = Vec::new();
    for (index, name) in names.enumerate() {
        let path = set.join(format!("{kind}_{index}.pb"));
        if !path.is_file() {
            break;
        }
        tensors.push((name, Tensor::open_onnx(path, &Limits::default())?));
    }
    Ok(tensors)
}

fn difference(found: &Tensor, wanted: &Tensor) -> Option<String> {
    if found.dtype() != wanted.dtype() || found.shape() != wanted.shape() {
        return Some(format!("is {found:?}, not {wanted:?}"));
    }
    if found.dtype().is_float() {
        let (found, wanted) = (found.to_f64(), wanted.to_f64());
        let apart = |(found, wanted): (&f64, &f64)| {
            let same = found == wanted || (found.is_nan() && wanted.is_nan());
            let near = (found - wanted).abs() <= ABSOLUTE + RELATIVE * wanted.abs();
            !same && !near
        };
        let index = found.iter().zip(&wanted).position(apart)?;
        return Some(format!("element {index} is {}, not {}", found[index], wanted[index]));
    }
    if found.dtype() == DType::Bool || found != wanted {
        let pairs = found.as_bytes().iter().zip(wanted.as_bytes());
        let index = pairs.clone().position(|(a, b)| a != b)?;
        return Some(format!("byte {index} differs"));
    }
    None
}

/// The operators of a model's nodes, with those of other domains under their full name.
///
/// Reads the messages of the file itself, because a model that the library refuses counts, too:
/// field 7 of a model is its graph, field 1 of a graph a node, fields 4 and 7 of a node its
/// operator and its domain.
fn node_types(model: &[u8]) -> Vec<String> {
    let text =
        |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let graphs = fields(model).into_iter().filter(|(tag, _)| *tag == 7);
    let nodes = graphs.flat_map(|(_, graph)| fields(graph)).filter(|(tag, _)| *tag == 1);
    let names = nodes.map(|(_, node)| {
        let fields = fields(node);
        let field = |wanted| fields.iter().find(|(tag, _)| *tag == wanted).map(|(_, bytes)| *bytes);
        match text(field(7)).as_str() {
            "" | "ai.onnx" => text(field(4)),
            domain => format!("{domain}.{}", text(field(4))),
        }
    });
    names.collect()
}

/// The fields of a message that have a length.
fn fields(mut message: &[u8]) -> Vec<(u64, &[u8])> {
    let mut found = Vec::new();
    while let Some(key) = varint(&mut message) {
        let length = match key & 7 {
            0 => varint(&mut message).map(|_| 0),
            1 => Some(8),
            2 => varint(&mut message).and_then(|length| usize::try_from(length).ok()),
            5 => Some(4),
            _ => None,
        };
        let Some((field, rest)) = length.and_then(|length| message.split_at_checked(length)) else {
            break;
        };
        if key & 7 == 2 {
            found.push((key >> 3, field));
        }
        message = rest;
    }
    found
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
