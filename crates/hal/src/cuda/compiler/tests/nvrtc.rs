//! With NVRTC where the system finds it.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use tempfile::TempDir;

use super::super::{Compiler, Nvrtc};
use super::{Functions, UNITS, cache};
use crate::cuda::overlap::waiting;
use crate::device::Libraries;

/// A driver that reads all PTX.
const ANY: (i32, i32) = (i32::MAX, 0);

/// The body of each function: its parameters, and how often it has each instruction.
fn bodies(ptx: &str) -> BTreeMap<&str, (String, BTreeMap<&str, usize>)> {
    let body = |text| {
        let (head, body) = str::split_once(text, "\n{\n")?;
        let (name, parameters) = head.split_once('(')?;
        let mut counts = BTreeMap::new();
        for line in body.lines().take_while(|line| *line != "}") {
            let instruction = line.split_whitespace().find(|word| !word.starts_with('@'));
            // The compiler lets follow from where its memory lies what it keeps in which register,
            // and which loads it joins.
            let Some(instruction) = instruction.filter(|word| word.contains('.')) else { continue };
            let free = [".", "mov.", "ld.shared."];
            if !free.iter().any(|free| instruction.starts_with(free)) {
                *counts.entry(instruction).or_default() += 1;
            }
        }
        Some((name, (parameters.to_owned(), counts)))
    };
    ptx.split(".visible .entry ").skip(1).filter_map(body).collect()
}

/// The functions are those that were compiled ahead of time when it is the compiler of then, and
/// are found on disk the second time.
#[test]
fn the_compiler_of_the_system_makes_the_functions_and_they_are_kept() {
    let folder = TempDir::new().unwrap();
    let found = Nvrtc::find(ANY).unwrap();
    let of = |found: Result<Nvrtc, String>| {
        Functions::of(Libraries::Always, found, 80, &cache(&folder))
            .unwrap_or_else(|error| panic!("{error}"))
    };
    let begin = Instant::now();
    let functions = of(Ok(found));
    println!("{}, compiled in {:?}", functions.told(), begin.elapsed());
    for (unit, text) in UNITS.iter().zip(functions.texts()) {
        let (made, ahead) = (bodies(text), bodies(unit.ptx));
        assert!(made.keys().eq(ahead.keys()));
        let waits = waiting(text).matches("\n{\n\tgriddepcontrol.wait;\n").count();
        assert_eq!(waits, made.len(), "every function waits for the one before");
        let version = |text: &str| super::made_by(text).0.to_owned();
        if version(text) == version(unit.ptx) {
            for (name, body) in &ahead {
                assert_eq!(&made[name], body, "{name}");
            }
        }
    }
    let begin = Instant::now();
    let again = of(Ok(found));
    println!("found on disk in {:?}", begin.elapsed());
    assert!(functions.texts().eq(again.texts()));
    let kept = fs::read_dir(folder.path().join("anabranch")).unwrap().count();
    assert_eq!(kept, UNITS.len());
}

#[test]
fn the_compiler_of_the_system_names_the_error_of_a_source() {
    let found = Nvrtc::find(ANY).unwrap();
    let options = ["--gpu-architecture=compute_80"];
    let reason = Compiler::compile(&found, "__device__ int x = y;\n", &options).unwrap_err();
    assert!(reason.contains("nvrtcCompileProgram"), "{reason}");
    assert!(reason.contains("anabranch.cu(1): error: identifier \"y\" is undefined"), "{reason}");
}
