use anabranch_hal::kernel::Function;

use super::*;

fn relu(graph: &mut Graph, from: ValueId) -> ValueId {
    let to = graph.add_value(format!("v{}", graph.values.len()));
    let label = graph.story.begin(graph.nodes.len(), String::new(), "Relu");
    graph.push(&label, Op::Unary(Function::Relu), vec![Some(from)], vec![Some(to)]);
    to
}

fn port(name: &str) -> Port {
    Port { name: name.to_owned(), dtype: DType::F32, dims: None }
}

#[test]
fn sorting_keeps_an_order_that_is_right_and_mends_one_that_is_not() {
    let mut graph = Graph::default();
    let x = graph.add_value("x");
    graph.inputs.push((x, port("x")));
    let a = relu(&mut graph, x);
    let b = relu(&mut graph, a);
    relu(&mut graph, b);
    let indices = |graph: &Graph| graph.nodes.iter().map(|n| n.label.index).collect::<Vec<_>>();
    graph.sort().unwrap();
    assert_eq!(indices(&graph), [0, 1, 2]);
    graph.nodes.reverse();
    graph.sort().unwrap();
    assert_eq!(indices(&graph), [0, 1, 2]);
}

#[test]
fn pruning_drops_what_no_output_needs() {
    let mut graph = Graph::default();
    let x = graph.add_value("x");
    graph.inputs.push((x, port("x")));
    let constant = graph.add_constant("c", Tensor::zeros(DType::F32, &[4]).unwrap());
    let wanted = relu(&mut graph, x);
    let unwanted = relu(&mut graph, constant);
    relu(&mut graph, unwanted);
    graph.outputs.push((wanted, port("y")));
    assert_eq!(graph.weight_bytes(), 16);
    graph.prune();
    assert_eq!(graph.nodes.len(), 1);
    assert_eq!(graph.weight_bytes(), 0);
}
