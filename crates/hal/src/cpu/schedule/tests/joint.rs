//! Work that runs with work of other queues.

use super::super::{Action, LONE_STARTS_MAX, Outcome};
use super::{Move, World, alone, submit};
use crate::device::{Priority, QueueId};

#[test]
fn only_what_finds_no_core_joins() {
    let mut world = World::new(2);
    for queue in [0, 1, 3] {
        world.submit(queue, Vec::new(), false);
    }
    let Outcome::Run(job) = world.state.apply(Action::Work) else { panic!("work is ready") };
    assert_eq!(job.slot, world.slots[1], "the high queue goes first");
    assert_eq!(world.state.companion(job.slot, 1, |()| true), None, "of its priority is nobody");
    let Outcome::Run(job) = world.state.apply(Action::Work) else { panic!("work is ready") };
    assert_eq!(world.state.companion(job.slot, 1, |()| false), None, "it does not fit");
    assert_eq!(world.state.companion(job.slot, 1, |()| true), Some(world.slots[3]));
    let (slot, value) = (world.slots[1], 1);
    world.note(Action::Finish { slot, value, result: Ok(()), permit: true, gang: None });
    assert_eq!(world.state.companion(job.slot, 1, |()| true), None, "a core is free for it");
}

#[test]
fn what_waits_is_shared_between_the_free_cores() {
    let (mut state, first) = alone(2);
    submit(&mut state, first);
    for id in 1..6 {
        let create = Action::Create { id: QueueId(id), priority: Priority::Normal };
        let Outcome::Created(slot) = state.apply(create) else { panic!("no slot") };
        submit(&mut state, slot);
    }
    for _ in 0..2 {
        let Outcome::Run(job) = state.apply(Action::Work) else { panic!("work is ready") };
        let mut count = 1;
        while let Some(slot) = state.companion(job.slot, count, |()| true) {
            let Outcome::Run(_) = state.apply(Action::Join { slot }) else { panic!("it is ready") };
            count += 1;
        }
        assert_eq!(count, 3);
    }
}

#[test]
fn nobody_joins_while_a_higher_queue_waits() {
    let mut world = World::new(1);
    world.submit(0, Vec::new(), false);
    world.submit(3, Vec::new(), false);
    let Outcome::Run(job) = world.state.apply(Action::Work) else { panic!("work is ready") };
    assert_eq!(world.state.companion(job.slot, 1, |()| true), Some(world.slots[3]));
    world.submit(2, Vec::new(), false);
    assert_eq!(world.state.companion(job.slot, 1, |()| true), Some(world.slots[3]), "a lower one");
    world.submit(1, Vec::new(), false);
    assert_eq!(world.state.companion(job.slot, 1, |()| true), None);
}

/// What comes of a caller's help, which gives its permit back at once.
fn help(world: &mut World, queue: usize, joinable: bool) -> Outcome<(), usize> {
    let (slot, value) = (world.slots[queue], world.latest[queue]);
    let outcome = world.state.apply(Action::Help { slot, value, joinable });
    if let Outcome::Run(_) = outcome {
        world.note(Action::Finish { slot, value, result: Ok(()), permit: true, gang: None });
    }
    outcome
}

#[test]
fn callers_that_outnumber_cores_leave_to_workers_what_finds_company() {
    let mut world = World::new(1);
    world.joins = true;
    world.submit(0, Vec::new(), false);
    world.submit(3, Vec::new(), false);
    world.apply(&Move::Arrive);
    assert_eq!(world.running.iter().map(|(_, jobs, _)| jobs.len()).collect::<Vec<_>>(), [2]);
    world.finish(0);
    world.finish(0);
    world.submit(0, Vec::new(), false);
    assert!(matches!(help(&mut world, 0, true), Outcome::Nothing), "it may find company again");
    assert_eq!(world.demand(), 1, "a worker is wanted for it");
    assert!(matches!(help(&mut world, 0, false), Outcome::Run(_)), "nobody may join it");
    assert!(matches!(help(&mut world, 0, true), Outcome::Reached));
    for _ in 0..LONE_STARTS_MAX {
        world.submit(0, Vec::new(), false);
        assert!(matches!(help(&mut world, 0, false), Outcome::Run(_)));
    }
    world.submit(0, Vec::new(), false);
    assert!(matches!(help(&mut world, 0, true), Outcome::Run(_)), "nobody else has come");
}

#[test]
fn a_caller_runs_its_own_as_long_as_nobody_finds_company() {
    let mut world = World::new(1);
    world.submit(0, Vec::new(), false);
    world.submit(3, Vec::new(), false);
    world.apply(&Move::Arrive);
    world.finish(0);
    world.finish(0);
    assert_eq!(world.state.order.unreported(), 0);
    world.submit(0, Vec::new(), false);
    assert!(matches!(help(&mut world, 0, true), Outcome::Run(_)));
}
