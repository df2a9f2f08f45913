//! The decisions of the cache: plain data.

/// What happens to the cache.
pub(super) enum Action<'a, K, V, E> {
    /// Somebody wants an entry.
    Get(&'a K),
    /// The maker of a flight is done.
    Finish(u64, Result<V, E>),
    /// A waiter looks whether its flight is done.
    Fetch(u64),
    /// A waiter gives up.
    Leave(u64),
    /// Entries that are ready are no longer wanted.
    Clear,
}

/// What follows from it.
#[must_use]
pub(super) enum Outcome<V, E> {
    /// The entry is there.
    Ready(V),
    /// The caller makes the entry, and finishes this flight.
    Make(u64),
    /// Somebody makes the entry; the caller waits for this flight.
    Wait(u64),
    /// The flight that was waited for is done.
    Fetched(Result<V, E>),
    /// The flight is not done.
    Pending,
    /// These are no longer held; the caller drops them outside the lock.
    Dropped(Vec<V>),
}

enum Stage<V> {
    Making { flight: u64, waiters: usize },
    Ready { value: V, used: u64 },
}

struct Landed<V, E> {
    flight: u64,
    waiters: usize,
    result: Result<V, E>,
}

/// Entries, and results on their way to waiters.
pub(super) struct State<K, V, E> {
    entries_max: usize,
    entries: Vec<(K, Stage<V>)>,
    landed: Vec<Landed<V, E>>,
    next_flight: u64,
    clock: u64,
}

impl<K: Clone + PartialEq, V: Clone, E: Clone> State<K, V, E> {
    pub(super) fn new(entries_max: usize) -> Self {
        let (entries, landed) = (Vec::new(), Vec::new());
        Self { entries_max: entries_max.max(1), entries, landed, next_flight: 0, clock: 0 }
    }

    /// Number of entries that are ready.
    pub(super) fn len(&self) -> usize {
        let ready = |(_, stage): &&(K, Stage<V>)| matches!(stage, Stage::Ready { .. });
        self.entries.iter().filter(ready).count()
    }

    /// The only mutator.
    pub(super) fn apply(&mut self, action: Action<'_, K, V, E>) -> Outcome<V, E> {
        match action {
            Action::Get(key) => self.get(key),
            Action::Finish(flight, result) => self.finish(flight, result),
            Action::Fetch(flight) => self.fetch(flight),
            Action::Leave(flight) => self.leave(flight),
            Action::Clear => Outcome::Dropped(self.evict(0)),
        }
    }

    fn get(&mut self, key: &K) -> Outcome<V, E> {
        self.clock += 1;
        let found = self.entries.iter_mut().find(|(known, _)| known == key);
        match found {
            Some((_, Stage::Ready { value, used })) => {
                *used = self.clock;
                Outcome::Ready(value.clone())
            }
            Some((_, Stage::Making { flight, waiters })) => {
                *waiters += 1;
                Outcome::Wait(*flight)
            }
            None => {
                let flight = self.next_flight;
                self.next_flight += 1;
                self.entries.push((key.clone(), Stage::Making { flight, waiters: 0 }));
                Outcome::Make(flight)
            }
        }
    }

    fn place_of(&self, wanted: u64) -> Option<usize> {
        let makes =
            |stage: &Stage<V>| matches!(stage, Stage::Making { flight, .. } if *flight == wanted);
        self.entries.iter().position(|(_, stage)| makes(stage))
    }

    fn finish(&mut self, flight: u64, result: Result<V, E>) -> Outcome<V, E> {
        let Some(place) = self.place_of(flight) else { return Outcome::Pending };
        if let Stage::Making { waiters, .. } = self.entries[place].1
            && 0 < waiters
        {
            self.landed.push(Landed { flight, waiters, result: result.clone() });
        }
        match result {
            Ok(value) => {
                self.clock += 1;
                self.entries[place].1 = Stage::Ready { value, used: self.clock };
                Outcome::Dropped(self.evict(self.entries_max))
            }
            Err(_) => {
                self.entries.swap_remove(place);
                Outcome::Dropped(Vec::new())
            }
        }
    }

    /// Removes the least recently used entries that are more than `keep`.
    fn evict(&mut self, keep: usize) -> Vec<V> {
        let mut evicted = Vec::new();
        while keep < self.len() {
            let ready =
                self.entries.iter().enumerate().filter_map(|(place, (_, stage))| match stage {
                    Stage::Ready { used, .. } => Some((*used, place)),
                    Stage::Making { .. } => None,
                });
            let Some((_, oldest)) = ready.min() else { break };
            if let (_, Stage::Ready { value, .. }) = self.entries.swap_remove(oldest) {
                evicted.push(value);
            }
        }
        evicted
    }

    fn fetch(&mut self, flight: u64) -> Outcome<V, E> {
        let Some(place) = self.landed.iter().position(|landed| landed.flight == flight) else {
            return Outcome::Pending;
        };
        let landed = &mut self.landed[place];
        landed.waiters -= 1;
        if landed.waiters == 0 {
            return Outcome::Fetched(self.landed.swap_remove(place).result);
        }
        Outcome::Fetched(landed.result.clone())
    }

    fn leave(&mut self, flight: u64) -> Outcome<V, E> {
        if let Some(place) = self.place_of(flight) {
            if let Stage::Making { waiters, .. } = &mut self.entries[place].1 {
                *waiters -= 1;
            }
            return Outcome::Pending;
        }
        self.fetch(flight)
    }
}
