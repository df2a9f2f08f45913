use anabranch::{DType, Tensor};
use tempfile::tempdir;

use crate::support::{anabranch, digits, keys, list, read, write};

const KEYS: [&str; 12] = [
    "accuracy",
    "items",
    "passes",
    "seconds",
    "passes_per_s",
    "p50_ms",
    "p99_ms",
    "compared",
    "mismatches",
    "errors",
    "max_abs_err",
    "peak_rss_mb",
];

/// Right answers of the float64 model that the logits come from.
fn right_answers(logits: &Tensor, labels: &Tensor) -> usize {
    let labels = labels.as_i64().unwrap();
    let rows = logits.as_f64().unwrap().chunks_exact(10);
    let best = |row: &[f64]| (0..10).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
    rows.zip(labels).filter(|(row, label)| i64::try_from(best(row)).unwrap() == **label).count()
}

fn digits_are_classified(network: &str, right: usize) {
    let (model, logits) = (format!("{network}.onnx"), format!("{network}-logits.npy"));
    let (images, labels) = (digits("images.npy"), digits("labels.npy"));
    assert_eq!(right_answers(&read(digits(&logits)), &read(&labels)), right);
    let (model, logits) = (digits(&model), digits(&logits));
    let mut arguments = vec!["run", &model, "--input", &images, "--labels", &labels];
    arguments.extend(["--expect", &logits, "--threads", "4"]);
    let said = anabranch(&arguments).clean();
    assert!(said.contains(&format!("{right} of 1797 images")), "{said}");
    assert!(said.contains("1797 results with a serial run, bit for bit: 0 differ"), "{said}");
    for figure in ["passes/s", "images/s", "p50", "p99", "peak memory", "largest error"] {
        assert!(said.contains(figure), "{figure} is missing: {said}");
    }

    arguments.push("--json");
    let said = anabranch(&arguments).clean();
    assert_eq!(keys(&said), KEYS);
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    #[expect(clippy::cast_precision_loss, reason = "the count is small")]
    let accuracy = right as f64 / 1797.0;
    assert_eq!(json["accuracy"].as_f64(), Some(accuracy));
    assert_eq!(json["items"], 1797);
    assert_eq!(json["passes"], 57, "1797 items in passes of 32");
    assert_eq!((&json["compared"], &json["mismatches"]), (&1797.into(), &0.into()));
    assert_eq!(json["errors"], 0);
    assert!(json["max_abs_err"].as_f64().unwrap() < 1e-4, "{json}");
    assert!(json["p50_ms"].as_f64().unwrap() <= json["p99_ms"].as_f64().unwrap());
}

#[test]
fn fewer_bits_tell_what_they_cost() {
    let (model, images, labels) =
        (digits("conv-bn.onnx"), digits("images.npy"), digits("labels.npy"));
    let of = |precision: &str, more: &[&str]| {
        let mut arguments = vec!["run", &model, "--input", &images, "--labels", &labels];
        arguments.extend(["--precision", precision]);
        arguments.extend(more);
        anabranch(&arguments)
    };
    for precision in ["bf16", "int8"] {
        let said = of(precision, &[]).clean();
        assert!(said.contains(&format!("{precision}: largest error")), "{said}");
        let json: serde_json::Value =
            serde_json::from_str(&of(precision, &["--json"]).clean()).unwrap();
        assert_eq!((json["precision"].as_str(), &json["mismatches"]), (Some(precision), &0.into()));
        let (error, most) = (&json["max_abs_err_to_f32"], &json["max_abs_f32"]);
        let part = error.as_f64().unwrap() / most.as_f64().unwrap();
        assert!(0.0 < part && part < 0.05, "{json}");
        assert!(0.98 < json["accuracy"].as_f64().unwrap(), "{json}");
    }
    assert!(!of("f32", &[]).clean().contains("against f32"));
}

#[test]
fn conv_bn_classifies_digits() {
    digits_are_classified("conv-bn", 1792);
}

#[test]
fn instance_norm_classifies_digits() {
    digits_are_classified("instance-norm", 1797);
}

/// Both devices classify, and each result is what the device that made it makes of it alone.
#[test]
fn devices_share_the_items() {
    let (model, images) = (digits("conv-bn.onnx"), digits("images.npy"));
    let mut arguments = vec!["run", &model, "--input", &images, "--batch", "16"];
    let logits = digits("conv-bn-logits.npy");
    arguments.extend(["--expect", &logits, "--device", "cpu:0,sim:0", "--json"]);
    let json = anabranch(&arguments).json();
    assert_eq!((&json["mismatches"], &json["errors"]), (&0.into(), &0.into()), "{json}");
    assert!(json["max_abs_err"].as_f64().unwrap() < 1e-4, "{json}");
    let shares = json["devices"].as_array().unwrap();
    assert_eq!((&shares[0]["device"], &shares[1]["device"]), (&"cpu:0".into(), &"sim:0".into()));
    let passes = shares.iter().map(|share| share["passes"].as_u64().unwrap());
    assert!(passes.clone().all(|passes| 0 < passes), "{json}");
    assert_eq!(json["passes"], passes.sum::<u64>());
    arguments.pop();
    assert!(anabranch(&arguments).clean().contains("by device      cpu:0 "));
}

#[test]
fn absent_figures_are_null() {
    let (model, images) = (digits("conv-bn.onnx"), digits("images.npy"));
    let json = anabranch(&["run", &model, "--input", &images, "--json"]).json();
    assert!(json["accuracy"].is_null() && json["max_abs_err"].is_null(), "{json}");
}

#[test]
fn outputs_do_not_depend_on_threads_and_batches() {
    let folder = tempdir().unwrap();
    let (model, images) = (digits("conv-bn.onnx"), digits("images.npy"));
    let logits = read(digits("conv-bn-logits.npy"));
    let mut outputs = Vec::new();
    for (threads, batch) in [("1", "1797"), ("3", "7"), ("16", "1")] {
        let path = folder.path().join(format!("out-{threads}.npy")).display().to_string();
        let mut arguments = vec!["run", &model, "--input", &images, "--threads", threads];
        arguments.extend(["--batch", batch, "--output", &path, "--json"]);
        let json = anabranch(&arguments).json();
        assert_eq!((&json["compared"], &json["mismatches"]), (&1797.into(), &0.into()));
        outputs.push(read(path));
    }
    assert_eq!(list(folder.path()).len(), 3, "nothing but the outputs is there");
    assert!(outputs.iter().all(|output| *output == outputs[0]));
    let pairs = outputs[0].as_f32().unwrap().iter().zip(logits.as_f64().unwrap());
    assert_eq!(outputs[0].shape(), logits.shape());
    assert!(pairs.into_iter().all(|(&have, &want)| (f64::from(have) - want).abs() < 1e-4));
}

#[test]
fn items_come_round_again() {
    let (model, images) = (digits("conv-bn.onnx"), digits("images.npy"));
    let mut arguments = vec!["run", &model, "--input", &images, "--batch", "599"];
    arguments.extend(["--passes", "10", "--json", "--device", "cpu:0", "--workers", "1"]);
    let json = anabranch(&arguments).json();
    assert_eq!((&json["passes"], &json["items"]), (&10.into(), &1797.into()));
    assert_eq!((&json["compared"], &json["mismatches"]), (&5990.into(), &0.into()));
}

#[test]
fn no_items_have_no_results() {
    let folder = tempdir().unwrap();
    let model = digits("conv-bn.onnx");
    let none = write(folder.path(), "none.npy", &Tensor::zeros(DType::F32, &[0, 1, 8, 8]).unwrap());
    let labels = write(folder.path(), "labels.npy", &Tensor::zeros(DType::I64, &[0]).unwrap());
    let output = folder.path().join("out.npy").display().to_string();
    let mut arguments = vec!["run", &model, "--input", &none, "--labels", &labels];
    arguments.extend(["--output", &output, "--json"]);
    let json = anabranch(&arguments).json();
    assert_eq!((&json["items"], &json["compared"]), (&0.into(), &0.into()));
    assert!(json["accuracy"].is_null());
    assert_eq!(read(output).shape(), [0, 10]);
}

#[test]
fn what_is_not_a_number_stays_with_its_item() {
    let folder = tempdir().unwrap();
    let images = read(digits("images.npy"));
    let mut elements = images.rows(0..8).unwrap().as_f32().unwrap().to_vec();
    (elements[3 * 64], elements[5 * 64]) = (f32::NAN, f32::INFINITY);
    let images = Tensor::from_f32(&[8, 1, 8, 8], elements).unwrap();
    let images = write(folder.path(), "images.npy", &images);
    let output = folder.path().join("out.npy").display().to_string();
    let model = digits("conv-bn.onnx");
    anabranch(&["run", &model, "--input", &images, "--output", &output, "--batch", "8"]).clean();
    let output = read(output);
    for row in 0..8 {
        let is_finite = output.as_f32().unwrap()[row * 10..][..10].iter().all(|x| x.is_finite());
        assert_eq!(is_finite, row != 3 && row != 5, "row {row}");
    }
}

#[test]
fn inputs_and_outputs_have_names() {
    let folder = tempdir().unwrap();
    let model = digits("conv-bn.onnx");
    let inspected = anabranch(&["inspect", &model, "--json"]).json();
    let name =
        |ports: &str| inspected[ports][0].as_str().unwrap().split(':').next().unwrap().to_owned();
    let input = format!("{}={}", name("inputs"), digits("images.npy"));
    let path = folder.path().join("out.npy");
    let output = format!("{}={}", name("outputs"), path.display());
    anabranch(&["run", &model, "--input", &input, "--output", &output]).clean();
    assert_eq!(read(path).shape(), [1797, 10]);
}
