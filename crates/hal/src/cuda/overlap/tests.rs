//! What is put in front of every function.

use super::super::compiler::Functions;
use super::super::context::entries;
use super::{Overlap, between, waiting};

#[test]
fn every_function_waits_before_it_does_anything() {
    for ptx in Functions::ahead().texts() {
        let text = waiting(ptx);
        let bodies: Vec<&str> = text.split(".visible .entry ").skip(1).collect();
        assert_eq!(bodies.len(), entries(ptx).count());
        for body in bodies {
            let name = body.split('(').next().unwrap_or_default();
            let code = body.split_once("\n{\n").map_or("", |(_, code)| code);
            let first = code.lines().next().map(str::trim);
            assert_eq!(first, Some("griddepcontrol.wait;"), "{name} waits for the function before");
        }
    }
}

#[test]
fn nothing_else_changes() {
    for ptx in Functions::ahead().texts() {
        let text = waiting(ptx);
        assert_eq!(text.lines().filter(|line| *line == ".target sm_90").count(), 1);
        let rest = text.lines().filter(|line| !line.trim().starts_with("griddepcontrol."));
        let before = ptx.lines().map(|line| line.replace(".target sm_80", ".target sm_90"));
        assert!(rest.eq(before), "the rest is what was compiled");
    }
}

#[test]
fn a_large_function_does_not_take_room_before_another_large_one_has_ended() {
    assert_eq!(between(1, 1 << 15), Overlap::Begun, "the stamp before a leg");
    assert_eq!(between(1 << 15, 1), Overlap::Begun, "the stamp behind it");
    assert_eq!(between(1 << 15, 1 << 15), Overlap::Ended);
}
