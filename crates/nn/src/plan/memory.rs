//! A place in one arena for every intermediate result.
//!
//! Results that live at the same time do not overlap; a kernel that may write over what it reads
//! does so when nobody reads it later.

use anabranch_hal::buffer::ALIGN_BYTES;
use anabranch_hal::command::Operation;
use anabranch_hal::kernel::Kernel;

use super::lower::{Home, Lowered, RawOperand, RawStep};
use super::{Operand, Place};
use crate::shape::row_major_strides;

/// Where everything lies.
pub(super) struct Arena {
    /// By storage; meaningless for storages outside the arena.
    offsets: Vec<usize>,
    /// By storage; `None` for those that no step uses.
    pub(super) lives: Vec<Option<Life>>,
    pub(super) bytes: usize,
}

impl Arena {
    /// Where a storage of the arena begins.
    pub(super) fn offset(&self, storage: usize) -> usize {
        self.offsets[storage]
    }

    /// The operand's place.
    pub(super) fn resolve(&self, lowered: &Lowered, operand: &RawOperand) -> Operand {
        let (place, base) = match lowered.storages[operand.storage].home {
            Home::Input(index) => (Place::Input(index), 0),
            Home::Output(index) => (Place::Output(index), 0),
            Home::Weight(index) => (Place::Weight(index), 0),
            Home::Constant(index) => (Place::Constant(index), 0),
            Home::Temporary => (Place::Arena, self.offsets[operand.storage]),
        };
        Operand { place, offset: base + operand.offset, bytes: operand.bytes }
    }
}

/// From the first step that writes a storage to the last that reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) first: usize,
    pub(super) last: usize,
}

/// Gives every temporary storage its place.
pub(super) fn arrange(lowered: &Lowered) -> Arena {
    let mut lives: Vec<Option<Life>> = vec![None; lowered.storages.len()];
    for (step, raw) in lowered.steps.iter().enumerate() {
        for operand in &raw.operands {
            let life = lives[operand.storage].get_or_insert(Life { first: step, last: step });
            life.last = step;
        }
    }
    let own_lives = lives.clone();
    let hosts = share(lowered, &mut lives);
    let mut order: Vec<usize> = (0..lives.len())
        .filter(|&storage| hosts[storage] == storage && lives[storage].is_some())
        .filter(|&storage| lowered.storages[storage].home == Home::Temporary)
        .collect();
    // Large ones first: small ones find room between them.
    order.sort_by_key(|&storage| std::cmp::Reverse(lowered.storages[storage].bytes));
    let mut arena = Arena { offsets: vec![0; lives.len()], lives: own_lives, bytes: 0 };
    let mut placed: Vec<usize> = Vec::new();
    for storage in order {
        let bytes = room(lowered.storages[storage].bytes);
        let Some(life) = lives[storage] else { continue };
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|&&other| {
                lives[other]
                    .is_some_and(|other| other.first <= life.last && life.first <= other.last)
            })
            .map(|&other| (arena.offsets[other], room(lowered.storages[other].bytes)))
            .collect();
        taken.sort_unstable();
        arena.offsets[storage] = best_gap(&taken, bytes);
        arena.bytes = arena.bytes.max(arena.offsets[storage].saturating_add(bytes));
        placed.push(storage);
    }
    for storage in 0..hosts.len() {
        arena.offsets[storage] = arena.offsets[host_of(&hosts, storage)];
    }
    arena
}

fn room(bytes: usize) -> usize {
    bytes.max(1).checked_next_multiple_of(ALIGN_BYTES).unwrap_or(usize::MAX)
}

/// The offset of the smallest gap that is large enough, or behind everything.
fn best_gap(taken: &[(usize, usize)], bytes: usize) -> usize {
    let (mut end, mut best) = (0usize, None::<(usize, usize)>);
    for &(offset, length) in taken {
        if let Some(gap) = offset.checked_sub(end)
            && bytes <= gap
            && best.is_none_or(|(smallest, _)| gap < smallest)
        {
            best = Some((gap, end));
        }
        end = end.max(offset.saturating_add(length));
    }
    best.map_or(end, |(_, offset)| offset)
}

/// Lets results be written over operands: `hosts[storage]` is the storage whose place it takes.
fn share(lowered: &Lowered, lives: &mut [Option<Life>]) -> Vec<usize> {
    let mut hosts: Vec<usize> = (0..lives.len()).collect();
    for (index, step) in lowered.steps.iter().enumerate() {
        let Some((result, donor)) = in_place(lowered, step, index, &hosts, lives) else { continue };
        if let (Some(own), Some(host)) = (lives[result], lives[donor].as_mut()) {
            host.last = host.last.max(own.last);
            hosts[result] = donor;
        }
    }
    hosts
}

fn host_of(hosts: &[usize], mut storage: usize) -> usize {
    while hosts[storage] != storage {
        storage = hosts[storage];
    }
    storage
}

/// The storage that the step writes, and the host of the one that it may take the place of.
fn in_place(
    lowered: &Lowered,
    step: &RawStep,
    index: usize,
    hosts: &[usize],
    lives: &[Option<Life>],
) -> Option<(usize, usize)> {
    let Operation::Kernel(kernel) = &step.operation else { return None };
    let (result, inputs) = step.operands.split_last()?;
    let born_here = lives[result.storage]?.first == index;
    if !born_here || lowered.storages[result.storage].home != Home::Temporary {
        return None;
    }
    let candidates = match &**kernel {
        Kernel::Unary(_) | Kernel::Normalize(_) | Kernel::Softmax(_) => vec![0],
        Kernel::Binary(binary) => {
            let plain = row_major_strides(&binary.shape);
            let strides = [&binary.a_strides, &binary.b_strides];
            (0..2).filter(|&place| *strides[place] == plain).collect()
        }
        _ => return None,
    };
    candidates.into_iter().find_map(|place| {
        let donor = inputs[place];
        let host = host_of(hosts, donor.storage);
        let whole = lowered.storages[host].bytes;
        let fits = (donor.offset, result.offset) == (0, 0)
            && donor.bytes == result.bytes
            && whole == lowered.storages[result.storage].bytes;
        let dies = lives[host]?.last == index;
        let only = inputs.iter().enumerate().all(|(other, input)| {
            other == place
                || input.storage != donor.storage
                || (candidates_allow(kernel, other) && input.offset == donor.offset)
        });
        let temporary = lowered.storages[host].home == Home::Temporary;
        (fits && dies && only && temporary).then_some((result.storage, host))
    })
}

/// Whether another operand that is the same range may be overwritten as well.
fn candidates_allow(kernel: &Kernel, place: usize) -> bool {
    match kernel {
        Kernel::Binary(binary) => {
            let plain = row_major_strides(&binary.shape);
            *[&binary.a_strides, &binary.b_strides][place.min(1)] == plain
        }
        _ => false,
    }
}
