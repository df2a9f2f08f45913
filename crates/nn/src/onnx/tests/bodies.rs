//! Functions inside a model, and control flow whose conditions are constant.

use super::*;

pub(super) fn node(operator: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    File::default().node(operator, inputs, outputs).graph.node.remove(0)
}

pub(super) fn body(nodes: Vec<NodeProto>, inputs: &[&str], outputs: &[&str]) -> GraphProto {
    let ports = |names: &[&str]| {
        let port = |name: &&str| ValueInfoProto { name: Some((*name).into()), r#type: None };
        names.iter().map(port).collect()
    };
    GraphProto { node: nodes, input: ports(inputs), output: ports(outputs), ..Default::default() }
}

pub(super) fn graph(name: &str, graph: GraphProto) -> AttributeProto {
    AttributeProto { name: Some(name.into()), g: Some(graph), ..Default::default() }
}

pub(super) fn truth(name: &str, value: u8) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        data_type: Some(9),
        raw_data: Some(vec![value]),
        ..TensorProto::default()
    }
}

pub(super) fn count(name: &str, value: i64) -> TensorProto {
    TensorProto { dims: Vec::new(), ..integers(name, &[value]) }
}

/// The kernels of a model, or what is wrong with it.
fn kernels(bytes: &[u8]) -> Result<Vec<&'static str>, Error> {
    let plan = Model::parse(bytes, &limits())?.describe(&[vec![2, 3]], &limits())?;
    Ok(plan.steps.iter().map(|step| step.kernel).collect())
}

pub(super) fn with_functions(file: &File, functions: Vec<FunctionProto>) -> Vec<u8> {
    let model = ModelProto::decode(&file.bytes()[..]).unwrap();
    ModelProto { functions, ..model }.encode_to_vec()
}

/// Twice its input, by a leaky function whose slope the call gives.
pub(super) fn twice() -> FunctionProto {
    let mut leaky = node("LeakyRelu", &["a"], &["h"]);
    leaky.attribute.push(AttributeProto {
        name: Some("alpha".into()),
        ref_attr_name: Some("slope".into()),
        r#type: Some(attribute_type::FLOAT),
        ..AttributeProto::default()
    });
    FunctionProto {
        name: Some("Twice".into()),
        domain: Some("com.example".into()),
        input: vec!["a".into()],
        output: vec!["b".into()],
        node: vec![leaky, node("Add", &["h", "h"], &["b"])],
        ..FunctionProto::default()
    }
}

pub(super) fn call(file: File) -> File {
    let mut file = file;
    file.graph.node.last_mut().unwrap().domain = Some("com.example".into());
    file.attribute(AttributeProto {
        name: Some("slope".into()),
        f: Some(0.5),
        r#type: Some(attribute_type::FLOAT),
        ..AttributeProto::default()
    })
}

#[test]
fn a_function_takes_the_place_of_each_call() {
    let file = call(File::new().node("Twice", &["x"], &["h"]));
    let file = call(file.node("Twice", &["h"], &["y"]));
    let found = kernels(&with_functions(&file, vec![twice()])).unwrap();
    // The second leaky function is part of the sum in front of it.
    assert_eq!(found, ["unary", "binary", "binary"]);
}

#[test]
fn functions_without_an_end_are_refused() {
    let mut endless = twice();
    endless.node = vec![node("Twice", &["a"], &["b"])];
    endless.node[0].domain = Some("com.example".into());
    let file = call(File::new().node("Twice", &["x"], &["y"]));
    let error = kernels(&with_functions(&file, vec![endless])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
}

#[test]
fn a_constant_condition_takes_one_branch() {
    for (value, expected) in [(1, "unary"), (0, "binary")] {
        // What a branch computes may have the name of something in the other one.
        let yes = body(vec![node("Relu", &["x"], &["inner"])], &[], &["inner"]);
        let no = body(vec![node("Add", &["x", "x"], &["inner"])], &[], &["inner"]);
        let file = File::new().tensor(truth("c", value)).node("Not", &["c"], &["d"]);
        let file = file.node("If", &["d"], &["y"]);
        let file = file.attribute(graph("then_branch", no)).attribute(graph("else_branch", yes));
        assert_eq!(kernels(&file.bytes()).unwrap(), [expected]);
    }
}

#[test]
fn a_condition_from_data_is_named() {
    let branch = || body(vec![node("Relu", &["x"], &["inner"])], &[], &["inner"]);
    let file = File::new().node("IsNaN", &["x"], &["c"]).node("If", &["c"], &["y"]);
    let file = file.attribute(graph("then_branch", branch()));
    assert_error(&file.attribute(graph("else_branch", branch())), ErrorKind::Unsupported, "(If)");
}

#[test]
fn a_loop_of_a_constant_count_is_its_rounds() {
    let round = vec![node("Identity", &["go"], &["on"]), node("Add", &["a", "x"], &["b"])];
    let round = body(round, &["number", "go", "a"], &["on", "b"]);
    let file = |rounds| {
        let file = File::new().tensor(count("n", rounds)).tensor(truth("c", 1));
        file.node("Loop", &["n", "c", "x"], &["y"]).attribute(graph("body", round.clone()))
    };
    assert_eq!(kernels(&file(3).bytes()).unwrap(), ["binary"; 3]);
    let endless = file(i64::MAX);
    assert_eq!(kernels(&endless.bytes()).unwrap_err().kind(), ErrorKind::LimitExceeded);
}

#[test]
fn a_loop_ends_when_its_condition_says_so_and_collects_results() {
    let round = vec![
        node("Less", &["number", "two"], &["on"]),
        node("Add", &["a", "x"], &["b"]),
        node("ReduceSum", &["b"], &["sum"]),
    ];
    let round = body(round, &["number", "go", "a"], &["on", "b", "sum"]);
    let file = File { opset: 17, ..File::default() }.port(true, "x", &[2, 3]);
    let file = file.port(false, "sums", &[3, 1, 1]).tensor(count("two", 2));
    let file = file.node("Loop", &["", "", "x"], &["y", "sums"]).attribute(graph("body", round));
    let model = Model::parse(&file.bytes(), &limits()).unwrap();
    let plan = model.describe(&[vec![2, 3]], &limits()).unwrap();
    let reductions = plan.steps.iter().filter(|step| step.kernel == "reduce");
    assert_eq!(reductions.count(), 3);
}
