//! One size class of the allocator as plain data: segments, free blocks, and blocks that wait
//! for their last users. Generic in the clock, so that a checker can bring its own.

use std::collections::{BTreeMap, VecDeque};

use crate::invariant::invariant;

#[cfg(test)]
mod spec;
#[cfg(test)]
mod tests;

/// A block: one of the equal parts of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BlockId {
    /// Index of the segment.
    pub(crate) segment: u32,
    /// Index inside it.
    pub(crate) index: u32,
}

/// Where a block was allocated for: blocks go back to their home first. Hosts have none.
pub(crate) type Home = Option<u64>;

/// How many of the newest pending blocks of the requester's own stream are looked at for reuse
/// by order. They were freed last, so their uses are the least likely to have completed, and
/// their memory the most likely to be in a cache.
const OWN_PENDING_LOOKED_AT_MAX: usize = 8;
const _: () = assert!(0 < OWN_PENDING_LOOKED_AT_MAX, "AL-3 HomeImmediate");

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State<C> {
    segments: Vec<Option<Segment>>,
    free: Vec<BlockId>,
    pending: BTreeMap<Home, VecDeque<(BlockId, C)>>,
    live_count: usize,
    pending_count: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Segment {
    blocks: u32,
    busy: u32,
}

/// What a requester can tell about a clock.
pub(crate) trait Order<C> {
    /// Whether everything in it has been seen complete.
    fn is_complete(&self, clock: &C) -> bool;
    /// Whether everything in it is ordered before the requester's next command.
    fn is_dominated(&self, clock: &C) -> bool;
}

/// Blocks of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) live: usize,
    pub(crate) pending: usize,
    pub(crate) free: usize,
}

impl<C> Default for State<C> {
    fn default() -> Self {
        Self {
            segments: Vec::new(),
            free: Vec::new(),
            pending: BTreeMap::new(),
            live_count: 0,
            pending_count: 0,
        }
    }
}

impl<C> State<C> {
    /// Adds a segment of `blocks` free blocks and returns its index.
    pub(crate) fn grow(&mut self, blocks: u32) -> u32 {
        let vacant = self.segments.iter().position(Option::is_none);
        let index = vacant.unwrap_or_else(|| {
            self.segments.push(None);
            self.segments.len() - 1
        });
        self.segments[index] = Some(Segment { blocks, busy: 0 });
        let segment = u32::try_from(index).expect("a class has fewer than 2^32 segments");
        self.free.extend((0..blocks).rev().map(|index| BlockId { segment, index }));
        segment
    }

    /// The blocks of each segment.
    pub(crate) fn segments(&self) -> impl Iterator<Item = Counts> {
        let counts =
            |segment: &Segment| Counts { live: segment.busy as usize, pending: 0, free: 0 };
        let mut all: Vec<Option<Counts>> =
            self.segments.iter().map(|segment| segment.as_ref().map(counts)).collect();
        let pending = self.pending.values().flatten().map(|(block, _)| (block, true));
        for (block, is_pending) in pending.chain(self.free.iter().map(|block| (block, false))) {
            if let Some(counts) = &mut all[block.segment as usize] {
                // What waits for its users is busy as well.
                counts.live -= usize::from(is_pending);
                counts.pending += usize::from(is_pending);
                counts.free += usize::from(!is_pending);
            }
        }
        all.into_iter().flatten()
    }

    /// Takes a block for a requester at `home`, with the clock of those who may still use it:
    /// one of its own that is ordered before it, a free one, or one that has become complete.
    pub(crate) fn take(
        &mut self,
        home: Home,
        order: &impl Order<C>,
    ) -> Option<(BlockId, Option<C>)> {
        let taken = self
            .take_ordered(home, order)
            .map(|(block, clock)| (block, Some(clock)))
            .or_else(|| self.free.pop().map(|block| (block, None)))
            .or_else(|| {
                self.sweep(order);
                self.free.pop().map(|block| (block, None))
            })?;
        let (block, _) = &taken;
        let segment = self.segment_mut(*block);
        segment.busy += 1;
        invariant!("AL-1 NoOverlap", segment.busy <= segment.blocks);
        self.live_count += 1;
        Some(taken)
    }

    fn take_ordered(&mut self, home: Home, order: &impl Order<C>) -> Option<(BlockId, C)> {
        home?;
        let queue = self.pending.get_mut(&home)?;
        let first = queue.len().saturating_sub(OWN_PENDING_LOOKED_AT_MAX);
        let index = (first..queue.len()).rev().find(|&i| order.is_dominated(&queue[i].1))?;
        let (block, clock) = queue.remove(index)?;
        debug_assert!(order.is_dominated(&clock), "AL-2 NoEarlyReuse");
        self.pending_count -= 1;
        self.segment_mut(block).busy -= 1;
        Some((block, clock))
    }

    /// Gives a block back with the clock of its uses.
    pub(crate) fn give(&mut self, block: BlockId, home: Home, clock: C, order: &impl Order<C>) {
        invariant!("AL-17 OneOwner", 0 < self.live_count);
        self.live_count -= 1;
        if order.is_complete(&clock) {
            self.release(block);
        } else {
            self.pending.entry(home).or_default().push_back((block, clock));
            self.pending_count += 1;
        }
    }

    /// Frees every pending block whose uses have completed. The blocks of a stream complete in
    /// the order in which they were freed unless they were used elsewhere too, so each stream's
    /// queue is searched whole: one slow stream holds nobody else back.
    pub(crate) fn sweep(&mut self, order: &impl Order<C>) {
        let mut done = Vec::new();
        let mut looked_at = 0;
        for queue in self.pending.values_mut() {
            queue.retain(|(block, clock)| {
                looked_at += 1;
                let complete = order.is_complete(clock);
                if complete {
                    done.push(*block);
                }
                !complete
            });
        }
        invariant!("AL-9 NoHeadOfLine", looked_at == self.pending_count);
        self.pending.retain(|_, queue| !queue.is_empty());
        self.pending_count -= done.len();
        let left = self.pending.values().map(VecDeque::len).sum::<usize>();
        invariant!("AL-10 PendingDrains", left == self.pending_count);
        done.into_iter().for_each(|block| self.release(block));
    }

    /// The clocks of every pending block, oldest first within each home.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &C> {
        self.pending.values().flatten().map(|(_, clock)| clock)
    }

    /// Removes every segment whose blocks are all free and returns their indices.
    pub(crate) fn trim(&mut self) -> Vec<u32> {
        let mut removed = Vec::new();
        for (index, slot) in (0_u32..).zip(&mut self.segments) {
            if slot.as_ref().is_some_and(|segment| segment.busy == 0) {
                *slot = None;
                removed.push(index);
            }
        }
        let in_use = |(block, _): &(BlockId, C)| removed.contains(&block.segment);
        invariant!("AL-8 MergeQuiescent", !self.pending.values().flatten().any(in_use));
        self.free.retain(|block| !removed.contains(&block.segment));
        removed
    }

    /// How many blocks there are of each kind.
    pub(crate) fn counts(&self) -> Counts {
        let counts =
            Counts { live: self.live_count, pending: self.pending_count, free: self.free.len() };
        let blocks: usize = self.segments.iter().flatten().map(|s| s.blocks as usize).sum();
        invariant!(
            "AL-13 AccountingExact",
            counts.live + counts.pending + counts.free == blocks,
            "{counts:?} of {blocks} blocks"
        );
        counts
    }

    fn release(&mut self, block: BlockId) {
        self.segment_mut(block).busy -= 1;
        self.free.push(block);
    }

    fn segment_mut(&mut self, block: BlockId) -> &mut Segment {
        self.segments[block.segment as usize]
            .as_mut()
            .expect("a segment with a block outside the free list is not removed")
    }
}
