//! Random owners and users of one size class against a map of who may still use what.

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{BlockId, Counts, Home, Order, State};

const STREAMS: usize = 3;

/// Uses by stream: the largest number each, 0 for none.
type Uses = [u64; STREAMS];

/// What has happened on the device, and what each stream is ordered behind.
#[derive(Default)]
struct World {
    issued: Uses,
    completed: Uses,
    known: [Uses; STREAMS],
}

/// One stream, or the host, in that world.
struct Requester<'a> {
    world: &'a World,
    stream: Option<usize>,
    asked: RefCell<usize>,
}

impl Order<Uses> for Requester<'_> {
    fn is_complete(&self, uses: &Uses) -> bool {
        *self.asked.borrow_mut() += 1;
        uses.iter().zip(&self.world.completed).all(|(used, completed)| used <= completed)
    }

    fn is_dominated(&self, uses: &Uses) -> bool {
        self.stream.is_some_and(|stream| {
            (0..STREAMS).all(|other| {
                other == stream
                    || uses[other] <= self.world.completed[other]
                    || uses[other] <= self.world.known[stream][other]
            })
        })
    }
}

#[derive(Clone, Debug)]
enum Step {
    Grow(u32),
    Take(Option<usize>),
    Use(usize, usize),
    Give(usize),
    Complete(usize, u64),
    Learn(usize, usize),
    Sweep,
    Trim,
}

fn step() -> impl Strategy<Value = Step> {
    let stream = 0..STREAMS;
    prop_oneof![
        2 => (1_u32..4).prop_map(Step::Grow),
        8 => prop::option::weighted(0.8, stream.clone()).prop_map(Step::Take),
        8 => (0_usize..8, stream.clone()).prop_map(|(live, stream)| Step::Use(live, stream)),
        6 => (0_usize..8).prop_map(Step::Give),
        4 => (stream.clone(), 1_u64..4).prop_map(|(stream, by)| Step::Complete(stream, by)),
        2 => (stream.clone(), stream).prop_map(|(learner, of)| Step::Learn(learner, of)),
        1 => Just(Step::Sweep),
        1 => Just(Step::Trim),
    ]
}

/// A block that somebody owns.
struct Live {
    block: BlockId,
    home: Home,
    uses: Uses,
}

#[derive(Default)]
struct Model {
    world: World,
    state: State<Uses>,
    live: Vec<Live>,
    /// Blocks without an owner, with everything that ever used them since they were clean.
    idle: BTreeMap<BlockId, (Home, Uses)>,
    segments: BTreeMap<u32, u32>,
}

impl Model {
    fn requester(world: &World, stream: Option<usize>) -> Requester<'_> {
        Requester { world, stream, asked: RefCell::new(0) }
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Grow(blocks) => {
                let segment = self.state.grow(blocks);
                assert!(self.segments.insert(segment, blocks).is_none(), "AL-1: segment reused");
                for index in 0..blocks {
                    self.idle.insert(BlockId { segment, index }, (None, [0; STREAMS]));
                }
            }
            Step::Take(stream) => self.take(stream),
            Step::Use(pick, stream) => {
                if let Some(live) = self.live.get_mut(pick) {
                    self.world.issued[stream] += 1;
                    live.uses[stream] = self.world.issued[stream];
                    // The command is ordered behind the block's earlier uses.
                    for other in 0..STREAMS {
                        let known = &mut self.world.known[stream][other];
                        *known = live.uses[other].max(*known);
                    }
                }
            }
            Step::Give(pick) => {
                if pick < self.live.len() {
                    let Live { block, home, uses } = self.live.swap_remove(pick);
                    let requester = Self::requester(&self.world, None);
                    self.state.give(block, home, uses, &requester);
                    self.idle.insert(block, (home, uses));
                }
            }
            Step::Complete(stream, by) => {
                let completed = self.world.completed[stream] + by;
                self.world.completed[stream] = completed.min(self.world.issued[stream]);
            }
            Step::Learn(learner, of) => self.world.known[learner][of] = self.world.issued[of],
            Step::Sweep => self.state.sweep(&Self::requester(&self.world, None)),
            Step::Trim => {
                for segment in self.state.trim() {
                    let blocks = self.segments.remove(&segment).expect("AL-8: a known segment");
                    for index in 0..blocks {
                        let block = BlockId { segment, index };
                        let (_, uses) = self.idle.remove(&block).expect("AL-8: nobody owns it");
                        self.assert_complete(&uses, "AL-8: trimmed while in use");
                    }
                }
            }
        }
    }

    fn take(&mut self, stream: Option<usize>) {
        let home = stream.map(|stream| stream as u64);
        let requester = Self::requester(&self.world, stream);
        let newest_of_home = self.state.pending.get(&home).and_then(|queue| queue.back().copied());
        let taken = self.state.take(home, &requester);
        let Some((block, birth)) = taken else {
            for (home_of, uses) in self.idle.values() {
                assert!(!requester.is_complete(uses), "AL-9: {home_of:?} could have been taken");
            }
            return;
        };
        if let Some((newest, uses)) = newest_of_home
            && stream.is_some()
            && requester.is_dominated(&uses)
        {
            assert_eq!(block, newest, "AL-3: the newest own block is taken at once");
        }
        let unowned = self.idle.remove(&block);
        let (_, uses) = unowned.expect("AL-1, AL-17: somebody owns it already");
        match birth {
            None => self.assert_complete(&uses, "AL-2: clean while in use"),
            Some(birth) => {
                assert!(requester.is_dominated(&birth), "AL-4: not ordered behind every use");
                assert_eq!(birth, uses, "AL-5: a use was lost");
            }
        }
        let uses = birth.unwrap_or_default();
        self.live.push(Live { block, home, uses });
    }

    fn assert_complete(&self, uses: &Uses, why: &str) {
        let complete = uses.iter().zip(&self.world.completed).all(|(used, done)| used <= done);
        assert!(complete, "{why}: {uses:?} of {:?}", self.world.completed);
    }

    fn check(&self) {
        let Counts { live, pending, free } = self.state.counts();
        assert_eq!(live, self.live.len(), "AL-13");
        assert_eq!(pending + free, self.idle.len(), "AL-13");
        assert_eq!(pending, self.state.pending().count(), "AL-13");
        for uses in self.state.pending() {
            assert!(uses.iter().any(|used| 0 < *used), "AL-13: pending without a use");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    // The model's assertions name what they find: AL-1, AL-3, AL-4, AL-5, AL-8, AL-9, AL-17.
    #[test]
    fn al_2_no_early_reuse_al_13_accounting_exact(
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut model = Model::default();
        for step in &steps {
            model.run(step);
            model.check();
        }
        // AL-10 and AL-13: everything drains, and the baseline comes back.
        model.world.completed = model.world.issued;
        while !model.live.is_empty() {
            model.run(&Step::Give(0));
        }
        model.run(&Step::Sweep);
        model.run(&Step::Trim);
        prop_assert_eq!(model.state.counts(), Counts::default());
        prop_assert!(model.segments.is_empty());
    }
}

#[test]
fn al_9_a_slow_stream_holds_nobody_back() {
    let mut world = World { issued: [1, 1, 0], ..World::default() };
    let mut state = State::default();
    state.grow(2);
    let first = state.take(Some(0), &Model::requester(&world, Some(0))).unwrap().0;
    let second = state.take(Some(0), &Model::requester(&world, Some(0))).unwrap().0;
    state.give(first, Some(0), [0, 1, 0], &Model::requester(&world, None));
    state.give(second, Some(0), [1, 0, 0], &Model::requester(&world, None));
    world.completed = [1, 0, 0];
    let taken = state.take(Some(2), &Model::requester(&world, Some(2)));
    assert_eq!(taken, Some((second, None)), "the older block of the queue waits for a slow stream");
}

#[test]
fn the_search_for_an_own_block_is_bounded() {
    let world = World { issued: [0, 1, 0], ..World::default() };
    let mut state = State::default();
    state.grow(100);
    let blocks: Vec<BlockId> = (0..100)
        .map(|_| state.take(Some(0), &Model::requester(&world, Some(0))).unwrap().0)
        .collect();
    for block in blocks {
        state.give(block, Some(0), [0, 1, 0], &Model::requester(&world, None));
    }
    let taken = state.take_ordered(Some(0), &Model::requester(&world, Some(0)));
    assert_eq!(taken, None);
    assert_eq!(state.counts().pending, 100);
}
