//! `sanitized FOLDER`: the conformance suite on a card of CUDA under each check of
//! compute-sanitizer, which first has to report a fault that was planted: one that reports nothing
//! there would say nothing of any other.
//!
//! The folder has `planted` and `conformance` in it. Exits with 77 where there is no such tool.

use std::env;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, ExitCode};

/// What the exit code of the tool is when it has reported something.
const REPORTED: i32 = 86;

/// What the exit code of this program is where the tool is missing.
const SKIPPED: u8 = 77;

const TOOL: &str = "compute-sanitizer";

/// Where NVIDIA's packages put it when it is not on the path.
const INSTALLED: &str = "/usr/local/cuda/bin/compute-sanitizer";

/// The checks, and what each says of the fault that was planted for it.
const CHECKS: [(&str, &str); 4] = [
    ("memcheck", "Invalid __global__ write"),
    ("racecheck", "Race reported"),
    ("initcheck", "Uninitialized __global__ memory read"),
    ("synccheck", "Barrier error"),
];

/// How a program ended under the tool.
struct Ended {
    code: Option<i32>,
    said: String,
}

/// Whether the fault that was planted for a check was reported, in the function that has it.
fn reported(check: &str, report: &str, ended: &Ended) -> Result<(), String> {
    let function = format!("planted_{check}");
    let is_told = ended.said.contains(report) && ended.said.contains(&function);
    if ended.code == Some(REPORTED) && is_told {
        return Ok(());
    }
    Err(format!(
        "{check} ended with {:?} and did not report \"{report}\" in {function}:\n{}",
        ended.code, ended.said
    ))
}

/// Whether the suite ran to its end, and nothing was reported.
fn clean(check: &str, ended: &Ended) -> Result<(), String> {
    if ended.code == Some(0) && ended.said.contains("test result: ok") {
        return Ok(());
    }
    Err(format!("the suite under {check} ended with {:?}:\n{}", ended.code, ended.said))
}

fn under(tool: &str, check: &str, program: &Path, arguments: &[&str]) -> Result<Ended, String> {
    let mut command = Command::new(tool);
    command.args(["--tool", check, "--error-exitcode", &REPORTED.to_string()]);
    let output = command.arg(program).args(arguments).output();
    let output = output.map_err(|error| format!("{tool} does not start: {error}"))?;
    let said = [output.stdout, output.stderr].concat();
    Ok(Ended { code: output.status.code(), said: String::from_utf8_lossy(&said).into_owned() })
}

/// The tool, where there is one.
fn tool() -> Option<&'static str> {
    [TOOL, INSTALLED].into_iter().find(|tool| match Command::new(tool).arg("--version").output() {
        Err(error) => error.kind() != ErrorKind::NotFound,
        Ok(_) => true,
    })
}

fn check_all(tool: &str, folder: &Path) -> Result<(), String> {
    for (check, report) in CHECKS {
        let planted = under(tool, check, &folder.join("planted"), &[check])?;
        reported(check, report, &planted)?;
        println!("{check}: the planted fault was reported: {report} in planted_{check}");
    }
    for (check, _) in CHECKS {
        let arguments = ["cuda::", "--test-threads", "1"];
        let suite = under(tool, check, &folder.join("conformance"), &arguments)?;
        clean(check, &suite)?;
        println!("{check}: the conformance suite is clean");
    }
    Ok(())
}

fn main() -> ExitCode {
    let Some(folder) = env::args().nth(1) else {
        eprintln!("sanitized FOLDER");
        return ExitCode::from(2);
    };
    let Some(tool) = tool() else {
        println!("skipped: there is no {TOOL}");
        return ExitCode::from(SKIPPED);
    };
    match check_all(tool, Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("sanitized: {message}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: i32, said: &str) -> Ended {
        Ended { code: Some(code), said: said.to_owned() }
    }

    #[test]
    fn a_planted_fault_that_is_not_reported_fails_the_lane() {
        let said =
            "========= Invalid __global__ write of size 4 bytes\n=== at planted_memcheck+0x80";
        let judge = |ended: &Ended| reported("memcheck", CHECKS[0].1, ended);
        assert_eq!(judge(&ended(REPORTED, said)), Ok(()));
        for silent in [
            ended(0, "========= ERROR SUMMARY: 0 errors"),
            ended(0, said),
            ended(1, "planted memcheck: DriverError"),
            ended(REPORTED, "========= Program hit CUDA_ERROR_NOT_FOUND on planted_memcheck"),
            ended(REPORTED, "========= Invalid __global__ write of size 4 bytes at another"),
            Ended { code: None, said: said.to_owned() },
        ] {
            assert!(judge(&silent).unwrap_err().contains("did not report"));
        }
    }

    #[test]
    fn a_suite_that_did_not_run_is_not_clean() {
        assert_eq!(clean("memcheck", &ended(0, "test result: ok. 14 passed")), Ok(()));
        for wrong in [
            ended(0, "========= Target application returned an error"),
            ended(REPORTED, "test result: ok. 14 passed"),
            ended(101, "test result: FAILED. 13 passed"),
        ] {
            assert!(clean("memcheck", &wrong).is_err());
        }
    }

    /// Every planted function belongs to a check.
    #[test]
    fn every_planted_fault_is_looked_for() {
        let planted = include_str!("../../planted/card/src/faults.cu");
        let functions = planted.lines().filter_map(|line| {
            let name = line.strip_prefix("extern \"C\" __global__ void planted_")?;
            name.split_once('(').map(|(name, _)| name)
        });
        assert!(functions.eq(CHECKS.map(|(check, _)| check)));
    }
}
