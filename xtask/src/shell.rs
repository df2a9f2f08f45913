//! Runs other programs, and says what it runs.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Which engine of `anabranch-sync` a build uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Native,
    Loom,
    Shuttle,
}

impl Engine {
    pub(crate) const ALL: [Self; 3] = [Self::Native, Self::Loom, Self::Shuttle];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Loom => "loom",
            Self::Shuttle => "shuttle",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|engine| engine.name() == name)
    }

    /// A cargo command for this engine, with a target folder of its own below `target`: two
    /// engines in one folder would rebuild everything at each change of flags.
    pub(crate) fn cargo(self, root: &Path, target: &Path) -> Command {
        let mut cargo = cargo(root);
        if self == Self::Native {
            cargo.env("CARGO_TARGET_DIR", target);
        } else {
            cargo.env("CARGO_TARGET_DIR", target.join(self.name()));
            cargo.env("RUSTFLAGS", format!("--cfg model=\"{}\"", self.name()));
            // The last percent of speed is not worth the time it takes to link.
            cargo.env("CARGO_PROFILE_RELEASE_LTO", "off");
        }
        cargo
    }

    /// The flags that suit the engine: exploration is arithmetic, and needs optimised code.
    pub(crate) const fn profile(self) -> &'static [&'static str] {
        match self {
            Self::Native => &[],
            Self::Loom | Self::Shuttle => &["--release"],
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What sanitizers are built for. It has to be named, so that build scripts are built without them.
pub(crate) const SANITIZED: &str = "x86_64-unknown-linux-gnu";

/// The cargo that runs this program, in the workspace.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).stdin(Stdio::null());
    command
}

/// Where cargo puts what it builds.
pub(crate) fn target(root: &Path) -> std::path::PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root.join(folder),
        None => root.join("target"),
    }
}

/// Runs a command to its end with its output visible.
///
/// # Errors
/// A sentence that names the command when it cannot start or does not succeed.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    println!("$ {}", describe(command));
    let status =
        command.status().map_err(|error| format!("cannot run {}: {error}", describe(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", describe(command))) }
}

/// What a quiet command said.
pub(crate) struct Output {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    fn of(output: &std::process::Output) -> Self {
        Self {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs a command to its end and keeps what it prints.
///
/// # Errors
/// A sentence that names the command when it cannot start.
pub(crate) fn capture(command: &mut Command) -> Result<Output, String> {
    let output =
        command.output().map_err(|error| format!("cannot run {}: {error}", describe(command)))?;
    Ok(Output::of(&output))
}

/// Like [`capture`], but ends the command, with everything that it started, when it takes longer
/// than `limit`; the answer is `None` then.
///
/// # Errors
/// A sentence that names the command when it cannot start.
pub(crate) fn capture_within(
    command: &mut Command,
    limit: Duration,
) -> Result<Option<Output>, String> {
    let described = describe(command);
    let failed = |error: std::io::Error| format!("cannot run {described}: {error}");
    command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(failed)?;
    let group = child.id();
    // Nothing is sent: the end of the channel is the end of the command.
    let (running, ended) = mpsc::channel::<()>();
    let waiter = thread::spawn(move || {
        let output = child.wait_with_output();
        drop(running);
        output
    });
    let in_time = ended.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Disconnected);
    if !in_time {
        end_group(group)?;
    }
    let output = waiter.join().expect("waiting for a process does not panic").map_err(failed)?;
    Ok(in_time.then(|| Output::of(&output)))
}

/// Runs a command up to the first line of its standard output that is a `failure`, and ends it
/// there with everything that it started: whether it succeeded, or `None` when it took longer than
/// `limit`.
///
/// # Errors
/// A sentence that names the command when it cannot start.
pub(crate) fn capture_until(
    command: &mut Command,
    limit: Duration,
    failure: fn(&str) -> bool,
) -> Result<Option<bool>, String> {
    let described = describe(command);
    let failed = |error: std::io::Error| format!("cannot run {described}: {error}");
    command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(failed)?;
    let stdout = child.stdout.take().expect("it is piped");
    let (sender, verdict) = mpsc::channel();
    thread::spawn(move || {
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        // Nobody listens any more to what comes after the limit.
        let _ = sender.send(lines.any(|line| failure(&line)));
    });
    let has_failed = verdict.recv_timeout(limit).ok();
    if has_failed != Some(false) {
        end_group(child.id())?;
    }
    let status = child.wait().map_err(failed)?;
    Ok(has_failed.map(|has_failed| !has_failed && status.success()))
}

/// Ends the processes of a group, also when there is none left.
fn end_group(id: u32) -> Result<(), String> {
    let mut kill = Command::new("kill");
    capture(kill.args(["-KILL", "--", &format!("-{id}")])).map(drop)
}

/// Whether a program is there and answers.
pub(crate) fn answers(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The command as one would type it, without the path of the program.
pub(crate) fn describe(command: &Command) -> String {
    let flags = command
        .get_envs()
        .filter(|(name, _)| *name == "RUSTFLAGS")
        .filter_map(|(_, value)| Some(format!("RUSTFLAGS='{}'", value?.to_string_lossy())));
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    flags.chain(words.map(|word| word.to_string_lossy().into_owned())).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bash(script: &str) -> Command {
        let mut command = Command::new("bash");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_command_ends_by_itself_or_by_force() {
        let limit = Duration::from_secs(300);
        let output = capture_within(&mut bash("echo out; echo err >&2; exit 3"), limit);
        let output = output.unwrap().unwrap();
        assert!(!output.success);
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"));
        // The inner process holds the pipes open until it is gone, too.
        let endless = capture_within(&mut bash("cat /dev/zero > /dev/null & wait"), Duration::ZERO);
        assert!(endless.unwrap().is_none());
        assert!(capture_within(&mut Command::new("no-such-program"), limit).is_err());
    }

    #[test]
    fn a_command_is_ended_at_its_first_failure() {
        let until = |script: &str, limit| {
            capture_until(&mut bash(script), limit, |line| line == "bad").unwrap()
        };
        let limit = Duration::from_secs(300);
        assert_eq!(until("echo good", limit), Some(true));
        assert_eq!(until("echo good; exit 3", limit), Some(false));
        assert_eq!(until("echo bad; cat /dev/zero > /dev/null & wait", limit), Some(false));
        assert_eq!(until("cat /dev/zero > /dev/null & wait", Duration::ZERO), None);
    }

    #[test]
    fn a_command_is_described_as_typed() {
        let mut command = Engine::Loom.cargo(Path::new("/"), Path::new("/target"));
        command.args(["test", "--release"]);
        let described = describe(&command);
        assert_eq!(described, "RUSTFLAGS='--cfg model=\"loom\"' cargo test --release");
    }
}
