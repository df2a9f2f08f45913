//! The blocks of one size class, taken and given again: who owns what, and who used it last.

use std::collections::BTreeMap;

use anabranch_hal::device::QueueId;

use super::Blocks;
use super::replay::{Verdict, demand};
use crate::memory::state::BlockId;

/// A size class. What the allocator knows of a block beyond its owner is asked of the streams.
#[derive(Default)]
pub(super) struct Class {
    segments: BTreeMap<u32, Vec<Slot>>,
    /// Of the block that is given back next.
    users: Vec<(QueueId, u64)>,
}

#[derive(Clone, Default)]
struct Slot {
    is_owned: bool,
    users: Vec<(QueueId, u64)>,
}

impl Class {
    /// Takes a step. `is_reached` says of a command whether it has been reported.
    pub(super) fn step(
        &mut self,
        step: Blocks,
        is_reached: impl Fn(&(QueueId, u64)) -> bool,
    ) -> Verdict {
        match step {
            Blocks::Grown { segment, blocks } => {
                let before = self.segments.insert(segment, vec![Slot::default(); blocks as usize]);
                demand(before.is_none(), "AL-1 NoOverlap", || {
                    format!("segment {segment} is there twice")
                })
            }
            Blocks::Taken { block, home, in_order } => {
                let slot = self.slot(block)?;
                demand(!slot.is_owned, "AL-1 NoOverlap", || format!("{block:?} has an owner"))?;
                slot.is_owned = true;
                let users = std::mem::take(&mut slot.users);
                demand(!in_order || home.is_some(), "AL-7 HostNotInFlight", || {
                    format!("the host takes {block:?} in the order of a stream")
                })?;
                let early = users.iter().find(|user| !in_order && !is_reached(user));
                demand(early.is_none(), "AL-2 NoEarlyReuse", || {
                    format!("{block:?} is taken while {early:?} uses it")
                })
            }
            Blocks::Used { stream, value } => {
                self.users.push((stream, value));
                Ok(())
            }
            Blocks::Given { block } => {
                let users = std::mem::take(&mut self.users);
                let slot = self.slot(block)?;
                demand(slot.is_owned, "AL-17 OneOwner", || format!("{block:?} has no owner"))?;
                *slot = Slot { is_owned: false, users };
                Ok(())
            }
            Blocks::Trimmed { segment } => {
                let slots = self.segments.remove(&segment).unwrap_or_default();
                let in_use = |slot: &Slot| slot.is_owned || !slot.users.iter().all(&is_reached);
                demand(!slots.iter().any(in_use), "AL-8 MergeQuiescent", || {
                    format!("segment {segment} goes back in use")
                })
            }
        }
    }

    fn slot(&mut self, block: BlockId) -> Result<&mut Slot, (&'static str, String)> {
        let slots = self.segments.get_mut(&block.segment);
        let slot = slots.and_then(|slots| slots.get_mut(block.index as usize));
        slot.ok_or_else(|| ("AL-1 NoOverlap", format!("there is no {block:?}")))
    }
}
