//! What commands do to buffers, in the runtime's words and in those of an interpreter.

use std::ops::Range;

use anabranch_hal::kernel::{Function, Kernel, StridedCopy, Unary};
use anabranch_rt::{Command, View};
use anabranch_sync::Arc;
use serde::{Deserialize, Serialize};

pub(super) const BLOCK: usize = 64;
/// Blocks of a buffer.
pub const BLOCKS: usize = 4;
pub(super) const BYTES: usize = BLOCK * BLOCKS;

/// Contents of a buffer, as far as they are known.
pub(super) type Contents = Vec<Option<u8>>;

/// One block of what an operation is given, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Which operand.
    pub operand: usize,
    /// Which block of it.
    pub block: usize,
}

impl Place {
    fn range(self) -> Range<usize> {
        self.block * BLOCK..(self.block + 1) * BLOCK
    }
}

/// An operation on the operands of a program or of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "an operation says what it is")]
pub enum Operation {
    Fill { to: Place, byte: u8 },
    FillAll { to: usize, byte: u8 },
    Copy { from: Place, to: Place },
    CopyAll { from: usize, to: usize },
    Reverse { from: Place, to: Place },
    Negate { from: Place, to: Place },
}

impl Operation {
    /// Whether the runtime has to accept it.
    pub(super) fn is_legal(self) -> bool {
        match self {
            Self::Fill { .. } | Self::FillAll { .. } | Self::Negate { .. } => true,
            Self::Copy { from, to } | Self::Reverse { from, to } => from != to,
            Self::CopyAll { from, to } => from != to,
        }
    }

    pub(super) fn command(self, operands: &[View]) -> Command {
        let view = |place: Place| {
            let range = place.range();
            operands[place.operand].slice(range.start, range.len()).expect("inside")
        };
        match self {
            Self::Fill { to, byte } => Command::fill(view(to), byte),
            Self::FillAll { to, byte } => Command::fill(operands[to].clone(), byte),
            Self::Copy { from, to } => Command::copy(view(from), view(to)),
            Self::CopyAll { from, to } => {
                Command::copy(operands[from].clone(), operands[to].clone())
            }
            Self::Reverse { from, to } => {
                let kernel = Kernel::StridedCopy(StridedCopy {
                    element_bytes: 1,
                    shape: vec![BLOCK],
                    source_offset: BLOCK - 1,
                    source_strides: vec![-1],
                    target_offset: 0,
                    target_strides: vec![1],
                });
                Command::kernel(Arc::new(kernel), vec![view(from), view(to)])
            }
            Self::Negate { from, to } => {
                let kernel = Kernel::Unary(Unary { function: Function::Neg, count: BLOCK / 4 });
                Command::kernel(Arc::new(kernel), vec![view(from), view(to)])
            }
        }
    }

    /// The operands that it names.
    pub(super) fn named(self) -> Vec<usize> {
        match self {
            Self::Fill { to, .. } => vec![to.operand],
            Self::FillAll { to, .. } => vec![to],
            Self::Copy { from, to } | Self::Reverse { from, to } | Self::Negate { from, to } => {
                vec![from.operand, to.operand]
            }
            Self::CopyAll { from, to } => vec![from, to],
        }
    }

    /// What it writes.
    pub(super) fn written(self) -> (usize, Range<usize>) {
        match self {
            Self::Fill { to, .. }
            | Self::Copy { to, .. }
            | Self::Reverse { to, .. }
            | Self::Negate { to, .. } => (to.operand, to.range()),
            Self::FillAll { to, .. } | Self::CopyAll { to, .. } => (to, 0..BYTES),
        }
    }

    /// Runs it at once.
    pub(super) fn interpret(self, operands: &mut [&mut Contents]) {
        let mut bytes: Contents = match self {
            Self::Fill { byte, .. } => vec![Some(byte); BLOCK],
            Self::FillAll { byte, .. } => vec![Some(byte); BYTES],
            Self::CopyAll { from, .. } => operands[from].clone(),
            Self::Copy { from, .. } | Self::Reverse { from, .. } | Self::Negate { from, .. } => {
                operands[from.operand][from.range()].to_vec()
            }
        };
        match self {
            Self::Reverse { .. } => bytes.reverse(),
            Self::Negate { .. } => {
                let signs = bytes.iter_mut().skip(3).step_by(4).flatten();
                signs.for_each(|byte| *byte ^= 0x80);
            }
            _ => {}
        }
        let (operand, range) = self.written();
        operands[operand][range].copy_from_slice(&bytes);
    }
}
