//! The binary as a user runs it: what it prints, writes and answers.

#[path = "commands/bad_input.rs"]
mod bad_input;
#[path = "commands/bench.rs"]
mod bench;
#[path = "commands/inspect.rs"]
mod inspect;
#[path = "commands/look.rs"]
mod look;
#[path = "commands/run.rs"]
mod run;
#[path = "commands/stress.rs"]
mod stress;
#[path = "commands/support.rs"]
mod support;
#[path = "commands/trace.rs"]
mod trace;
#[path = "commands/verify.rs"]
mod verify;
