//! The hand-over, one call at a time.

use super::State;

#[test]
fn cb_9_each_dependent_is_told_once_and_when_it_is_time() {
    let mut state = State::default();
    assert!(state.hand(3).is_empty(), "nobody waits");
    assert_eq!(state.handed(), 3);
    assert!(state.is_handed(3, &"a"), "the device has it");
    // Who looks twice waits once; who waits for two values, or beside others, waits for each.
    for (value, dependent) in [(5, "a"), (5, "a"), (5, "b"), (7, "a")] {
        assert!(!state.is_handed(value, &dependent));
    }
    assert!(state.hand(4).is_empty());
    assert_eq!(state.hand(6), ["a", "b"]);
    assert_eq!(state.hand(7), ["a"]);
    assert!(state.hand(8).is_empty());
}
