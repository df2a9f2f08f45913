//! Scenarios for the ring, each written once and run on every engine.

use super::*;
use crate::{model, thread};

// The count that a scenario has on this engine; only loom's depends on the scenario.
fn expected(loom: usize) -> u64 {
    model::bound(loom, 2_000, 100) as u64
}

#[test]
fn fills_drops_and_goes_round() {
    model::check(|| {
        let (mut producer, mut consumer) = ring(3);
        for lap in 0..3 {
            let accepted = (0..6).filter(|&n| producer.push(10 * lap + n)).count();
            assert_eq!(accepted, 4, "three records are rounded up to four");
            let mut seen = Vec::new();
            assert_eq!(consumer.drain(|record| seen.push(record)), 4);
            assert_eq!(seen, [10 * lap, 10 * lap + 1, 10 * lap + 2, 10 * lap + 3]);
            assert_eq!(consumer.pop(), None);
            assert_eq!(consumer.dropped(), 2 * (lap + 1));
        }
        assert_eq!(producer.dropped(), 6);
    });
}

#[test]
fn records_outlive_the_producer() {
    model::check(|| {
        let (mut producer, mut consumer) = ring(0);
        assert!(producer.push(7));
        drop(producer);
        assert_eq!(consumer.pop(), Some(7));
        assert_eq!(consumer.pop(), None);
    });
}

#[test]
fn a_producer_without_consumer_only_counts() {
    model::check(|| {
        let (mut producer, consumer) = ring(2);
        drop(consumer);
        assert_eq!((0..10).filter(|&n| producer.push(n)).count(), 2);
        assert_eq!(producer.dropped(), 8);
    });
}

// One thread pushes `offered` records, the other takes what it finds, `polls` times and once
// more at the end. Each access to a cell is checked by the engine: RING-PUBLISHED is a read that
// is not ordered after its write, RING-NO-OVERWRITE a write that is not ordered after the last
// read.
fn hand_over(capacity: usize, offered: u64, polls: usize) {
    let (mut producer, mut consumer) = ring(capacity);
    let feeder = thread::spawn(move || {
        let accepted: Vec<u64> = (0..offered).filter(|&record| producer.push(record)).collect();
        assert_eq!(accepted.len() as u64 + producer.dropped(), offered, "RING-COUNTED");
        accepted
    });
    let mut taken = Vec::new();
    for poll in 0..polls {
        if poll % 2 == 0 {
            consumer.drain(|record| taken.push(record));
        } else {
            taken.extend(consumer.pop());
        }
        if let Some(&last) = taken.last() {
            let before = last + 1 - taken.len() as u64;
            assert!(before <= consumer.dropped(), "RING-COUNTED: drops travel with the record");
        }
    }
    let accepted = feeder.join().unwrap();
    consumer.drain(|record| taken.push(record));
    assert_eq!(taken, accepted, "RING-FIFO");
    assert_eq!(consumer.dropped() + taken.len() as u64, offered, "RING-COUNTED");
}

#[test]
fn model_one_cell_is_filled_again_only_when_taken() {
    let executions = model::check_counted(None, || hand_over(1, 3, 2));
    assert_eq!(executions, expected(1_410));
}

#[test]
fn model_two_cells_go_round() {
    let executions = model::check_counted(None, || hand_over(2, 4, 2));
    assert_eq!(executions, expected(10_083));
}

#[test]
fn model_long_hand_over() {
    let (offered, polls) = (model::bound(3, 40, 20_000), model::bound(2, 40, 20_000));
    model::check(move || hand_over(8, offered as u64, polls));
}

#[test]
fn model_what_an_abandoned_ring_holds_is_all_there_will_be() {
    model::check(|| {
        let (mut producer, mut consumer) = ring(2);
        let pusher = thread::spawn(move || {
            producer.push(1_u32);
            producer.push(2);
        });
        let is_over = consumer.is_abandoned();
        let taken = consumer.drain(|_| ());
        assert!(!is_over || taken == 2, "RING-PUBLISHED: an abandoned ring tells all");
        pusher.join().unwrap();
        assert!(consumer.is_abandoned());
    });
}
