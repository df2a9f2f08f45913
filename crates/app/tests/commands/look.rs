use crate::support::{anabranch, digits};

#[test]
fn devices_are_listed() {
    let said = anabranch(&["devices"]).clean();
    for words in ["cpu:0", "null:0", "sim:0"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_ne!(said.contains("cuda:0"), said.contains("no CUDA devices: "), "{said}");
    let json = anabranch(&["devices", "--json"]).json();
    assert_eq!(json[0]["name"], "cpu:0");
    assert!(1 <= json[0]["cores"].as_u64().unwrap());
    assert!(0 < json[0]["memory_bytes"].as_u64().unwrap());
}

#[test]
fn a_model_is_described() {
    let model = digits("conv-bn.onnx");
    let said = anabranch(&["inspect", &model, "--batch", "4"]).clean();
    for words in ["input", "output", "4×1×8×8", "conv2d", "flops", "intermediate results"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let json = anabranch(&["inspect", &model, "--shape", "image=3x1x8x8", "--json"]).json();
    let plan = &json["plan"];
    assert_eq!(plan["shapes"][0]["shape"].as_array().unwrap()[0], 3);
    let steps = plan["steps"].as_array().unwrap();
    let operators = json["operators"].as_u64().unwrap();
    assert!(u64::try_from(steps.len()).unwrap() < operators, "operators are fused: {json}");
    let flops: u64 = steps.iter().map(|step| step["flops"].as_u64().unwrap()).sum();
    assert_eq!(plan["flops"].as_u64(), Some(flops));
}

#[test]
fn help_and_version() {
    let help = anabranch(&["--help"]).clean();
    for command in ["run", "stress", "bench", "inspect", "devices", "Exit codes"] {
        assert!(help.contains(command), "{command}: {help}");
    }
    assert!(!anabranch(&["bench", "--help"]).clean().contains("peer"));
    assert!(anabranch(&["--version"]).clean().starts_with("anabranch 0."));
}

#[test]
fn logs_are_for_who_asks() {
    let said = anabranch(&["stress", "--ops", "1", "--log", "info"]);
    assert_eq!(said.code, Some(0));
    assert!(said.err.contains("opened"), "{}", said.err);
}
