//! Every device function against the float64 reference. Without a card this says so and checks
//! nothing.

use super::card::Card;
use super::{double, elementwise, integer, movement, products, resample, rows};

/// What was compared, and what was wrong.
#[derive(Default)]
pub(super) struct Report {
    compared: usize,
    /// The largest error of each subject, as a fraction of what is allowed.
    worst: Vec<(&'static str, f64)>,
    failures: Vec<String>,
}

impl Report {
    /// Compares `found` with `expected`, of which each element may be off by `tolerance`.
    pub(super) fn compare(
        &mut self,
        subject: &'static str,
        what: &dyn Fn() -> String,
        found: &[impl Copy + Into<f64>],
        expected: &[f64],
        tolerance: &dyn Fn(usize) -> f64,
    ) {
        self.compared += 1;
        let mut worst: f64 = 0.0;
        for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
            let found: f64 = found.into();
            let error = if expected.is_nan() && found.is_nan() || expected == found {
                0.0
            } else if expected.is_finite() && found.is_finite() {
                (found - expected).abs() / tolerance(i)
            } else {
                f64::INFINITY
            };
            if error.is_nan() || error > 1.0 {
                self.fail(format!("{}\nelement {i}: found {found}, expected {expected}", what()));
                return;
            }
            worst = worst.max(error);
        }
        self.expect_equal(what, &found.len(), &expected.len());
        match self.worst.iter_mut().find(|(name, _)| *name == subject) {
            Some((_, known)) => *known = known.max(worst),
            None => self.worst.push((subject, worst)),
        }
    }

    pub(super) fn expect_equal<T: PartialEq + std::fmt::Debug>(
        &mut self,
        what: &dyn Fn() -> String,
        found: &T,
        expected: &T,
    ) {
        self.compared += 1;
        if found != expected {
            let mut text = format!("{}\nfound {found:?}\nexpected {expected:?}", what());
            text.truncate(2000);
            self.fail(text);
        }
    }

    fn fail(&mut self, what: String) {
        self.failures.push(what);
    }
}

#[test]
fn device_functions_compute_what_the_reference_does() {
    let Some(mut card) = Card::open() else { return };
    let mut report = Report::default();
    for (subject, check) in [
        ("rows", rows::check as fn(&mut Card, &mut Report)),
        ("elements", elementwise::check),
        ("movement", movement::check),
        ("resampling and comparisons", resample::check),
        ("integers and positions", integer::check),
        ("products", products::check),
        ("double precision", double::check),
    ] {
        check(&mut card, &mut report);
        let failures = report.failures.len();
        println!("{subject}: {} comparisons so far, {failures} failed", report.compared);
    }
    for (subject, worst) in &report.worst {
        println!("{subject:<24} {worst:.3} of what is allowed");
    }
    let failures = &report.failures;
    for failure in failures.iter().take(12) {
        println!("{}", failure.chars().take(700).collect::<String>());
    }
    assert!(failures.is_empty(), "{} comparisons failed", failures.len());
}
