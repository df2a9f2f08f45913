//! Commands and their operands, as users make them.
//!
//! # What
//! A [`Command`] is one operation and the [`View`]s it works on. It is checked completely before it
//! touches a stream, so that a refused command has changed nothing.
//!
//! # State
//! Plain data.
//!
//! # Transitions
//! [`Command::check`] turns it into the accesses that the stream registers.
//!
//! # Who may touch what
//! Whoever made it.
//!
//! # Orderings
//! None.
//!
//! # Invariants
//! ER-6 CallerErrorsInert: every mistake of the caller is found here. The memory safety of a
//! device's kernels rests on it too: no operand is smaller than its kernel requires.
//!
//! # Checked by
//! `command::tests`.

use anabranch_hal::buffer::ALIGN_BYTES;
use anabranch_hal::command::Operation;
use anabranch_hal::kernel::{Access, Kernel, OperandSpec};
use anabranch_sync::Arc;

use crate::device::Backend;
use crate::error::Error;
use crate::memory::buffer::Buffer;

#[cfg(test)]
mod tests;

/// What a view is a range of.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// A buffer.
    Buffer(Buffer),
    /// What a launch brings, by index; `tape` names the capture.
    Parameter { tape: u64, index: usize },
    /// Memory of the graph's own, by index; `tape` names the capture.
    Private { tape: u64, index: usize },
}

/// A range of a [`Buffer`], of a graph's parameter, or of a graph's private memory.
///
/// Cheap to clone; holds the buffer alive.
///
/// ```
/// use anabranch_rt::{Device, Limits};
/// # fn main() -> Result<(), anabranch_rt::Error> {
/// let device = Device::open(anabranch_hal::null::open(1 << 20), Limits::default())?;
/// let view = device.allocate_host(256)?.slice(64, 128)?;
/// assert_eq!(view.bytes(), 128);
/// assert!(view.slice(64, 65).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct View {
    pub(crate) target: Target,
    pub(crate) offset: usize,
    pub(crate) bytes: usize,
}

impl View {
    pub(crate) fn of_buffer(buffer: Buffer) -> Self {
        let bytes = buffer.bytes();
        Self { target: Target::Buffer(buffer), offset: 0, bytes }
    }

    /// Size in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// `bytes` bytes of this range from `offset` on.
    ///
    /// # Errors
    /// `InvalidArgument` when the new range leaves this one.
    pub fn slice(&self, offset: usize, bytes: usize) -> Result<View, Error> {
        let inside = offset.checked_add(bytes).is_some_and(|end| end <= self.bytes);
        if !inside {
            let message = format!("{bytes} bytes at {offset} leave a view of {}", self.bytes);
            return Err(Error::invalid(message));
        }
        Ok(Self { target: self.target.clone(), offset: self.offset + offset, bytes })
    }

    /// Whether two ranges share a byte.
    pub(crate) fn overlaps(&self, other: &View) -> bool {
        let same = match (&self.target, &other.target) {
            (Target::Buffer(a), Target::Buffer(b)) => Arc::ptr_eq(&a.0, &b.0),
            (Target::Parameter { index: a, .. }, Target::Parameter { index: b, .. })
            | (Target::Private { index: a, .. }, Target::Private { index: b, .. }) => a == b,
            _ => false,
        };
        same && self.offset < other.offset + other.bytes && other.offset < self.offset + self.bytes
    }
}

/// One operation on its operands.
///
/// ```
/// use anabranch_rt::{Command, Device, Limits};
/// # fn main() -> Result<(), anabranch_rt::Error> {
/// let device = Device::open(anabranch_hal::null::open(1 << 20), Limits::default())?;
/// let stream = device.default_stream();
/// let buffer = device.allocate(1024, &stream)?;
/// stream.submit(Command::fill(buffer.view(), 0))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Command {
    pub(crate) operation: Operation,
    pub(crate) operands: Vec<View>,
}

impl Command {
    /// Sets every byte of `target`.
    pub fn fill(target: View, byte: u8) -> Self {
        Self { operation: Operation::Fill(byte), operands: vec![target] }
    }

    /// Copies `source` to `target`, which has the same size.
    pub fn copy(source: View, target: View) -> Self {
        Self { operation: Operation::Copy, operands: vec![source, target] }
    }

    /// Runs a kernel; the operands are in the kernel's own order.
    pub fn kernel(kernel: Arc<Kernel>, operands: Vec<View>) -> Self {
        Self { operation: Operation::Kernel(kernel), operands }
    }

    /// A short name, for traces.
    pub fn name(&self) -> &'static str {
        match &self.operation {
            Operation::Fill(_) => "fill",
            Operation::Copy => "copy",
            Operation::Kernel(kernel) => kernel.name(),
        }
    }

    /// How each operand is used, once everything about the command has been found right.
    pub(crate) fn check(&self, backend: &Backend) -> Result<Vec<Access>, Error> {
        // ER-6 CallerErrorsInert: whatever is wrong is found here, before anything changes.
        let specs = self.specs(backend)?;
        if specs.len() != self.operands.len() {
            return Err(self.mistake(&format!(
                "takes {} operands, not {}",
                specs.len(),
                self.operands.len()
            )));
        }
        for (index, (spec, view)) in specs.iter().zip(&self.operands).enumerate() {
            let least = spec.bytes.unwrap_or(0);
            if view.bytes < least {
                return Err(self.mistake(&format!(
                    "needs {least} bytes for operand {index}, not {}",
                    view.bytes
                )));
            }
            if matches!(self.operation, Operation::Kernel(_)) && view.offset % ALIGN_BYTES != 0 {
                return Err(self.mistake(&format!(
                    "needs operand {index} aligned to {ALIGN_BYTES} bytes, not at {}",
                    view.offset
                )));
            }
        }
        self.check_overlap(&specs)?;
        Ok(specs.into_iter().map(|spec| spec.access).collect())
    }

    fn specs(&self, backend: &Backend) -> Result<Vec<OperandSpec>, Error> {
        let spec = |access, bytes| OperandSpec { bytes: Some(bytes), access };
        match &self.operation {
            Operation::Fill(_) => Ok(vec![spec(Access::Write, 0)]),
            Operation::Copy => {
                let bytes = self.operands.first().map_or(0, View::bytes);
                if self.operands.iter().any(|view| view.bytes != bytes) {
                    return Err(self.mistake("needs two operands of one size"));
                }
                Ok(vec![spec(Access::Read, bytes), spec(Access::Write, bytes)])
            }
            Operation::Kernel(kernel) => {
                let mut specs =
                    kernel.operands().map_err(|mismatch| self.mistake(&mismatch.to_string()))?;
                for spec in specs.iter_mut().filter(|spec| spec.bytes.is_none()) {
                    let packed = match &**kernel {
                        Kernel::Pack(inner) => backend.native().packed_bytes(inner),
                        kernel => backend.native().packed_bytes(kernel),
                    };
                    spec.bytes = Some(packed.ok_or_else(|| {
                        self.mistake("names a packed operand, which this device does not have")
                    })?);
                }
                Ok(specs)
            }
        }
    }

    /// An operand that is written shares no byte with another one, except that a kernel may
    /// write exactly the range that it reads where it says so.
    fn check_overlap(&self, specs: &[OperandSpec]) -> Result<(), Error> {
        for (i, (spec, view)) in specs.iter().zip(&self.operands).enumerate() {
            if spec.access != Access::Write {
                continue;
            }
            for (j, other) in self.operands.iter().enumerate() {
                let in_place = match &self.operation {
                    Operation::Kernel(kernel) => {
                        may_run_in_place(kernel, j) && other.offset == view.offset
                    }
                    _ => false,
                };
                if i != j && !in_place && view.overlaps(other) {
                    return Err(self.mistake(&format!("writes operand {i} over operand {j}")));
                }
            }
        }
        Ok(())
    }

    fn mistake(&self, what: &str) -> Error {
        Error::invalid(format!("{} {what}", self.name()))
    }
}

/// Whether a kernel may write its output over input `operand`: it reads each element before it
/// writes the same one, and never again.
fn may_run_in_place(kernel: &Kernel, operand: usize) -> bool {
    kernel.in_place()
        && match (kernel, operand) {
            (Kernel::Binary(binary), 0) => binary.a_strides == contiguous(&binary.shape),
            (Kernel::Binary(binary), 1) => binary.b_strides == contiguous(&binary.shape),
            (_, operand) => operand == 0,
        }
}

fn contiguous(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1_usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
    }
    strides
}
