//! Hostile files: none of them makes the readers or the planner panic, hang or allocate without
//! bound, and those of the corpora are told apart.

use std::fs;
use std::path::PathBuf;

use anabranch_nn::{Dim, ErrorKind, Limits, Model, npy};
use proptest::prelude::*;

fn limits() -> Limits {
    Limits { folded_bytes_max: 1 << 20, ..Limits::default() }
}

/// Reads a model, and plans it if it can be read.
fn exercise_onnx(bytes: &[u8]) -> Result<(), ErrorKind> {
    let model = Model::parse(bytes, &limits()).map_err(|error| error.kind())?;
    let extent = |dim: &Dim| if let Dim::Known(extent) = dim { *extent } else { 2 };
    let shapes: Vec<Vec<usize>> = model
        .inputs()
        .iter()
        .map(|port| port.dims.iter().flatten().map(extent).collect())
        .collect();
    model.describe(&shapes, &limits()).map(drop).map_err(|error| error.kind())
}

fn asset(name: &str) -> Vec<u8> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/digits/");
    fs::read(format!("{root}{name}")).unwrap()
}

/// The files of a corpus, by name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus"));
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(root.join(target))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    assert!(8 < files.len(), "the corpus of {target} is missing");
    files
}

#[test]
fn every_file_of_the_onnx_corpus_ends_as_its_name_says() {
    for (name, bytes) in corpus("onnx") {
        let result = exercise_onnx(&bytes);
        assert_eq!(result.is_ok(), name.starts_with("good-"), "{name}: {result:?}");
    }
}

#[test]
fn every_file_of_the_npy_corpus_ends_as_its_name_says() {
    for (name, bytes) in corpus("npy") {
        let result = npy::parse(&bytes, &limits());
        assert_eq!(result.is_ok(), name.starts_with("good-"), "{name}: {result:?}");
    }
}

#[test]
fn a_truncated_model_is_malformed_or_invalid() {
    for name in ["digits-conv-bn.onnx", "digits-instance-norm.onnx"] {
        let bytes = asset(name);
        assert_eq!(exercise_onnx(&bytes), Ok(()));
        for length in (0..bytes.len()).step_by(37) {
            let error = exercise_onnx(&bytes[..length]).unwrap_err();
            let expected = [ErrorKind::Malformed, ErrorKind::InvalidModel];
            assert!(expected.contains(&error), "{name} to {length}: {error:?}");
        }
    }
}

#[test]
fn a_truncated_array_is_malformed() {
    let bytes = asset("digits-labels.npy");
    for length in (0..bytes.len()).step_by(37) {
        let error = npy::parse(&bytes[..length], &limits()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
    }
}

/// Positions of a model's bytes that are not weights: flips there are the interesting ones.
fn structure(bytes: &[u8]) -> Vec<usize> {
    // Weights are the only long runs without the names of nodes and values.
    let text: Vec<usize> =
        (0..bytes.len()).filter(|&at| bytes[at].is_ascii_alphanumeric()).collect();
    let near = |&at: &usize| text.windows(4).any(|four| four[0] == at && four[3] == at + 3);
    let words: Vec<usize> = text.iter().filter(|at| near(at)).copied().collect();
    let mut positions: Vec<usize> =
        words.iter().flat_map(|&at| at.saturating_sub(12)..(at + 24).min(bytes.len())).collect();
    positions.dedup();
    positions
}

#[test]
fn single_flipped_bits_never_panic() {
    let bytes = asset("digits-instance-norm.onnx");
    let head = &bytes[..bytes.len().min(4_000)];
    let mut positions = structure(head);
    positions.sort_unstable();
    positions.dedup();
    for (index, at) in positions.into_iter().enumerate() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (index % 8);
        let _ = exercise_onnx(&flipped);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bits_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..40)) {
        let mut bytes = asset("digits-conv-bn.onnx");
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        let _ = exercise_onnx(&bytes);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(exercise_onnx(&bytes).is_err());
        let _ = npy::parse(&bytes, &limits());
    }

    #[test]
    fn spliced_models_never_panic(from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>(), length in 1usize..200) {
        let mut bytes = asset("digits-conv-bn.onnx");
        let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
        let piece: Vec<u8> = bytes[from..].iter().take(length).copied().collect();
        bytes.splice(to..to, piece);
        let _ = exercise_onnx(&bytes);
    }
}
