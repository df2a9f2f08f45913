use anabranch::{DType, DeviceOptions, Session, SessionOptions, open_device};

use super::{ALL, Workload, founding, parse};
use crate::cli::model::random_array;
use crate::random::Random;

#[test]
fn every_network_runs_and_its_seed_matters() {
    let device = open_device("cpu:0", &DeviceOptions::default()).unwrap();
    for workload in ALL {
        let input = random_array(DType::F32, workload.shape, &mut Random::new(3)).unwrap();
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
