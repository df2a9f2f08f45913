//! The one way to state that something cannot happen.

/// Panics with the property's name when `condition` does not hold, in release builds too: a
/// runtime that has broken its own rules must not go on with somebody's memory.
///
/// The first argument is the name of a property in `docs/SEMANTICS.md`.
macro_rules! invariant {
    ($name:literal, $condition:expr) => {
        assert!($condition, concat!("invariant ", $name, " is broken"))
    };
    ($name:literal, $condition:expr, $($detail:tt)+) => {
        assert!($condition, "invariant {} is broken: {}", $name, format_args!($($detail)+))
    };
}

pub(crate) use invariant;
