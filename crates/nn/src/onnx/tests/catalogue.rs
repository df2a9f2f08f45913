//! Every operator on constants of every kind: none panics, whatever it is given.

use proptest::prelude::*;

use super::*;

/// Types that constants are of here: floats, integers, truth.
const TYPES: [i32; 6] = [1, 7, 6, 2, 9, 10];

fn constant(name: &str, dtype: i32, dims: &[i64], seed: u8) -> TensorProto {
    let count: i64 = dims.iter().product();
    let value = |at: i64| u8::try_from((at * 7 + i64::from(seed)) % 5).unwrap();
    let signed = |at: i64| i64::from(value(at)) - 1;
    let bytes: Vec<u8> = (0..count)
        .flat_map(|at| match dtype {
            1 => (f32::from(value(at)) - 1.0).to_le_bytes().to_vec(),
            7 => signed(at).to_le_bytes().to_vec(),
            6 => i32::try_from(signed(at)).unwrap().to_le_bytes().to_vec(),
            10 => (0x3c00 + u16::from(value(at))).to_le_bytes().to_vec(),
            9 => vec![value(at) % 2],
            _ => vec![value(at)],
        })
        .collect();
    TensorProto {
        name: Some(name.to_owned()),
        dims: dims.to_vec(),
        data_type: Some(dtype),
        raw_data: Some(bytes),
        ..TensorProto::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn no_operator_panics_on_constants(
        kinds in prop::collection::vec((0usize..6, prop::collection::vec(0i64..4, 0..5), 0u8..5), 7),
        same in any::<bool>(),
        outputs in 1usize..4,
        integer in -2i64..4,
    ) {
        let names: Vec<String> = (0..kinds.len()).map(|index| format!("c{index}")).collect();
        for name in crate::onnx::operators::names() {
            for inputs in 1..=kinds.len() {
                let mut file = File::new();
                for (at, (dtype, dims, seed)) in kinds.iter().enumerate() {
                    let (dtype, dims) = if same { (&kinds[0].0, &kinds[0].1) } else { (dtype, dims) };
                    file = file.tensor(constant(&names[at], TYPES[*dtype], dims, *seed));
                }
                let given: Vec<&str> = names[..inputs].iter().map(String::as_str).collect();
                let made: Vec<&str> = ["y", "second", "third"][..outputs].to_vec();
                for attribute in ["axis", "blocksize", "num_groups", "none"] {
                    let file = file.clone().node(name, &given, &made);
                    let file = if attribute == "none" { file } else { file.integer(attribute, integer) };
                    if let Ok(model) = Model::parse(&file.bytes(), &limits()) {
                        let _ = model.describe(&[vec![2, 3]], &limits());
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn no_operator_panics_on_what_is_computed(
        kinds in prop::collection::vec((0usize..6, prop::collection::vec(0i64..4, 0..5), 0u8..5), 7),
        same in any::<bool>(),
        computed in any::<u8>(),
        outputs in 1usize..4,
        integer in -2i64..4,
    ) {
        let names: Vec<String> = (0..kinds.len()).map(|index| format!("c{index}")).collect();
        let chosen: Vec<String> = (0..kinds.len()).map(|index| format!("d{index}")).collect();
        let mut file = File::new().node("ReduceMax", &["x"], &["most"]).integer("keepdims", 0);
        file = file.node("Cast", &["most"], &["which"]).integer("to", 9);
        for (at, (dtype, dims, seed)) in kinds.iter().enumerate() {
            let (dtype, dims) = if same { (&kinds[0].0, &kinds[0].1) } else { (dtype, dims) };
            file = file.tensor(constant(&names[at], TYPES[*dtype], dims, *seed));
            // The same either way, but nobody knows that before the model runs.
            let (name, result) = (&*names[at], &*chosen[at]);
            file = file.node("Where", &["which", name, name], &[result]);
        }
        let given = |at: usize| match computed >> at & 1 {
            0 => &*names[at],
            _ => &*chosen[at],
        };
        for name in crate::onnx::operators::names() {
            for inputs in 1..=kinds.len() {
                let given: Vec<&str> = (0..inputs).map(given).collect();
                let made: Vec<&str> = ["y", "second", "third"][..outputs].to_vec();
                for attribute in ["axis", "num_heads", "none"] {
                    let file = file.clone().node(name, &given, &made);
                    let file = if attribute == "none" { file } else { file.integer(attribute, integer) };
                    if let Ok(model) = Model::parse(&file.bytes(), &limits()) {
                        let _ = model.describe(&[vec![2, 3]], &limits());
                    }
                }
            }
        }
    }
}
