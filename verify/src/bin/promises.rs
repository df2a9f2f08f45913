//! Prints what holds of every promise on every device: `cargo run -p verify --bin promises`.

use verify::promises::{SUBJECTS, table};

fn main() {
    print!("{}", table(SUBJECTS));
}
