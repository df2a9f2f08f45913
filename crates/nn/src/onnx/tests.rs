mod bodies;
mod catalogue;
mod fates;
mod transposed;

use prost::Message;

use super::proto::*;
use super::*;
use crate::{ErrorKind, Model};

fn limits() -> Limits {
    Limits::default()
}

/// A model under construction, the way files have it.
#[derive(Clone, Default)]
struct File {
    graph: GraphProto,
    opset: i64,
}

impl File {
    fn new() -> Self {
        Self { opset: 17, ..Self::default() }.port(true, "x", &[2, 3]).port(false, "y", &[2, 3])
    }

    fn port(mut self, input: bool, name: &str, dims: &[i64]) -> Self {
        let dim = |&dim: &i64| DimensionProto { value: Some(DimensionValue::Known(dim)) };
        let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
        let declared = TensorTypeProto { elem_type: Some(1), shape };
        let port = ValueInfoProto {
            name: Some(name.to_owned()),
            r#type: Some(TypeProto { tensor_type: Some(declared) }),
        };
        let ports = if input { &mut self.graph.input } else { &mut self.graph.output };
        ports.push(port);
        self
    }

    fn node(mut self, operator: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        self.graph.node.push(NodeProto {
            op_type: Some(operator.to_owned()),
            input: owned(inputs),
            output: owned(outputs),
            ..NodeProto::default()
        });
        self
    }

    fn attribute(mut self, attribute: AttributeProto) -> Self {
        self.graph.node.last_mut().unwrap().attribute.push(attribute);
        self
    }

    fn integers(self, name: &str, ints: &[i64]) -> Self {
        self.attribute(AttributeProto {
            name: Some(name.to_owned()),
            ints: ints.to_vec(),
            r#type: Some(attribute_type::INTS),
            ..AttributeProto::default()
        })
    }

    fn integer(self, name: &str, value: i64) -> Self {
        self.attribute(AttributeProto {
            name: Some(name.to_owned()),
            i: Some(value),
            r#type: Some(attribute_type::INT),
            ..AttributeProto::default()
        })
    }

    fn tensor(mut self, tensor: TensorProto) -> Self {
        self.graph.initializer.push(tensor);
        self
    }

    fn opset(self, opset: i64) -> Self {
        Self { opset, ..self }
    }

    fn bytes(&self) -> Vec<u8> {
        let set = OperatorSetIdProto { domain: None, version: Some(self.opset) };
        let model = ModelProto {
            ir_version: Some(8),
            graph: Some(self.graph.clone()),
            opset_import: vec![set],
            ..ModelProto::default()
        };
        model.encode_to_vec()
    }

    fn error(&self) -> Error {
        match Model::parse(&self.bytes(), &limits()) {
            Err(error) => error,
            Ok(model) => {
                let shapes = vec![vec![2, 3]; model.inputs().len()];
                model.describe(&shapes, &limits()).expect_err("the model was accepted")
            }
        }
    }

    fn kernels(&self) -> Vec<&'static str> {
        let model = Model::parse(&self.bytes(), &limits()).unwrap();
        let plan = model.describe(&[vec![2, 3]], &limits()).unwrap();
        plan.steps.iter().map(|step| step.kernel).collect()
    }
}

fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        dims: dims.to_vec(),
        data_type: Some(1),
        float_data: values.to_vec(),
        ..TensorProto::default()
    }
}

fn integers(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        dims: vec![i64::try_from(values.len()).unwrap()],
        data_type: Some(7),
        int64_data: values.to_vec(),
        ..TensorProto::default()
    }
}

fn external(entries: &[(&str, &str)]) -> TensorProto {
    let entry = |&(key, value): &(&str, &str)| StringStringEntryProto {
        key: Some(key.to_owned()),
        value: Some(value.to_owned()),
    };
    TensorProto {
        float_data: Vec::new(),
        data_location: Some(DATA_LOCATION_EXTERNAL),
        external_data: entries.iter().map(entry).collect(),
        ..floats("w", &[2, 3], &[])
    }
}

#[track_caller]
fn assert_error(file: &File, kind: ErrorKind, words: &str) {
    let error = file.error();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "'{error}' lacks '{words}'");
}

#[test]
fn a_small_model_is_read() {
    let file = File::new().node("Relu", &["x"], &["y"]);
    let model = Model::parse(&file.bytes(), &limits()).unwrap();
    assert_eq!(model.inputs()[0].to_string(), "x: f32[2×3]");
    assert_eq!(file.kernels(), ["unary"]);
}

#[test]
fn nodes_in_any_order_are_sorted() {
    let file = File::new().node("Relu", &["h"], &["y"]).node("Neg", &["x"], &["h"]);
    assert_eq!(file.kernels(), ["unary", "unary"]);
}

#[test]
fn contradictions_of_the_graph_are_named() {
    use ErrorKind::{InvalidModel, LimitExceeded, Malformed, Unsupported};
    let new = File::new;
    let cycle = new().node("Add", &["x", "b"], &["a"]).node("Relu", &["a"], &["b"]);
    assert_error(&cycle.node("Relu", &["b"], &["y"]), InvalidModel, "node 0 'a' (Add)");
    let missing = new().node("Add", &["x", "ghost"], &["y"]);
    assert_error(&missing, InvalidModel, "needs 'ghost', which nothing makes");
    let twice = new().node("Relu", &["x"], &["y"]).node("Neg", &["x"], &["y"]);
    assert_error(&twice, InvalidModel, "node 1 'y' (Neg): defines 'y'");
    assert_error(&new().node("Relu", &["x"], &["x"]), InvalidModel, "input 'x'");
    assert_error(&new(), InvalidModel, "output 'y' is made by nothing");
    assert_error(&new().node("Relu", &["x"], &["z"]), InvalidModel, "'y'");
    assert_error(&new().node("Frobnicate", &["x"], &["y"]), Unsupported, "'Frobnicate'");
    assert_error(&new().node("Relu", &[], &["y"]), InvalidModel, "0 inputs");
    assert_error(&new().node("Relu", &[""], &["y"]), InvalidModel, "required input");
    assert_error(&new().node("Relu", &["x"], &["y"]).opset(6), Unsupported, "operator set 6");
    assert_error(&new().node("Relu", &["x"], &["y"]).opset(28), Unsupported, "operator set 28");
    let two = new().port(false, "y", &[2, 3]).node("Relu", &["x"], &["y"]);
    assert_error(&two, InvalidModel, "two outputs 'y'");
    let two = new().port(true, "x", &[2, 3]).node("Relu", &["x"], &["y"]);
    assert_error(&two, InvalidModel, "two inputs 'x'");
    let mut foreign = new().node("Relu", &["x"], &["y"]);
    foreign.graph.node[0].domain = Some("com.example".into());
    assert_error(&foreign, Unsupported, "com.example");
    let odd = new().node("Relu", &["x"], &["y"]).integer("colour", 3);
    assert_error(&odd, Unsupported, "'colour'");
    let negative = File { opset: 17, ..File::default() }.port(true, "x", &[-1]);
    assert_error(&negative.port(false, "x", &[2]), InvalidModel, "extent -1");
    let deep = File { opset: 17, ..File::default() }.port(true, "x", &[1; 9]);
    assert_error(&deep.port(false, "x", &[2]), LimitExceeded, "9 axes");
    assert_eq!(Model::parse(b"", &limits()).unwrap_err().kind(), Malformed);
    let small = Limits { model_bytes_max: 3, ..limits() };
    assert_eq!(Model::parse(b"1234", &small).unwrap_err().kind(), LimitExceeded);
}

#[test]
fn side_results_are_not_made() {
    let inputs = ["x", "w", "w", "w", "w"];
    let results = |first| [first, "mean", "variance", "saved", "inverse"];
    let new = || File::new().tensor(floats("w", &[3], &[1.0; 3]));
    let file = new().port(false, "saved", &[3]).node("BatchNormalization", &inputs, &results("y"));
    assert_error(&file, ErrorKind::Unsupported, "output 'saved'");
    let used = new().node("BatchNormalization", &inputs, &results("a"));
    let used = used.node("Neg", &["saved"], &["y"]);
    assert_error(&used, ErrorKind::InvalidModel, "needs 'saved'");
}

#[test]
fn shapes_that_do_not_fit_are_named() {
    let new = || File::new().tensor(floats("w", &[4, 5], &[0.5; 20]));
    let product = new().node("MatMul", &["x", "w"], &["y"]);
    assert_error(&product, ErrorKind::InvalidModel, "cannot multiply f32[2×3] by f32[4×5]");
    let sum = new().node("Add", &["x", "w"], &["y"]);
    assert_error(&sum, ErrorKind::InvalidModel, "f32[2×3] and f32[4×5]");
    let conv = new().node("Conv", &["x", "w"], &["y"]);
    assert_error(&conv, ErrorKind::InvalidModel, "node 0 'y' (Conv)");
    let reshape = new().tensor(integers("s", &[7, -1])).node("Reshape", &["x", "s"], &["y"]);
    assert_error(&reshape, ErrorKind::InvalidModel, "[7, -1]");
    let computed = new().node("Cast", &["x"], &["s"]).integer("to", 7);
    let computed = computed.node("Reshape", &["x", "s"], &["y"]);
    assert_error(&computed, ErrorKind::Unsupported, "computed from data");
}

#[test]
fn hostile_constants_are_refused() {
    use ErrorKind::{InvalidModel, LimitExceeded, Unsupported};
    let with = |tensor| File::new().tensor(tensor).node("Add", &["x", "w"], &["y"]);
    assert_error(&with(floats("w", &[2, 3], &[1.0; 5])), InvalidModel, "24 bytes, and has 20");
    assert_error(&with(floats("w", &[-2, 3], &[])), InvalidModel, "[-2, 3]");
    assert_error(&with(floats("w", &[i64::MAX, i64::MAX], &[])), LimitExceeded, "too large");
    assert_error(&with(floats("w", &[1 << 62], &[])), LimitExceeded, "too large");
    let typeless = TensorProto { data_type: None, ..floats("w", &[1], &[1.0]) };
    assert_error(&with(typeless), InvalidModel, "no type");
    let text = TensorProto { data_type: Some(8), ..floats("w", &[1], &[1.0]) };
    assert_error(&with(text), Unsupported, "type 8");
    let double = TensorProto { raw_data: Some(vec![0; 4]), ..floats("w", &[1], &[1.0]) };
    assert_error(&with(double), InvalidModel, "two places");
    let again = with(floats("w", &[1], &[1.0])).tensor(floats("w", &[1], &[1.0]));
    assert_error(&again, InvalidModel, "constant 'w'");
    let bomb = File::new()
        .tensor(integers("s", &[1 << 20, 1 << 20]))
        .node("ConstantOfShape", &["s"], &["w"])
        .node("Add", &["x", "w"], &["y"]);
    assert_error(&bomb, LimitExceeded, "node 0 'w' (ConstantOfShape)");
    let bomb =
        File::new().tensor(integers("s", &[1 << 40, 1 << 40])).node("Expand", &["x", "s"], &["y"]);
    assert_eq!(bomb.error().kind(), InvalidModel);
    let negative = File::new()
        .tensor(integers("s", &[-1]))
        .node("ConstantOfShape", &["s"], &["w"])
        .node("Add", &["x", "w"], &["y"]);
    assert_error(&negative, InvalidModel, "extent of -1");
}

#[test]
fn folding_has_a_budget() {
    let file = File::new()
        .tensor(integers("s", &[1 << 10, 1 << 8, 3]))
        .node("ConstantOfShape", &["s"], &["w"])
        .node("Add", &["x", "w"], &["y"]);
    let model = Model::parse(&file.bytes(), &limits()).unwrap();
    let describe = |folded_bytes_max| {
        model.describe(&[vec![2, 3]], &Limits { folded_bytes_max, ..limits() }).map(drop)
    };
    let error = describe(1 << 20).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
    assert!(error.to_string().contains("may grow by 1048576 bytes"), "{error}");
    assert_eq!(describe(4 << 20).unwrap_err().kind(), ErrorKind::InvalidModel);
}

#[test]
fn what_takes_too_many_products_is_not_folded() {
    let file = File::new()
        .tensor(integers("s", &[2, 2]))
        .node("ConstantOfShape", &["s"], &["w"])
        .node("MatMul", &["w", "w"], &["ww"])
        .node("MatMul", &["x", "ww"], &["y"]);
    let steps = |folded_products_max| {
        let limits = Limits { folded_products_max, ..limits() };
        let model = Model::parse(&file.bytes(), &limits).unwrap();
        model.describe(&[vec![2, 2]], &limits).unwrap().steps.len()
    };
    assert_eq!((steps(8), steps(7)), (1, 2), "2 by 2 elements are sums of 2 products");
}

#[test]
fn external_data_stays_inside_its_file_and_folder() {
    let folder = std::env::temp_dir().join(format!("anabranch-onnx-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("model")).unwrap();
    let (model, data) = (folder.join("model/m.onnx"), folder.join("model/w.bin"));
    let values: Vec<u8> = (0..8u8).flat_map(|i| f32::from(i).to_le_bytes()).collect();
    std::fs::write(&data, &values).unwrap();
    std::fs::write(folder.join("outside.bin"), &values).unwrap();
    let open = |entries: &[(&str, &str)]| {
        let file = File::new().tensor(external(entries)).node("Add", &["x", "w"], &["y"]);
        std::fs::write(&model, file.bytes()).unwrap();
        Model::open(&model, &limits())
    };
    let good = open(&[("location", "w.bin"), ("offset", "8"), ("length", "24")]).unwrap();
    let weight = good.graph().values.iter().find_map(|value| value.constant.clone()).unwrap();
    assert_eq!(weight.as_f32().unwrap(), [2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    for (entries, kind) in [
        (&[("location", "w.bin"), ("offset", "12")][..], ErrorKind::InvalidModel),
        (&[("location", "w.bin"), ("offset", "18446744073709551615")], ErrorKind::InvalidModel),
        (&[("location", "w.bin"), ("length", "20")], ErrorKind::InvalidModel),
        (&[("location", "w.bin"), ("offset", "-1")], ErrorKind::InvalidModel),
        (&[("location", "../outside.bin")], ErrorKind::InvalidModel),
        (&[("location", "/etc/passwd")], ErrorKind::InvalidModel),
        (&[("location", "")], ErrorKind::InvalidModel),
        (&[("offset", "0")], ErrorKind::InvalidModel),
        (&[("location", "w.bin"), ("location", "w.bin")], ErrorKind::InvalidModel),
        (&[("location", "missing.bin")], ErrorKind::Io),
    ] {
        let error = open(entries).unwrap_err();
        assert_eq!(error.kind(), kind, "{entries:?}: {error}");
        assert_eq!(error.file(), Some(&*model));
        assert!(error.to_string().contains("constant 'w'"), "{error}");
    }
    let file = File::new().tensor(external(&[("location", "w.bin")]));
    assert_error(&file.node("Add", &["x", "w"], &["y"]), ErrorKind::InvalidModel, "from a file");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn old_attributes_are_inputs() {
    let squeeze = File::new()
        .node("Unsqueeze", &["x"], &["a"])
        .integers("axes", &[0, 3])
        .node("Squeeze", &["a"], &["b"])
        .integers("axes", &[0])
        .node("Slice", &["b"], &["c"])
        .integers("starts", &[0])
        .integers("ends", &[1])
        .integers("axes", &[1])
        .node("Pad", &["c"], &["d"])
        .integers("pads", &[0, 0, 0, 0, 2, 0])
        .node("ReduceSum", &["d"], &["e"])
        .integers("axes", &[2])
        .node("Clip", &["e"], &["y"])
        .opset(9);
    assert_eq!(squeeze.kernels(), ["fill", "strided_copy", "reduce", "unary"]);
}

#[test]
fn constants_listed_as_inputs_are_constants() {
    let file = File::new().port(true, "w", &[3]).tensor(floats("w", &[3], &[1.0; 3])).node(
        "Add",
        &["x", "w"],
        &["y"],
    );
    let model = Model::parse(&file.bytes(), &limits()).unwrap();
    assert_eq!(model.inputs().len(), 1);
}

#[test]
fn a_gemm_is_one_kernel() {
    let file = File::new()
        .tensor(floats("w", &[4, 3], &[0.5; 12]))
        .tensor(floats("b", &[4], &[1.0; 4]))
        .node("Gemm", &["x", "w", "b"], &["h"])
        .integer("transB", 1)
        .attribute(AttributeProto {
            name: Some("beta".into()),
            f: Some(0.5),
            r#type: Some(attribute_type::FLOAT),
            ..AttributeProto::default()
        })
        .node("Relu", &["h"], &["y"]);
    assert_eq!(file.kernels(), ["matmul"]);
}

/// A constant whose elements lie in a field of their own.
fn raw(name: &str, dims: &[i64], data_type: i32, bytes: Vec<u8>) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        dims: dims.to_vec(),
        data_type: Some(data_type),
        raw_data: Some(bytes),
        ..TensorProto::default()
    }
}

/// The constants of a model, or what is wrong with it.
type Reading = Result<Vec<Option<Tensor>>, (ErrorKind, String)>;

/// What a file and its bytes are read as.
fn read_both(path: &Path, bytes: &[u8]) -> [Reading; 2] {
    std::fs::write(path, bytes).unwrap();
    [Model::open(path, &limits()), Model::parse(bytes, &limits())].map(|model| match model {
        Ok(model) => Ok(model.graph().values.iter().map(|value| value.constant.clone()).collect()),
        Err(error) => {
            let named = format!("{}: ", path.display());
            Err((error.kind(), error.to_string().replace(&named, "")))
        }
    })
}

#[test]
fn a_file_is_read_like_its_bytes() {
    let path = std::env::temp_dir().join(format!("anabranch-outline-{}", std::process::id()));
    let pattern = |count: usize| (0..=250).cycle().step_by(37).take(count).collect::<Vec<u8>>();
    let large = raw("large", &[40, 50], 1, pattern(8000));
    let with = |tensors: &[TensorProto]| {
        let file = tensors.iter().cloned().fold(File::new(), File::tensor);
        file.node("Relu", &["x"], &["y"]).bytes()
    };
    let whole = with(&[
        floats("first", &[2], &[1.0, 2.0]),
        large.clone(),
        raw("narrow", &[9999], 22, pattern(5000)),
        raw("bytes", &[5000], 3, pattern(5000)),
        raw("small", &[4], 2, pattern(4)),
    ]);
    let [opened, parsed] = read_both(&path, &whole);
    assert_eq!(opened.as_ref().unwrap().iter().flatten().count(), 5);
    assert_eq!(opened, parsed);
    let wrong = [
        with(&[raw("large", &[40, 51], 1, pattern(8000))]),
        with(&[TensorProto { float_data: vec![1.0], ..large.clone() }]),
        with(&[TensorProto { data_type: Some(8), ..large.clone() }]),
        with(&[TensorProto { data_location: Some(DATA_LOCATION_EXTERNAL), ..large.clone() }]),
        vec![0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        vec![0x3a, 0x02, 0x2a, 0x7f],
        vec![0x3b, 0x00],
    ];
    for bytes in &wrong {
        let [opened, parsed] = read_both(&path, bytes);
        assert!(opened.is_err());
        // Where the weights are not in the file, the bytes alone say something else.
        if !format!("{parsed:?}").contains("from a file") {
            assert_eq!(opened, parsed);
        }
    }
    for length in (0..whole.len()).step_by(211) {
        let [opened, parsed] = read_both(&path, &whole[..length]);
        assert_eq!(opened, parsed, "{length} bytes");
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn the_last_elements_of_a_constant_count() {
    let path = std::env::temp_dir().join(format!("anabranch-again-{}", std::process::id()));
    // A message may be written in pieces; the last of a field wins.
    let piece = |value: u8, count: usize| {
        let elements = TensorProto { raw_data: Some(vec![value; count]), ..TensorProto::default() };
        elements.encode_to_vec()
    };
    let head = TensorProto {
        name: Some("w".into()),
        dims: vec![8000],
        data_type: Some(2),
        ..TensorProto::default()
    };
    for (pieces, good) in [
        (vec![piece(1, 8000), piece(2, 8000)], true),
        (vec![piece(1, 80), piece(2, 8000)], true),
        (vec![piece(2, 8000), piece(1, 80)], false),
    ] {
        let tensor = [head.encode_to_vec(), pieces.concat()].concat();
        let mut graph = vec![0x2a];
        prost::encoding::encode_varint(tensor.len() as u64, &mut graph);
        graph.extend(tensor);
        let mut bytes = File::new().node("Relu", &["x"], &["y"]).bytes();
        bytes.push(0x3a);
        prost::encoding::encode_varint(graph.len() as u64, &mut bytes);
        bytes.extend(graph);
        let [opened, parsed] = read_both(&path, &bytes);
        assert_eq!(opened, parsed);
        match opened {
            Ok(constants) => {
                let elements = constants.into_iter().flatten().next().unwrap();
                assert!(good && elements.as_u8().unwrap().iter().all(|&element| element == 2));
            }
            Err(error) => assert!(!good, "{error:?}"),
        }
    }
    std::fs::remove_file(path).unwrap();
}
