//! A model file without the elements of its large constants.
//!
//! Weights are most of a file. Reading it whole, and decoding that, would hold them twice before
//! the first tensor is made. So the file is walked first: what describes the model is kept, and of
//! each large constant only where its elements lie. They are then read into their tensors.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

use super::proto::ModelProto;
use crate::error::Error;

/// Elements of fewer bytes stay in the outline.
const LEAST_BYTES: u64 = 4 << 10;

/// The fields that lead from a model to the elements of a constant.
const GRAPH: u64 = 7;
const INITIALIZER: u64 = 5;
const RAW_DATA: u64 = 9;

/// The ways in which a field is written.
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const LENGTH: u64 = 2;
const FIXED_32: u64 = 5;

/// A range of the model's own file.
#[derive(Clone, Copy, Debug)]
struct Range {
    offset: u64,
    bytes: usize,
}

/// A model whose large constants have no elements, and where these lie in its file.
#[derive(Debug)]
pub(super) struct Outline {
    pub(super) model: Vec<u8>,
    /// By constant; none for those that the model has.
    ranges: Vec<Option<Range>>,
}

/// The elements that the outline of a file leaves out.
pub(super) struct Elements {
    file: Option<File>,
    ranges: Vec<Option<Range>>,
}

/// The elements of one constant.
#[derive(Clone, Copy)]
pub(super) struct Apart<'a> {
    file: &'a File,
    range: Range,
}

impl Outline {
    /// The outline of a file of that many bytes; `None` for what is no sequence of fields, which
    /// the decoder explains.
    pub(super) fn of(file: &File, bytes: u64) -> Option<Self> {
        let input = BufReader::with_capacity(16 << 10, file);
        let mut walk = Walk { input, position: 0, ranges: Vec::new() };
        let model = walk.message(bytes, Level::Model)?;
        Some(Self { model, ranges: walk.ranges }).filter(|outline| !outline.model.is_empty())
    }

    /// What the outline of `file` leaves out; `None` if the decoder found other constants in it.
    pub(super) fn elements(self, file: File, model: &ModelProto) -> Option<Elements> {
        let constants = model.graph.as_ref().map_or(0, |graph| graph.initializer.len());
        let fits = constants == self.ranges.len();
        fits.then_some(Elements { file: Some(file), ranges: self.ranges })
    }
}

impl Elements {
    /// Those of a model that has all of its own.
    pub(super) fn none() -> Self {
        Self { file: None, ranges: Vec::new() }
    }

    /// Those of the constant at `index` in the model.
    pub(super) fn of(&self, index: usize) -> Option<Apart<'_>> {
        let range = (*self.ranges.get(index)?)?;
        Some(Apart { file: self.file.as_ref()?, range })
    }
}

impl Apart<'_> {
    /// Their size.
    pub(super) fn bytes(self) -> usize {
        self.range.bytes
    }

    /// Reads them into a place of their size.
    pub(super) fn read(self, target: &mut [u8]) -> Result<(), Error> {
        let io = |error: std::io::Error| Error::io("cannot be read", &error);
        let mut file = self.file;
        file.seek(SeekFrom::Start(self.range.offset)).map_err(io)?;
        file.read_exact(target).map_err(io)
    }
}

/// What the fields of a message mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Model,
    Graph,
    Constant,
}

struct Walk<'a> {
    input: BufReader<&'a File>,
    position: u64,
    ranges: Vec<Option<Range>>,
}

impl Walk<'_> {
    /// The message that takes the next `bytes` bytes.
    fn message(&mut self, bytes: u64, level: Level) -> Option<Vec<u8>> {
        let end = self.position.checked_add(bytes)?;
        let mut kept = Vec::new();
        while self.position < end {
            let key = self.varint(end)?;
            let (field, kind) = (key >> 3, key & 7);
            let inner = match (level, field) {
                (Level::Model, GRAPH) => Some(Level::Graph),
                (Level::Graph, INITIALIZER) => Some(Level::Constant),
                _ => None,
            };
            match (kind, inner) {
                (LENGTH, Some(inner)) => {
                    let length = self.length(end)?;
                    if inner == Level::Constant {
                        self.ranges.push(None);
                    }
                    let message = self.message(length, inner)?;
                    put(&mut kept, key);
                    put(&mut kept, u64::try_from(message.len()).ok()?);
                    kept.extend(message);
                }
                (LENGTH, None) => {
                    let length = self.length(end)?;
                    let is_raw = level == Level::Constant && field == RAW_DATA;
                    if is_raw {
                        // The last one counts, as for every field.
                        let large = LEAST_BYTES <= length;
                        let bytes = usize::try_from(length).ok()?;
                        let range = Range { offset: self.position, bytes };
                        *self.ranges.last_mut()? = large.then_some(range);
                        if large {
                            self.skip(length)?;
                            continue;
                        }
                    }
                    put(&mut kept, key);
                    put(&mut kept, length);
                    self.copy(length, &mut kept)?;
                }
                (VARINT, _) => {
                    let value = self.varint(end)?;
                    put(&mut kept, key);
                    put(&mut kept, value);
                }
                (FIXED_64 | FIXED_32, _) => {
                    put(&mut kept, key);
                    let length = if kind == FIXED_64 { 8 } else { 4 };
                    if end - self.position < length {
                        return None;
                    }
                    self.copy(length, &mut kept)?;
                }
                _ => return None,
            }
        }
        (self.position == end).then_some(kept)
    }

    /// A length that does not lead behind `end`.
    fn length(&mut self, end: u64) -> Option<u64> {
        let length = self.varint(end)?;
        (length <= end - self.position).then_some(length)
    }

    fn varint(&mut self, end: u64) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            if end <= self.position {
                return None;
            }
            let byte = *self.input.fill_buf().ok()?.first()?;
            self.input.consume(1);
            self.position += 1;
            if shift == 63 && 1 < byte {
                return None;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn copy(&mut self, length: u64, kept: &mut Vec<u8>) -> Option<()> {
        let copied = (&mut self.input).take(length).read_to_end(kept).ok()?;
        self.position += length;
        (u64::try_from(copied).ok()? == length).then_some(())
    }

    fn skip(&mut self, length: u64) -> Option<()> {
        self.input.seek_relative(i64::try_from(length).ok()?).ok()?;
        self.position += length;
        Some(())
    }
}

fn put(kept: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or(0);
        value >>= 7;
        if value == 0 {
            return kept.push(low);
        }
        kept.push(low | 0x80);
    }
}
