//! The locks that a thread holds, as far as a debug build keeps account of them: a wrong order of
//! locks is then a panic at the first try, on any schedule, and not a deadlock on the unlucky one.
//!
//! Release builds keep no account, and take locks at the price of the engine's.

use std::cell::RefCell;

use crate::engine;

#[cfg(test)]
mod tests;

/// The place of a lock in the order in which its owner acquires locks: upwards only.
///
/// ```
/// use anabranch_sync::{Mutex, Rank};
/// let list = Mutex::ranked(Rank::one(1), vec![1]);
/// let item = Mutex::ranked(Rank::one(2), 0);
/// let list = list.lock();
/// *item.lock() += list[0];
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    level: u8,
    many: bool,
}

impl Rank {
    /// A lock that is not ordered with any other one.
    pub(crate) const NONE: Rank = Rank { level: 0, many: true };

    /// A thread holds at most one lock of this level, and acquires none of a lower one under it.
    pub const fn one(level: u8) -> Self {
        Self { level, many: false }
    }

    /// A thread may hold several locks of this level; their owner keeps them in order.
    pub const fn many(level: u8) -> Self {
        Self { level, many: true }
    }

    fn may_follow(self, held: Rank) -> bool {
        self.level == 0 || held.level < self.level || (self == held && self.many)
    }
}

engine::thread_local! {
    static HELD: RefCell<Vec<(Rank, usize)>> = const { RefCell::new(Vec::new()) };
}

/// The entry of one lock, from before it is acquired until after it has been let go.
#[derive(Debug)]
pub(crate) struct Held {
    address: usize,
}

impl Held {
    #[track_caller]
    #[inline]
    pub(crate) fn new(rank: Rank, address: usize) -> Self {
        if cfg!(debug_assertions) {
            // A thread that ends has no account any longer.
            let _ = HELD.try_with(|held| {
                let mut held = held.borrow_mut();
                let again = held.iter().any(|&(_, known)| known == address);
                debug_assert!(!again, "the thread holds this lock already");
                let upwards = held.iter().all(|&(known, _)| rank.may_follow(known));
                debug_assert!(upwards, "LK-1 Ranked: {rank:?} under {held:?}");
                held.push((rank, address));
            });
        }
        Self { address }
    }
}

impl Drop for Held {
    #[inline]
    fn drop(&mut self) {
        if cfg!(debug_assertions) {
            let _ = HELD.try_with(|held| {
                held.borrow_mut().retain(|&(_, address)| address != self.address);
            });
        }
    }
}

pub(crate) fn is_held(address: usize) -> bool {
    let known = |held: &RefCell<Vec<(Rank, usize)>>| {
        held.borrow().iter().any(|&(_, known)| known == address)
    };
    cfg!(debug_assertions) && HELD.try_with(known).unwrap_or(false)
}

/// How many locks with a rank this thread holds; 0 in a release build, which keeps no account.
///
/// ```
/// use anabranch_sync::{Mutex, Rank, ranked_locks_held};
/// let lock = Mutex::ranked(Rank::one(1), ());
/// let guard = lock.lock();
/// assert_eq!(ranked_locks_held(), usize::from(cfg!(debug_assertions)));
/// drop(guard);
/// assert_eq!(ranked_locks_held(), 0);
/// ```
pub fn ranked_locks_held() -> usize {
    if !cfg!(debug_assertions) {
        return 0;
    }
    let count = |held: &RefCell<Vec<(Rank, usize)>>| {
        held.borrow().iter().filter(|(rank, _)| 0 < rank.level).count()
    };
    HELD.try_with(count).unwrap_or(0)
}
