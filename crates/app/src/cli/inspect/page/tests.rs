use anabranch::{Dim, Model, ModelBuilder, ModelLimits, ValuePlace};

use super::graph::lanes;
use super::*;

fn described(model: &Model, shape: &[usize]) -> (Summary, PlanInfo) {
    let plan = model.describe(&[shape.to_vec()], &ModelLimits::default()).unwrap();
    let mut summary = Summary::of("file.onnx", model);
    summary.describe(&plan);
    (summary, plan)
}

/// Blocks with a residual each, around a pooling that fits no residual.
fn network(blocks: usize) -> Model {
    let mut model = ModelBuilder::new("network", 1);
    let mut y = model.input("x", &[1, 4, 8, 8].map(Dim::Known));
    for _ in 0..blocks {
        let inner = model.conv2d(y, 4, 4, 3, 1);
        let inner = model.softmax(inner);
        y = model.add(inner, y);
    }
    model.output("y", y);
    model.build().unwrap()
}

#[test]
fn no_two_values_share_a_lane_at_a_time() {
    let (_, plan) = described(&network(20), &[1, 4, 8, 8]);
    let lanes = lanes(&plan);
    assert_eq!(lanes.len(), plan.values.len());
    for (a, one) in lanes.iter().enumerate() {
        assert!(one.first <= one.last, "{one:?}");
        for other in lanes.iter().skip(a + 1).filter(|other| other.lane == one.lane) {
            assert!(one.last <= other.first || other.last <= one.first, "{one:?} {other:?}");
        }
    }
    // A network of blocks needs a lane for the block and one for what goes around it.
    assert!(lanes.iter().all(|lane| lane.lane < 3), "{lanes:?}");
}

#[test]
fn every_step_has_a_row_and_its_details() {
    let (summary, plan) = described(&network(170), &[1, 4, 8, 8]);
    assert!(500 <= plan.steps.len(), "{}", plan.steps.len());
    let page = page(&summary, &plan);
    for index in 0..plan.steps.len() {
        for mark in ["<a class=\"row\" id=\"r", "<aside id=\"s"] {
            assert_eq!(page.matches(&format!("{mark}{index}\"")).count(), 1, "{mark}{index}");
        }
    }
    assert_eq!(page.matches("<circle ").count(), plan.steps.len() + 2);
    let arena = plan.values.iter().filter(|v| matches!(v.place, ValuePlace::Arena(_))).count();
    assert_eq!(page.matches("<rect ").count(), arena);
    assert!(page.len() < 4 << 20, "{} bytes", page.len());
}

#[test]
fn what_a_file_says_is_only_text() {
    let hostile = "</title><script>alert(1)</script>\" onload='x' &amp; \u{202e}\u{0}";
    let mut model = ModelBuilder::new(hostile, 1);
    let x = model.input(hostile, &[Dim::Known(4)]);
    let y = model.softmax(x);
    let y = model.softmax(y);
    model.output(hostile, y);
    let model = model.build().unwrap();
    let mut plan = model.describe(&[vec![4]], &ModelLimits::default()).unwrap();
    for node in &mut plan.nodes {
        hostile.clone_into(&mut node.name);
        hostile.clone_into(&mut node.operator);
    }
    for value in &mut plan.values {
        hostile.clone_into(&mut value.name);
    }
    for step in &mut plan.steps {
        step.why = anabranch::Reason::Routine(anabranch::Misfit::Operator(hostile.to_owned()));
    }
    let mut summary = Summary::of(hostile, &model);
    summary.describe(&plan);
    let page = page(&summary, &plan);
    assert!(page.contains("&lt;script&gt;"), "{page}");
    for bad in ["<script", "onload='", "\u{202e}", "\u{0}"] {
        assert_eq!(page.matches(bad).count(), 0, "{bad:?}");
    }
    // Outside of quoted values, tags are made of what the page writes itself.
    for (tag, _) in page.split('<').skip(1).filter_map(|rest| rest.split_once('>')) {
        for outside in tag.split('"').step_by(2) {
            let plain = |c: char| c.is_ascii_alphanumeric() || " -=/!".contains(c);
            assert!(outside.chars().all(plain) && !outside.contains("onload"), "<{tag}>");
        }
    }
    assert!(page.contains("default-src 'none'"));
}
