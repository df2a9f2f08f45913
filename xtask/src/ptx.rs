//! The device functions of the CUDA device, compiled ahead of time.
//!
//! The compiler is NVIDIA's own as a library, which comes as a Python package, so that nobody needs
//! more than a driver to run them and nothing but Python to change them.

use std::fmt::Write;
use std::fs;
use std::iter;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{python, shell};

/// The package of the compiler. Later ones write PTX that older drivers refuse.
const PACKAGE: &str = "nvidia-cuda-nvrtc-cu12==12.4.127";

/// The compiler in its folder.
const LIBRARY: &str = "./libnvrtc.so.12";

/// A folder of sources with what they are compiled to.
struct Module {
    folder: &'static str,
    /// The source that includes the others.
    unit: &'static str,
    /// The result.
    file: &'static str,
}

const MODULES: [Module; 3] = [
    Module { folder: "crates/hal/src/cuda/kernels", unit: "anabranch.cu", file: "anabranch.ptx" },
    Module { folder: "crates/hal/src/cuda/stamps", unit: "stamps.cu", file: "stamps.ptx" },
    Module { folder: "verify/planted/card/src", unit: "faults.cu", file: "faults.ptx" },
];

/// The oldest architecture that has asynchronous copies to shared memory; the driver compiles for
/// newer ones.
const ARCHITECTURE: &str = "--gpu-architecture=compute_80";

/// The other options, which are those of the device where it has a compiler.
const OPTIONS: &str = include_str!("../../crates/hal/src/cuda/kernels/options.txt");

/// Compiles what it reads; its arguments are the library and the options.
const COMPILE: &str = "\
import ctypes, sys
library, *options = sys.argv[1:]
nvrtc = ctypes.CDLL(library)
program, size = ctypes.c_void_p(), ctypes.c_size_t()
source = sys.stdin.buffer.read()
def call(function, *arguments):
    return getattr(nvrtc, 'nvrtc' + function)(*arguments)
def text(kind):
    call('Get' + kind + 'Size', program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    call('Get' + kind, program, buffer)
    return buffer.value.decode()
options = [option.encode() for option in options]
assert call('CreateProgram', ctypes.byref(program), source, b'anabranch.cu', 0, None, None) == 0
failed = call('CompileProgram', program, len(options), (ctypes.c_char_p * len(options))(*options))
sys.stderr.write(text('ProgramLog'))
if failed:
    sys.exit(1)
sys.stdout.write(text('PTX'))
";

/// Compiles the functions and writes the module, or with `--check` compares it, and what the device
/// makes by itself where it finds the compiler.
///
/// # Errors
/// That there is no compiler, what it says, and a module that is not what the sources give.
pub(crate) fn run(root: &Path, flags: &[String]) -> Result<(), String> {
    let check = match flags {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return Err(format!("unknown arguments: {}", flags.join(" "))),
    };
    let library = library(root)?;
    if check {
        check_device(root, &library)?;
    }
    MODULES.iter().try_for_each(|module| module.make(root, &library, check))
}

/// Runs the tests of the device that need the compiler, but no card.
fn check_device(root: &Path, library: &Path) -> Result<(), String> {
    let mut cargo = shell::cargo(root);
    cargo.args(["test", "--package", "anabranch-hal", "--lib", "--features", "nvrtc-tests"]);
    cargo.args(["cuda::compiler::tests::nvrtc", "--", "--nocapture"]);
    shell::run(cargo.env("LD_LIBRARY_PATH", library))
}

impl Module {
    fn make(&self, root: &Path, library: &Path, check: bool) -> Result<(), String> {
        let Self { folder: name, unit, file } = self;
        let folder = root.join(name);
        let whole = shell::target(root).join(unit);
        let failed = |error| format!("{}: {error}", whole.display());
        fs::write(&whole, included(&folder, unit)?).map_err(failed)?;
        let source = fs::File::open(&whole).map_err(failed)?;
        // The compiler lets the order of some instructions follow from where its memory lies, so
        // every run of it has the same addresses and the same environment.
        let mut command = Command::new("setarch");
        command.args(["--addr-no-randomize", "python3", "-I", "-c", COMPILE, LIBRARY]);
        command.args(options()).current_dir(library).stdin(source);
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        let output = shell::capture(command.env("PYTHONHASHSEED", "0"))?;
        if !output.success {
            return Err(format!("{unit} does not compile:\n{}", output.stderr));
        }
        let text = module(&sources(&folder)?, &output.stdout);
        let path = folder.join(file);
        let failed = |error| format!("{}: {error}", path.display());
        if !check {
            return fs::write(&path, text).map_err(failed);
        }
        if fs::read_to_string(&path).map_err(failed)? == text {
            println!("{name}/{file} is what its sources give");
            return Ok(());
        }
        Err(format!("{name}/{file} is not what its sources give; write it with `cargo xtask ptx`"))
    }
}

fn options() -> impl Iterator<Item = &'static str> {
    iter::once(ARCHITECTURE).chain(OPTIONS.lines())
}

/// The compiled text below a comment that says what it was made of, without empty lines.
fn module(sources: &str, compiled: &str) -> String {
    let mut text = format!(
        "// Written by `cargo xtask ptx` with {PACKAGE} {}\n// Of sources with the digest {:016x}\n",
        options().collect::<Vec<_>>().join(" "),
        digest(sources.as_bytes()),
    );
    for line in compiled.lines().filter(|line| !line.trim().is_empty()) {
        let _ = writeln!(text, "{line}");
    }
    text
}

/// The unit with the sources that it includes.
fn included(folder: &Path, unit: &str) -> Result<String, String> {
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let name = |line: &str| Some(line.strip_prefix("#include \"")?.strip_suffix('"')?.to_owned());
    let unit = read(unit)?;
    let lines = unit.lines().map(|line| match name(line) {
        Some(name) => read(&name),
        None => Ok(format!("{line}\n")),
    });
    lines.collect()
}

/// All sources in the order of their names.
fn sources(folder: &Path) -> Result<String, String> {
    let failed = |error| format!("{}: {error}", folder.display());
    let entries = fs::read_dir(folder).map_err(failed)?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "cu"));
    paths.sort();
    paths.iter().map(|path| fs::read_to_string(path).map_err(failed)).collect()
}

/// The digest FNV-1a, by which a test of the device sees that the module is not older than its
/// sources.
fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |digest, &byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The folder of the library of the compiler, which is fetched when it is missing.
fn library(root: &Path) -> Result<PathBuf, String> {
    let (_, version) = PACKAGE.split_once("==").ok_or("the package has no version")?;
    let folder = shell::target(root).join("nvrtc").join(version);
    let lib = folder.join("nvidia/cuda_nvrtc/lib");
    let library = lib.join(LIBRARY);
    if library.is_file() {
        return Ok(lib);
    }
    let pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", ".", PACKAGE];
    python::run_in(&folder, &pip)
        .map_err(|error| format!("{error}\nthe compiler comes from PyPI, through pip"))?;
    let missing = || format!("{PACKAGE} was installed, but {} is not there", library.display());
    library.is_file().then_some(lib).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_is_as_new_as_its_sources() {
        for Module { folder, file, .. } in MODULES {
            let folder = crate::root().join(folder);
            let digest = format!("{:016x}", digest(sources(&folder).unwrap().as_bytes()));
            let module = fs::read_to_string(folder.join(file)).unwrap();
            let line = module.lines().nth(1).unwrap();
            assert!(line.ends_with(&digest), "{file}: run `cargo xtask ptx`: {line}");
        }
    }

    #[test]
    fn a_module_says_what_it_was_made_of() {
        let module = module("a", "// one\n\n.entry f\n");
        let mut lines = module.lines();
        assert!(lines.next().is_some_and(|line| line.contains(PACKAGE)), "{module}");
        assert!(lines.next().is_some_and(|line| line.ends_with("af63dc4c8601ec8c")), "{module}");
        assert_eq!(lines.collect::<Vec<_>>(), ["// one", ".entry f"]);
    }
}
