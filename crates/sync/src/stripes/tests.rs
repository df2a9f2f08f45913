//! Who is sent to which stripe.

use std::ptr::from_ref;

use super::Stripes;
use crate::model::{check, check_once};
use crate::{Mutex, thread};

fn counts() -> Stripes<Mutex<usize>> {
    Stripes::new(|| Mutex::new(0))
}

#[test]
fn stripe_stable_and_spread() {
    check_once(|| {
        let counts = crate::Arc::new(counts());
        let mine = from_ref(counts.own()).addr();
        assert_eq!(mine, from_ref(counts.own()).addr(), "STRIPE-STABLE");
        let here = thread::number();
        let theirs = thread::spawn(|| (thread::number(), thread::number())).join().unwrap();
        assert_eq!(theirs.0, theirs.1, "STRIPE-STABLE");
        assert_ne!(here, theirs.0, "STRIPE-SPREAD");
    });
}

#[test]
fn stripe_apart() {
    check_once(|| {
        let counts = counts();
        let mut lines: Vec<_> = counts.iter().map(|count| from_ref(count).addr() / 128).collect();
        lines.dedup();
        assert_eq!(lines.len(), Stripes::<u8>::COUNT, "STRIPE-APART");
        let numbered: Vec<_> = (0..).take(lines.len()).map(|number| counts.of(number)).collect();
        let listed: Vec<_> = counts.iter().collect();
        let same = numbered.iter().zip(&listed).all(|(one, other)| std::ptr::eq(*one, *other));
        assert!(same, "STRIPE-SPREAD: numbers that follow each other");
    });
}

#[test]
fn model_nothing_is_lost_between_stripes() {
    check(|| {
        let counts = crate::Arc::new(counts());
        let add = |counts: &Stripes<Mutex<usize>>| *counts.own().lock() += 1;
        let other = thread::spawn({
            let counts = crate::Arc::clone(&counts);
            move || add(&counts)
        });
        add(&counts);
        other.join().unwrap();
        assert_eq!(counts.iter().map(|count| *count.lock()).sum::<usize>(), 2);
    });
}
