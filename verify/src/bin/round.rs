//! Runs a verification round: `cargo xtask verify`.

use std::path::Path;
use std::process::ExitCode;

use verify::round::{self, Scope};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let scope = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Scope::Full,
        ["--quick"] => Scope::Quick,
        _ => {
            eprintln!("usage: cargo xtask verify [--quick]");
            return ExitCode::from(2);
        }
    };
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package.parent().expect("the package lies in a folder of the workspace");
    match round::run(root, scope) {
        Ok(round) if round.result == round::FAIL => ExitCode::FAILURE,
        Ok(_) => ExitCode::SUCCESS,
        Err(refusal) => {
            eprintln!("no round: {refusal}");
            ExitCode::from(2)
        }
    }
}
