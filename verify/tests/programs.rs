//! Random programs with faults on every device, and every program that once found a defect.
//!
//! A program that fails is shrunk and kept in `verify/corpus`, with the seed that it was drawn
//! from. `ANABRANCH_SEED` draws the same programs again.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use anabranch_sync::model::check_once;
use anabranch_sync::{Arc, Mutex};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use verify::programs::{
    BLOCKS, BUFFERS, Case, GRAPHS, On, Operation, Place, STREAMS, Step, Summary,
};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// Steps of a program.
const SHORT: Range<usize> = 1..120;
const LONG: Range<usize> = 2_000..4_000;

fn place(operands: usize) -> impl Strategy<Value = Place> {
    (0..operands, 0..BLOCKS).prop_map(|(operand, block)| Place { operand, block })
}

/// Bytes of which a block of numbers is, often of what is no number.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![3 => any::<u8>(), 1 => Just(0xff)]
}

fn operation(operands: usize) -> impl Strategy<Value = Operation> {
    use Operation as Op;
    let pair = || (place(operands), place(operands));
    prop_oneof![
        3 => (place(operands), byte()).prop_map(|(to, byte)| Op::Fill { to, byte }),
        2 => (0..operands, byte()).prop_map(|(to, byte)| Op::FillAll { to, byte }),
        4 => pair().prop_map(|(from, to)| Op::Copy { from, to }),
        2 => (0..operands, 0..operands).prop_map(|(from, to)| Op::CopyAll { from, to }),
        3 => pair().prop_map(|(from, to)| Op::Reverse { from, to }),
        3 => pair().prop_map(|(from, to)| Op::Negate { from, to }),
        2 => place(operands).prop_map(|at| Op::Negate { from: at, to: at }),
    ]
}

fn work() -> impl Strategy<Value = Step> {
    let stream = 0..STREAMS;
    prop_oneof![
        6 => (stream.clone(), operation(BUFFERS))
            .prop_map(|(stream, operation)| Step::Run { stream, operation }),
        6 => stream.clone().prop_map(|stream| Step::Host { stream }),
        1 => (stream.clone(), any::<bool>())
            .prop_map(|(stream, panics)| Step::Doom { stream, panics }),
        4 => (stream.clone(), 0..8_usize).prop_map(|(stream, ago)| Step::Wait { stream, ago }),
        1 => (0..GRAPHS, 0..BUFFERS, prop::collection::vec(operation(4), 0..5)).prop_map(
            |(graph, pinned, operations)| Step::Capture { graph, pinned, operations }
        ),
        2 => (0..GRAPHS, stream, 0..BUFFERS, 0..BUFFERS)
            .prop_map(|(graph, stream, from, to)| Step::Launch { graph, stream, from, to }),
        1 => (0..GRAPHS).prop_map(|graph| Step::Forget { graph }),
    ]
}

fn stream() -> impl Strategy<Value = Step> {
    let stream = 0..STREAMS;
    prop_oneof![
        3 => (stream.clone(), 0..3_u8).prop_map(|(stream, mode)| Step::Flush { stream, mode }),
        1 => stream.clone().prop_map(|stream| Step::Query { stream }),
        2 => stream.clone().prop_map(|stream| Step::Synchronize { stream }),
        6 => stream.clone().prop_map(|stream| Step::Reset { stream }),
        1 => stream.clone().prop_map(|stream| Step::Exchange { stream }),
        2 => stream.prop_map(|stream| Step::Notify { stream }),
    ]
}

fn surroundings() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..4_u8).prop_map(|count| Step::Drive { count }),
        3 => (0..BUFFERS, 0..STREAMS)
            .prop_map(|(buffer, stream)| Step::Renew { buffer, stream }),
        1 => (0..BUFFERS, byte())
            .prop_map(|(buffer, byte)| Step::HostWrite { buffer, byte }),
        2 => (0..BUFFERS).prop_map(|buffer| Step::HostRead { buffer }),
        1 => Just(Step::SynchronizeAll),
        1 => Just(Step::Trim),
        1 => (1..4_usize).prop_map(|count| Step::Refuse { count }),
    ]
}

fn step(loss: u32) -> impl Strategy<Value = Step> {
    prop_oneof![200 => work(), 130 => stream(), 120 => surroundings(), loss => Just(Step::Lose)]
}

/// Programs of so many steps, which lose the device with this weight.
fn case(
    on: impl Strategy<Value = On>,
    steps: Range<usize>,
    loss: u32,
) -> impl Strategy<Value = Case> {
    // Enough for what a program holds at once, or for little more than its first buffers.
    let memory_bytes = prop_oneof![Just(1_usize << 20), Just(1 << 14)];
    let steps = prop::collection::vec(step(loss), steps);
    (on, memory_bytes, 1_usize..5, 1_usize..6, steps).prop_map(
        |(on, memory_bytes, in_flight_max, commands_per_buffer_max, steps)| Case {
            found: String::new(),
            seed: 0,
            on,
            memory_bytes,
            in_flight_max,
            commands_per_buffer_max,
            steps,
        },
    )
}

/// Runs a case; a panic of the runtime is how it broke its promise.
fn run(case: &Case) -> Result<Summary, String> {
    let outcome = Arc::new(Mutex::new(Err("it did not run".to_owned())));
    let (result, case) = (Arc::clone(&outcome), case.clone());
    let ran = catch_unwind(AssertUnwindSafe(|| {
        check_once(move || *result.lock() = case.run());
    }));
    ran.map_err(|panic| match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => format!("panic: {:?}", panic.downcast_ref::<&str>()),
    })?;
    outcome.lock().clone()
}

fn seed() -> u64 {
    let given = std::env::var("ANABRANCH_SEED").ok();
    given.map_or_else(
        || RandomState::new().build_hasher().finish(),
        |seed| seed.parse().expect("ANABRANCH_SEED is a number"),
    )
}

/// Draws so many cases. The one that fails is shrunk and kept, and the test fails.
fn explore(name: &str, cases: u32, strategy: &impl Strategy<Value = Case>) -> Summary {
    let seed = seed();
    println!("{name}: ANABRANCH_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 2_000,
        max_shrink_time: 60_000,
        ..ProptestConfig::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let total = Mutex::new(Summary::default());
    let result = runner.run(strategy, |case| {
        let summary = run(&case).map_err(TestCaseError::fail)?;
        let mut total = total.lock();
        total.commands += summary.commands;
        total.failed += summary.failed;
        total.refused += summary.refused;
        total.starved += summary.starved;
        total.lost |= summary.lost;
        total.transitions += summary.transitions;
        Ok(())
    });
    match result {
        Ok(()) => *total.lock(),
        Err(TestError::Fail(why, case)) => {
            let case = Case { seed, found: why.to_string(), ..case };
            let path = case.keep(&corpus(), &format!("{name}-{seed:016x}"));
            panic!("{why}\nkept in {path:?}");
        }
        Err(TestError::Abort(why)) => panic!("no cases: {why}"),
    }
}

#[test]
fn every_case_of_the_corpus_holds() {
    let cases = Case::load(&corpus()).unwrap();
    assert!(!cases.is_empty(), "the corpus is there");
    let broken: Vec<String> = cases
        .iter()
        .filter_map(|(name, case)| run(case).err().map(|how| format!("{name}: {how}")))
        .collect();
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn programs_with_faults_on_a_device_that_waits() {
    let total = explore("manual", 300, &case(Just(On::Manual), SHORT, 1));
    assert!(0 < total.failed && 0 < total.refused && 0 < total.starved && total.lost, "{total:?}");
    println!("{total:?}");
}

#[test]
fn programs_with_faults_on_a_device_in_any_order() {
    let on = (any::<bool>(), any::<u64>())
        .prop_map(|(lazy, seed)| if lazy { On::Lazy(seed) } else { On::Automatic(seed) });
    let total = explore("sim", 300, &case(on, SHORT, 1));
    assert!(0 < total.failed && 0 < total.refused && 0 < total.starved && total.lost, "{total:?}");
    println!("{total:?}");
}

#[test]
fn programs_with_faults_on_the_device_that_computes_nothing() {
    let total = explore("null", 200, &case(Just(On::Null), SHORT, 1));
    assert!(0 < total.failed && 0 < total.refused, "{total:?}");
    println!("{total:?}");
}

#[test]
fn programs_with_faults_on_the_processor() {
    let on = (1_usize..4).prop_map(On::Cpu);
    let total = explore("cpu", 60, &case(on, SHORT, 1));
    assert!(0 < total.failed && 0 < total.refused, "{total:?}");
    println!("{total:?}");
}

#[cfg(feature = "cuda")]
#[test]
fn programs_with_faults_on_cuda() {
    let total = explore("cuda", 60, &case(Just(On::Cuda), SHORT, 1));
    assert!(0 < total.failed && 0 < total.refused, "{total:?}");
    println!("{total:?}");
    let total = explore("cuda, long", 4, &case(Just(On::Cuda), LONG, 0));
    assert!(1_000 < total.commands, "{total:?}");
    println!("{total:?}");
}

#[test]
fn long_programs_with_faults() {
    let on = prop_oneof![
        Just(On::Manual),
        any::<u64>().prop_map(On::Lazy),
        Just(On::Null),
        Just(On::Cpu(2)),
    ];
    let total = explore("long", 8, &case(on, LONG, 0));
    assert!(1_000 < total.commands, "{total:?}");
    println!("{total:?}");
}

#[test]
fn fk_1_fk_3_a_child_may_do_nothing_whatever_its_parent_was_doing() {
    for (name, case) in Case::load(&corpus()).unwrap() {
        for on in [On::Manual, On::Lazy(case.seed), On::Null, On::Cpu(2)] {
            let case = Case { on, ..case.clone() };
            let ended = case.run_with_children().map(|_| ());
            assert_eq!(ended, Ok(()), "{name} on {on:?}");
        }
    }
}

#[test]
fn a_case_is_what_its_file_says() {
    let strategy = case(Just(On::Lazy(7)), 1..40, 1);
    let mut runner = TestRunner::deterministic();
    let case = strategy.new_tree(&mut runner).unwrap().current();
    assert_eq!(Case::from_text(&case.to_text()), Ok(case.clone()));
    let damaged = case.to_text().replace("\"on\"", "\"no\"");
    assert!(Case::from_text(&damaged).unwrap_err().starts_with("1: "));
}
