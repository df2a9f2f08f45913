//! Random histories of one stream against a list of what was issued.

use proptest::prelude::*;

use super::{Action, Outcome, State};

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => Just(Action::Issue),
        4 => Just(Action::Commit),
        2 => Just(Action::BeginCapture),
        2 => Just(Action::EndCapture),
        1 => Just(Action::EndLease),
        1 => Just(Action::Close),
    ]
}

/// What a stream is, said naively: every number that it ever gave out, in two piles.
#[derive(Default)]
struct Naive {
    open: Vec<u64>,
    committed: Vec<u64>,
    leases_ended: u64,
    capturing: bool,
    closed: bool,
}

impl Naive {
    fn expect(&mut self, action: Action) -> Outcome {
        match action {
            Action::Issue if self.closed => Outcome::Closed,
            Action::BeginCapture if self.closed => Outcome::Closed,
            Action::Issue | Action::BeginCapture if self.capturing => Outcome::Capturing,
            Action::Issue => {
                let next = (self.open.len() + self.committed.len()) as u64 + 1;
                self.open.push(next);
                Outcome::Issued(next)
            }
            Action::Commit => match self.open.last().copied() {
                None => Outcome::Nothing,
                Some(last) => {
                    self.committed.append(&mut self.open);
                    Outcome::Committed(last)
                }
            },
            Action::BeginCapture => {
                self.capturing = true;
                Outcome::Done
            }
            Action::EndCapture => {
                self.capturing = false;
                Outcome::Done
            }
            Action::EndLease => {
                self.leases_ended += 1;
                Outcome::Done
            }
            Action::Close => {
                self.closed = true;
                Outcome::Done
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn so_2_numbers_are_gapless_and_committed_once(actions in prop::collection::vec(action(), 1..120)) {
        let (mut state, mut naive) = (State::default(), Naive::default());
        for action in actions {
            let expected = naive.expect(action);
            prop_assert_eq!(state.apply(action), expected, "{:?}", action);
            let issued = (naive.open.len() + naive.committed.len()) as u64;
            prop_assert_eq!(state.issued(), issued);
            prop_assert_eq!(state.committed(), naive.committed.len() as u64);
            prop_assert_eq!(state.generation(), naive.leases_ended);
            prop_assert_eq!(state.is_capturing(), naive.capturing);
        }
        let all: Vec<u64> = naive.committed.iter().chain(&naive.open).copied().collect();
        prop_assert_eq!(all, (1..=state.issued()).collect::<Vec<_>>());
    }
}

#[test]
fn cb_2_a_second_commit_finds_nothing() {
    let mut state = State::default();
    assert_eq!(state.apply(Action::Commit), Outcome::Nothing);
    assert_eq!(state.apply(Action::Issue), Outcome::Issued(1));
    assert_eq!(state.apply(Action::Issue), Outcome::Issued(2));
    assert_eq!(state.apply(Action::Commit), Outcome::Committed(2));
    assert_eq!(state.apply(Action::Commit), Outcome::Nothing);
}

#[test]
fn sh_1_a_closed_stream_still_commits_what_it_has() {
    let mut state = State::default();
    assert_eq!(state.apply(Action::Issue), Outcome::Issued(1));
    assert_eq!(state.apply(Action::Close), Outcome::Done);
    assert_eq!(state.apply(Action::Issue), Outcome::Closed);
    assert_eq!(state.apply(Action::BeginCapture), Outcome::Closed);
    assert_eq!(state.apply(Action::Commit), Outcome::Committed(1));
}
