#[cfg(feature = "nvrtc-tests")]
mod nvrtc;

use std::cell::Cell;
use std::ffi::c_int;

use tempfile::TempDir;

use super::{Cache, Compiler, Functions, UNITS, Version, made_by};
use crate::cuda::kernels::{PTX, sources};
use crate::device::Libraries;
use crate::error::ErrorKind;

/// Has compiled everything already, and counts how often it is asked to.
struct Fake {
    version: Version,
    knows: &'static [c_int],
    /// What it says instead of compiling.
    refuses: Option<&'static str>,
    /// Whether it compiles nothing to something.
    is_empty: bool,
    calls: Cell<usize>,
}

fn fake() -> Fake {
    let (version, knows, calls) = ((12, 8), &[75, 80, 90, 100], Cell::new(0));
    Fake { version, knows, refuses: None, is_empty: false, calls }
}

impl Compiler for &Fake {
    fn version(&self) -> Result<Version, String> {
        Ok(self.version)
    }

    fn architectures(&self) -> Result<Vec<c_int>, String> {
        Ok(self.knows.to_vec())
    }

    fn compile(&self, source: &str, options: &[&str]) -> Result<String, String> {
        self.calls.set(self.calls.get() + 1);
        if let Some(said) = self.refuses {
            return Err(said.to_owned());
        }
        let unit = UNITS.iter().find(|unit| unit.whole() == source).expect("it is one of ours");
        let said = format!("// by {:?} with {}\n", self.version, options.join(" "));
        Ok(if self.is_empty { said } else { said + unit.ptx })
    }
}

/// The functions by a compiler for a card, and how often it had to compile.
fn compiled(fake: &Fake, card: c_int, cache: &Cache) -> (Functions, usize) {
    let before = fake.calls.get();
    let found = Functions::of(Libraries::Found, Ok(fake), card, cache).unwrap();
    (found, fake.calls.get() - before)
}

fn cache(folder: &TempDir) -> Cache {
    Cache::among(Some(folder.path().into()), None)
}

#[test]
fn what_was_compiled_ahead_of_time_says_by_whom() {
    let (version, architecture) = made_by(PTX);
    // The first line is the command that makes it again.
    let first = PTX.lines().next().unwrap();
    assert!(first.contains(&format!("=={version} ")), "{first}");
    assert!(first.contains(&format!("--gpu-architecture={architecture} ")), "{first}");
    assert!(sources::OPTIONS.lines().all(|option| first.contains(option)), "{first}");
    let told = format!("functions by NVRTC {version} for {architecture}, ahead of time");
    assert_eq!(Functions::ahead().told(), told);
    let texts: Vec<_> = UNITS.iter().map(|unit| unit.ptx).collect();
    assert!(Functions::ahead().texts().eq(texts));
}

#[test]
fn a_unit_is_one_source() {
    for unit in &UNITS {
        let whole = unit.whole();
        assert!(!whole.contains("#include"));
        let lines = |text: &str| text.lines().filter(|line| !line.starts_with("#include")).count();
        let parts = unit.included.iter().map(|(_, text)| lines(text)).sum::<usize>();
        assert_eq!(lines(&whole), if parts == 0 { lines(unit.source) } else { parts });
    }
}

#[test]
fn functions_are_compiled_for_the_architecture_of_the_card() {
    let folder = TempDir::new().unwrap();
    for (card, expected) in [(80, 80), (86, 80), (90, 90), (99, 90), (120, 100)] {
        let (functions, calls) = compiled(&fake(), card, &cache(&folder));
        let architecture = format!("compute_{expected}");
        let told = format!("functions by NVRTC 12.8 for {architecture}");
        assert_eq!(functions.told(), told, "a card of {card}");
        let said = format!("// by (12, 8) with --gpu-architecture={architecture} --std=c++17");
        for text in functions.texts() {
            assert_eq!(text.lines().next(), Some(said.as_str()), "a card of {card}");
        }
        let is_first = [80, 90, 120].contains(&card);
        assert_eq!(calls, if is_first { UNITS.len() } else { 0 }, "a card of {card}");
    }
}

#[test]
fn another_version_compiles_again() {
    let folder = TempDir::new().unwrap();
    let cache = cache(&folder);
    for version in [(12, 4), (12, 8), (13, 0)] {
        let fake = Fake { version, ..fake() };
        assert_eq!(compiled(&fake, 90, &cache).1, UNITS.len(), "{version:?}");
        let (functions, calls) = compiled(&fake, 90, &cache);
        assert_eq!(calls, 0, "{version:?}");
        let said = format!("// by {version:?} ");
        assert!(functions.texts().all(|text| text.starts_with(&said)), "{version:?}");
    }
}

#[test]
fn without_a_compiler_functions_are_those_of_ahead_of_time_or_refused() {
    let folder = TempDir::new().unwrap();
    let cache = cache(&folder);
    let cases: [(Result<&Fake, String>, &str); 4] = [
        (Err("the system finds no libnvrtc".to_owned()), "the system finds no libnvrtc"),
        (Ok(&Fake { refuses: Some("a.cu(7): error"), ..fake() }), "a.cu(7): error"),
        (Ok(&Fake { knows: &[100, 120], ..fake() }), "no architecture of the card"),
        (Ok(&Fake { is_empty: true, ..fake() }), "has no function anabranch_begin"),
    ];
    for (found, reason) in cases {
        let of = |wanted| Functions::of(wanted, found.clone(), 90, &cache);
        let functions = of(Libraries::Found).unwrap_or_else(|error| panic!("{error}"));
        let ahead = Functions::ahead();
        assert!(functions.texts().eq(ahead.texts()), "{reason}");
        let told = functions.told();
        assert!(told.starts_with(ahead.told()) && told.contains(reason), "{told}");
        let Err(error) = of(Libraries::Always) else { panic!("{reason} is no reason") };
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let text = error.to_string();
        assert!(text.contains("NVRTC cannot be used") && text.contains(reason), "{text}");
    }
}

#[test]
fn libraries_that_are_off_compile_nothing() {
    // There is no card of this number, and none is asked.
    let functions = Functions::find(Libraries::Off, -1).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(functions.told(), Functions::ahead().told());
}
