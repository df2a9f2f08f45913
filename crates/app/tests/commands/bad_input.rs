use std::fs;
use std::path::Path;

use anabranch::{DType, Tensor};
use tempfile::{TempDir, tempdir};

use crate::support::{anabranch_in, digits, list, read, write};

/// A folder with a good model and array, and bad ones of every kind.
struct Bad {
    folder: TempDir,
    before: Vec<String>,
}

impl Bad {
    fn new() -> Self {
        let folder = tempdir().unwrap();
        let at = folder.path();
        let copy = |from: &str, to: &str| fs::copy(digits(from), at.join(to)).map(drop).unwrap();
        copy("conv-bn.onnx", "good.onnx");
        copy("labels.npy", "labels.npy");
        let images = read(digits("images.npy")).rows(0..40).unwrap();
        write(at, "good.npy", &images);
        for (kind, good) in [("onnx", "good.onnx"), ("npy", "good.npy")] {
            let bytes = fs::read(at.join(good)).unwrap();
            let put = |name: &str, bytes: &[u8]| {
                fs::write(at.join(format!("{name}.{kind}")), bytes).unwrap();
            };
            put("empty", b"");
            put("short", &bytes[..bytes.len() / 2]);
            put("stub", &bytes[..5]);
            let mut state = 1_u32;
            let mut noise = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                u8::try_from(state >> 24).unwrap()
            };
            put("random", &(0..1000).map(|_| noise()).collect::<Vec<u8>>());
        }
        let array = |name: &str, dtype, shape: &[usize]| {
            write(at, name, &Tensor::zeros(dtype, shape).unwrap());
        };
        array("scalar.npy", DType::F32, &[]);
        array("rank.npy", DType::F32, &[40, 8, 8]);
        array("shape.npy", DType::F32, &[40, 2, 8, 8]);
        array("integers.npy", DType::I64, &[40, 1, 8, 8]);
        array("float-labels.npy", DType::F32, &[40]);
        array("zeros.npy", DType::I64, &[40]);
        array("wide.npy", DType::F64, &[40, 11]);
        array("huge.npy", DType::F32, &[1]);
        let huge = fs::read(at.join("huge.npy")).unwrap();
        let huge = String::from_utf8_lossy(&huge).replace("(1,),          ", "(9999999999999,)");
        fs::write(at.join("huge.npy"), huge).unwrap();
        Self { before: list(at), folder }
    }

    /// Each is refused, names what is wrong, and leaves nothing behind.
    #[track_caller]
    fn refuses(&self, arguments: &str, words: &[&str]) {
        let split: Vec<&str> = arguments.split_whitespace().collect();
        let said = anabranch_in(self.folder.path(), &split);
        assert_eq!(said.code, Some(2), "{arguments}: {said:?}");
        assert_eq!(said.out, "", "{arguments}");
        assert!(said.err.starts_with("error: "), "{arguments}: {}", said.err);
        assert!(!said.err.contains("panicked"), "{arguments}: {}", said.err);
        for word in words {
            assert!(said.err.contains(word), "{arguments}: '{word}' is missing: {}", said.err);
        }
        assert_eq!(list(self.folder.path()), self.before, "{arguments}");
    }
}

#[test]
fn models() {
    let bad = Bad::new();
    for name in ["missing.onnx", "empty.onnx", "short.onnx", "stub.onnx", "random.onnx", "."] {
        bad.refuses(&format!("run {name} --input good.npy --output out.npy"), &[name]);
        bad.refuses(&format!("inspect {name}"), &[name]);
        bad.refuses(&format!("bench model {name}"), &[name]);
    }
    bad.refuses("run good.npy --input good.npy", &["good.npy"]);
}

#[test]
fn arrays() {
    let bad = Bad::new();
    for name in ["missing.npy", "empty.npy", "short.npy", "stub.npy", "random.npy", "huge.npy"] {
        for argument in ["--input", "--labels", "--expect"] {
            let rest = if argument == "--input" { "" } else { "--input good.npy" };
            bad.refuses(&format!("run good.onnx {argument} {name} {rest}"), &[name]);
        }
    }
    bad.refuses("run good.onnx --input scalar.npy", &["no axis of items"]);
    bad.refuses("run good.onnx --input rank.npy", &["good.onnx", "image"]);
    bad.refuses("run good.onnx --input shape.npy", &["good.onnx", "image"]);
    bad.refuses("run good.onnx --input integers.npy", &["good.onnx", "image", "i64"]);
}

#[test]
fn names() {
    let bad = Bad::new();
    bad.refuses("run good.onnx --input other=good.npy", &["no input 'other'", "'image'"]);
    bad.refuses("run good.onnx --input good.npy --input good.npy", &["good.npy", "1 inputs"]);
    bad.refuses("run good.onnx --input image=good.npy --input image=good.npy", &["twice"]);
    bad.refuses("run good.onnx --input good.npy --output other=out.npy", &["no output 'other'"]);
    bad.refuses("inspect good.onnx --shape other=1x1x8x8", &["no input 'other'"]);
    bad.refuses("inspect good.onnx --shape image=1x2x8x8", &["good.onnx"]);
    bad.refuses("inspect good.onnx --input other=good.npy", &["no input 'other'"]);
    bad.refuses("inspect good.onnx --input good.npy --input good.npy", &["good.npy", "1 inputs"]);
    bad.refuses("inspect good.onnx --input rank.npy", &["good.onnx", "image"]);
    bad.refuses("inspect good.onnx --input integers.npy", &["good.onnx", "image", "i64"]);
    bad.refuses("devices --device cpu", &["--device"]);
    bad.refuses("run good.onnx --input good.npy --device tpu:0", &["tpu:0", "cpu:0"]);
    bad.refuses("stress --device cuda:99", &["no device `cuda:99`", "cpu:0"]);
    bad.refuses("stress --device cpu:0,cuda:99", &["no device `cuda:99`", "cpu:0"]);
    bad.refuses("stress --device cpu,sim:0,cpu:0", &["`cpu:0` is there twice"]);
    bad.refuses("run good.onnx --input good.npy --device cpu:0,", &["a name is missing"]);
    bad.refuses("inspect good.onnx --device cpu:0,sim:0", &["cpu:0,sim:0", "one device"]);
    bad.refuses("stress --device cpu:0,sim:0 --trace out.json", &["the clock of one device"]);
    bad.refuses("stress --waiting badly", &["awake or asleep"]);
    bad.refuses("stress --workload conv-bn,nothing", &["'nothing'", "conv-bn"]);
    bad.refuses("explode", &["explode"]);
}

#[test]
fn labels_and_expectations() {
    let bad = Bad::new();
    let run = "run good.onnx --input good.npy";
    bad.refuses(&format!("{run} --labels labels.npy"), &["labels.npy", "1797", "40"]);
    bad.refuses(&format!("{run} --labels float-labels.npy"), &["float-labels.npy"]);
    bad.refuses(&format!("{run} --expect wide.npy"), &["wide.npy"]);
    bad.refuses(&format!("{run} --expect zeros.npy"), &["zeros.npy"]);
}

#[test]
fn numbers() {
    let bad = Bad::new();
    for command in ["run good.onnx --input good.npy", "stress"] {
        for threads in ["0", "129", "-3", "four"] {
            let arguments = format!("{command} --threads={threads}");
            bad.refuses(&arguments, &["--threads", threads]);
        }
    }
    bad.refuses("stress --threads 0", &["1 to 128 threads"]);
    bad.refuses("run good.onnx --input good.npy --batch 0", &["--batch"]);
    bad.refuses("run good.onnx --input good.npy --batch 8 --passes 4", &["5 passes"]);
    bad.refuses("stress --ops 0", &["--ops"]);
    bad.refuses("stress --seconds=-1", &["--seconds"]);
    bad.refuses("stress --log [", &["--log"]);
}

#[test]
fn too_little_memory() {
    let bad = Bad::new();
    let run = "run good.onnx --input good.npy --output out.npy --batch 40";
    bad.refuses(&format!("{run} --memory-limit 16K"), &["good.onnx"]);
    bad.refuses(&format!("{run} --memory-limit 256K"), &["good.onnx"]);
    bad.refuses("stress --memory-limit 16K", &["Conv+BN"]);
}

#[test]
fn files_that_cannot_be_written() {
    let bad = Bad::new();
    let run = "run good.onnx --input good.npy";
    for path in ["missing/out.npy", "."] {
        bad.refuses(&format!("{run} --output {path}"), &[path, "cannot be written"]);
        bad.refuses(&format!("{run} --trace {path}"), &[path, "cannot be written"]);
        bad.refuses(&format!("stress --trace {path}"), &[path, "cannot be written"]);
    }
    bad.refuses("inspect good.onnx --html missing/page.html", &["missing/page.html"]);
    bad.refuses("inspect short.onnx --html page.html", &["short.onnx"]);
    // The first file has been begun when the second one is refused.
    bad.refuses(&format!("{run} --output out.npy --trace missing/t.json"), &["missing/t.json"]);
}

#[test]
fn a_file_that_was_there_survives_a_failure() {
    let bad = Bad::new();
    let path: &Path = bad.folder.path();
    let before = fs::read(path.join("zeros.npy")).unwrap();
    bad.refuses("run short.onnx --input good.npy --output zeros.npy", &["short.onnx"]);
    assert_eq!(fs::read(path.join("zeros.npy")).unwrap(), before);
}
