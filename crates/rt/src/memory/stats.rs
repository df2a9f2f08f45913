//! What the allocator holds.

use anabranch_sync::atomic::Ordering;

use super::Allocator;
use super::state::Counts;

/// A consistent cut through the allocator: `live + pending + cached = reserved`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// Blocks that buffers own.
    pub live_bytes: usize,
    /// Freed blocks that commands in flight may still use.
    pub pending_bytes: usize,
    /// Free blocks, ready for the next allocation.
    pub cached_bytes: usize,
    /// All segments.
    pub reserved_bytes: usize,
    /// The most that was ever reserved.
    pub reserved_peak_bytes: usize,
    /// What `reserved_bytes` never exceeds.
    pub limit_bytes: usize,
    /// Buffers that are alive.
    pub live_count: usize,
}

/// One segment: memory that the device gave in one piece, divided into blocks of one size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemorySegment {
    /// The size of a block.
    pub block_bytes: usize,
    /// Blocks that buffers own.
    pub live: usize,
    /// Freed blocks that commands in flight may still use.
    pub pending: usize,
    /// Blocks for the next allocation.
    pub free: usize,
}

impl Allocator {
    /// Lists every segment of every size class while all of them stand still.
    pub(crate) fn segments(&self) -> Vec<MemorySegment> {
        let shards: Vec<_> = self.arenas().flat_map(|arena| arena.classes()).collect();
        let all = shards.iter().flat_map(|(class, shard)| {
            let block_bytes = class.block_bytes();
            let segment = move |Counts { live, pending, free }: Counts| MemorySegment {
                block_bytes,
                live,
                pending,
                free,
            };
            shard.state.segments().map(segment).collect::<Vec<_>>()
        });
        all.collect()
    }

    /// Adds up every size class while all of them stand still.
    pub(crate) fn stats(&self) -> MemoryStats {
        let shards: Vec<_> = self.arenas().flat_map(|arena| arena.classes()).collect();
        let mut stats = MemoryStats {
            limit_bytes: self.limit_bytes,
            reserved_peak_bytes: self.reserved_peak_bytes.load(Ordering::Relaxed),
            ..MemoryStats::default()
        };
        for (class, shard) in &shards {
            let counts = shard.state.counts();
            let bytes = class.block_bytes();
            stats.live_count += counts.live;
            stats.live_bytes += counts.live * bytes;
            stats.pending_bytes += counts.pending * bytes;
            stats.cached_bytes += counts.free * bytes;
            stats.reserved_bytes += (counts.live + counts.pending + counts.free) * bytes;
        }
        stats
    }
}
