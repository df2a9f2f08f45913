//! Who compiles the device functions to PTX: it was done ahead of time, or NVRTC does it for the
//! architecture of the card.
//!
//! What NVRTC made is kept on disk. The driver compiles the rest of the way in either case, and
//! keeps that by itself.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ffi::c_int;

use super::cache::Cache;
use super::context::entries;
use super::ffi::nvrtc::{Nvrtc, Version};
use super::ffi::{self, Attribute, Library};
use super::kernels::{self, sources};
use crate::device::Libraries;
use crate::error::{Error, ErrorKind};

#[cfg(test)]
mod tests;

/// Functions that are compiled together.
struct Unit {
    /// The source that includes the others.
    source: &'static str,
    included: &'static [(&'static str, &'static str)],
    /// What they were compiled to ahead of time.
    ptx: &'static str,
}

const UNITS: [Unit; 2] = [
    // The functions of the shell itself.
    Unit {
        source: include_str!("stamps/stamps.cu"),
        included: &[],
        ptx: include_str!("stamps/stamps.ptx"),
    },
    Unit { source: sources::UNIT, included: sources::SOURCES, ptx: kernels::PTX },
];

impl Unit {
    /// The source with those that it includes.
    fn whole(&self) -> String {
        let included = |line: &str| {
            let name = line.strip_prefix("#include \"")?.strip_suffix('"')?;
            self.included.iter().find(|(known, _)| *known == name)
        };
        let mut whole = String::new();
        for line in self.source.lines() {
            if let Some((_, text)) = included(line) {
                whole.push_str(text);
            } else {
                whole.push_str(line);
                whole.push('\n');
            }
        }
        whole
    }
}

/// What compiles CUDA C to PTX.
trait Compiler {
    fn version(&self) -> Result<Version, String>;
    /// The architectures that it knows, as in 90.
    fn architectures(&self) -> Result<Vec<c_int>, String>;
    fn compile(&self, source: &str, options: &[&str]) -> Result<String, String>;
}

impl Compiler for Nvrtc {
    fn version(&self) -> Result<Version, String> {
        self.version()
    }

    fn architectures(&self) -> Result<Vec<c_int>, String> {
        self.architectures()
    }

    fn compile(&self, source: &str, options: &[&str]) -> Result<String, String> {
        self.compile(source, options)
    }
}

/// All device functions as PTX.
pub(super) struct Functions {
    texts: Vec<Cow<'static, str>>,
    told: String,
}

impl Functions {
    /// Those that were compiled ahead of time.
    pub(super) fn ahead() -> Self {
        let texts = UNITS.iter().map(|unit| Cow::Borrowed(unit.ptx)).collect();
        let (version, architecture) = made_by(kernels::PTX);
        let told =
            format!("functions by {} {version} for {architecture}, ahead of time", Nvrtc::NAME);
        Self { texts, told }
    }

    /// Those for a card that has been listed, by who is to compile them. Blocks while NVRTC is
    /// loaded and compiles.
    ///
    /// # Errors
    /// `Unsupported` when libraries are always to be used and NVRTC cannot compile them.
    pub(super) fn find(wanted: Libraries, index: c_int) -> Result<Self, Error> {
        if wanted == Libraries::Off {
            return Ok(Self::ahead());
        }
        let card = architecture(index)
            .map_err(|refusal| refusal.error("asking for the architecture of the card"))?;
        Self::of(wanted, find(), card, &Cache::of_user())
    }

    /// Those for an architecture by a compiler that was looked for.
    fn of(
        wanted: Libraries,
        found: Result<impl Compiler, String>,
        card: c_int,
        cache: &Cache,
    ) -> Result<Self, Error> {
        let made = found.and_then(|compiler| Self::make(&compiler, card, cache));
        made.or_else(|reason| {
            let reason = format!("{} cannot be used: {reason}", Nvrtc::NAME);
            if wanted == Libraries::Always {
                return Err(Error::new(ErrorKind::Unsupported, reason));
            }
            let Self { texts, told } = Self::ahead();
            Ok(Self { texts, told: format!("{told} ({reason})") })
        })
    }

    fn make(compiler: &impl Compiler, card: c_int, cache: &Cache) -> Result<Self, String> {
        let version = told(compiler.version()?);
        let known = compiler.architectures()?.into_iter().filter(|&known| known <= card);
        let architecture = known.max().ok_or("it knows no architecture of the card")?;
        let architecture = format!("compute_{architecture}");
        let target = format!("--gpu-architecture={architecture}");
        let mut options = vec![target.as_str()];
        options.extend(sources::OPTIONS.lines());
        let make = |unit: &Unit| {
            let source = unit.whole();
            let mut parts = vec![source.as_str(), Nvrtc::NAME, &version];
            parts.extend(&options);
            let compile = || compiler.compile(&source, &options).and_then(|ptx| unit.check(ptx));
            cache.get_or_make(&parts, compile).map(Cow::Owned)
        };
        let texts = UNITS.iter().map(make).collect::<Result<_, _>>()?;
        let told = format!("functions by {} {version} for {architecture}", Nvrtc::NAME);
        Ok(Self { texts, told })
    }

    /// Each unit.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(AsRef::as_ref)
    }

    /// Who compiled them and for what, for people.
    pub(super) fn told(&self) -> &str {
        &self.told
    }
}

impl Unit {
    /// Refuses what lacks a function.
    fn check(&self, ptx: String) -> Result<String, String> {
        let made: HashSet<_> = entries(&ptx).collect();
        match entries(self.ptx).find(|name| !made.contains(name)) {
            Some(name) => Err(format!("what it compiled has no function {name}")),
            None => Ok(ptx),
        }
    }
}

/// The compiler, and its version or why it cannot be used. Blocks while it is loaded.
pub(super) fn found() -> (&'static str, Result<String, String>) {
    (Nvrtc::NAME, find().and_then(|compiler| compiler.version()).map(told))
}

/// The compiler, if the driver reads what it writes.
fn find() -> Result<Nvrtc, String> {
    ffi::load().map_err(|error| error.to_string())?;
    let version = ffi::driver_version().map_err(|refusal| refusal.to_string())?;
    Nvrtc::find((version / 1000, version % 1000 / 10))
}

/// The architecture of a card, as in 90.
fn architecture(index: c_int) -> ffi::Outcome<c_int> {
    let major = ffi::attribute(index, Attribute::Major)?;
    Ok(10 * major + ffi::attribute(index, Attribute::Minor)?)
}

fn told((major, minor): Version) -> String {
    format!("{major}.{minor}")
}

/// The version of the compiler that PTX says it is of, and the architecture that it is for.
fn made_by(ptx: &str) -> (&str, String) {
    let behind = |mark| ptx.lines().find_map(|line| line.split_once(mark)).map(|(_, rest)| rest);
    let version = behind(", V").unwrap_or("of no known version");
    (version, behind(".target sm_").map_or_else(String::new, |number| format!("compute_{number}")))
}
