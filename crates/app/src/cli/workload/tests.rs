use anabranch::{DeviceOptions, Session, SessionOptions, open_device};

use super::{ALL, Workload, founding, parse};
use crate::random::Random;

#[test]
fn every_network_runs_and_its_seed_matters() {
    let device = open_device("cpu:0", &DeviceOptions::default()).unwrap();
    for workload in ALL {
        let input = workload.random_input(&mut Random::new(3)).unwrap();
        let run = |seed| {
            let model = workload.model(seed).unwrap();
            let session = Session::from_model(&device, model, &SessionOptions::default()).unwrap();
            session.run(&[(Workload::INPUT, &input)]).unwrap().remove(0).1
        };
        let output = run(1);
        assert_eq!(output.shape()[0], workload.shape[0], "{}", workload.name);
        let values = output.as_f32().unwrap();
        assert!(values.iter().all(|value| value.is_finite()), "{}", workload.name);
        assert!(values.iter().any(|value| *value != values[0]), "{}", workload.name);
        assert_eq!(run(1), output, "{}", workload.name);
        assert_ne!(run(2), output, "{}", workload.name);
    }
}

#[test]
fn names_are_known() {
    assert_eq!(
        founding().iter().map(|w| w.title).collect::<Vec<_>>(),
        ["Conv+BN", "InstanceNorm+BatchNorm"]
    );
    assert_eq!(parse("all").unwrap().len(), ALL.len());
    assert_eq!(parse("mlp,conv-bn").unwrap()[0].title, "MLP");
    for text in ["", "mlp,", "MLP", "nothing"] {
        assert!(parse(text).unwrap_err().contains("conv-bn"), "{text}");
    }
}

#[test]
fn tokens_are_below_their_bound() {
    let embedding = super::find("embedding").unwrap();
    let super::Input::Tokens(count) = embedding.input else { panic!("not tokens") };
    let input = embedding.random_input(&mut Random::new(3)).unwrap();
    let tokens = input.as_i64().unwrap();
    assert!(tokens.iter().all(|&token| 0 <= token && token.cast_unsigned() < count));
    assert!(tokens.iter().any(|&token| count < 2 * token.cast_unsigned()));
}
