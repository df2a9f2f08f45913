use std::fs;
use std::path::Path;

use anabranch::Tensor;
use tempfile::tempdir;

use crate::support::{anabranch, anabranch_in, digits, list, write};

#[test]
fn every_node_is_told() {
    let model = digits("conv-bn.onnx");
    let json = anabranch(&["inspect", &model, "--json"]).json();
    let nodes = json["plan"]["nodes"].as_array().unwrap();
    let steps = json["plan"]["steps"].as_array().unwrap();
    let fate = |operator: &str| {
        let node = nodes.iter().find(|node| node["operator"] == operator).unwrap();
        node["fate"].as_str().unwrap().to_owned()
    };
    assert_eq!((&*fate("Conv"), &*fate("Relu"), &*fate("Gemm")), ("computed", "fused", "computed"));
    assert!(steps[0]["detail"].as_str().unwrap().contains("3x3, stride 1, bias, relu"), "{json}");
    assert!(steps[0]["why"].as_str().unwrap().contains("has a kernel"), "{json}");
    let sum = |list: &str, key: &str| -> u64 {
        let list = json["plan"][list].as_array().unwrap();
        list.iter().map(|entry| entry[key].as_u64().unwrap()).sum()
    };
    for key in ["flops", "read_bytes", "written_bytes"] {
        assert_eq!(sum("kinds", key), sum("steps", key), "{key}");
        assert_eq!(json["plan"][key].as_u64(), Some(sum("steps", key)), "{key}");
    }
    let said = anabranch(&["inspect", &model]).clean();
    for words in ["computed by step 0", "fused into step 0 as activation", "arena 0–"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

/// One field of a protocol buffer: bytes under a number.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut length = bytes.len();
    let mut field = vec![number << 3 | 2];
    while 0x80 <= length {
        field.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    field.push(u8::try_from(length).unwrap());
    [field, bytes.to_vec()].concat()
}

/// An input or output of one axis.
fn port(number: u8, name: &str, dtype: u8, extent: Option<u8>) -> Vec<u8> {
    let dim = extent.map_or_else(Vec::new, |extent| vec![8, extent]);
    let shape = field(2, &field(1, &dim));
    let tensor = field(1, &[vec![8, dtype], shape].concat());
    field(number, &[field(1, name.as_bytes()), field(2, &tensor)].concat())
}

/// A file with one node that reshapes `x` to what the input `to` says.
fn reshape(folder: &Path, name: &str) -> String {
    let node = [
        field(1, b"x"),
        field(1, b"to"),
        field(2, b"y"),
        field(3, name.as_bytes()),
        field(4, b"Reshape"),
    ];
    let graph = [
        field(1, &node.concat()),
        field(2, name.as_bytes()),
        port(11, "x", 1, Some(6)),
        port(11, "to", 7, Some(2)),
        port(12, "y", 1, None),
    ];
    let model = [vec![8, 8], field(7, &graph.concat()), field(8, &[16, 17])];
    fs::write(folder.join("reshape.onnx"), model.concat()).unwrap();
    "reshape.onnx".to_owned()
}

#[test]
fn shapes_may_follow_from_an_array() {
    let folder = tempdir().unwrap();
    let model = reshape(folder.path(), "turn");
    write(folder.path(), "to.npy", &Tensor::from_i64(&[2], vec![3, -1]).unwrap());
    let refused = anabranch_in(folder.path(), &["inspect", &model]);
    assert_eq!(refused.code, Some(2));
    for words in ["reshape.onnx", "'to: i64[2]'", "--input to=FILE.npy"] {
        assert!(refused.err.contains(words), "{words}: {}", refused.err);
    }
    let json = anabranch_in(folder.path(), &["inspect", &model, "--input", "to=to.npy", "--json"]);
    let json = json.json();
    assert_eq!(json["plan"]["nodes"][0]["fate"], "view");
    let values = json["plan"]["values"].as_array().unwrap();
    let y = values.iter().find(|value| value["name"] == "y").unwrap();
    assert_eq!(y["shape"], serde_json::json!([3, 2]));
    assert_eq!(json["plan"]["shapes"][1]["shape"], serde_json::json!([2]));
}

#[test]
fn the_shape_of_an_array_is_that_of_its_input() {
    let json = anabranch(&[
        "inspect",
        &digits("conv-bn.onnx"),
        "--input",
        &digits("images.npy"),
        "--json",
    ]);
    let json = json.json();
    assert_eq!(json["plan"]["shapes"][0]["shape"], serde_json::json!([1797, 1, 8, 8]));
}

#[test]
fn a_page_is_drawn() {
    let folder = tempdir().unwrap();
    let model = digits("instance-norm.onnx");
    let said = anabranch_in(folder.path(), &["inspect", &model, "--html", "page.html", "--json"]);
    let steps = said.json()["plan"]["steps"].as_array().unwrap().len();
    assert_eq!(list(folder.path()), ["page.html"]);
    let page = fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    assert_eq!(page.matches("<aside ").count(), steps);
    for outside in ["<script", "http", "@import", "url("] {
        assert!(!page.replace("http-equiv", "").contains(outside), "{outside}");
    }
}

#[test]
fn names_of_a_file_are_only_text() {
    let folder = tempdir().unwrap();
    let model = reshape(folder.path(), "<script>alert('1')</script>\u{1b}[2J");
    write(folder.path(), "to.npy", &Tensor::from_i64(&[2], vec![3, 2]).unwrap());
    let arguments = ["inspect", &model, "--input", "to=to.npy", "--html", "page.html"];
    let said = anabranch_in(folder.path(), &arguments).clean();
    assert!(!said.contains('\u{1b}'), "{said}");
    let page = fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert!(page.contains("&lt;script&gt;alert") && !page.contains("<script"), "{page}");
}
