//! The libraries of the card's vendor that were found, and the algorithms that they chose.
//!
//! A library is asked once for each product, so that all launches on all streams run the same
//! algorithm. It gets its workspace with each call, from whoever launches; what it keeps itself is
//! a handle for each stream.

use std::collections::HashMap;
use std::mem;

use anabranch_sync::{Arc, Mutex};

use super::ffi::blas::{self, Blas, Compute};
use super::ffi::dnn::{self, Dnn, Math};
use super::ffi::{self, Address, CardLibrary, Denial, Handle, Library, Outcome, Stream};
use super::kernels::{Arithmetic, Factor, Images, Matrices, Offer, Product};
use crate::device::Libraries;
use crate::error::{Error, ErrorKind};

#[cfg(test)]
mod tests;

/// Memory that one call may work in.
const WORKSPACE_BYTES_MAX: usize = 32 << 20;

/// What addresses of operands are multiples of, at least.
pub(super) const ALIGN_BYTES: u32 = 16;

/// Products that algorithms are known for. With more, all are asked for again.
const CHOSEN_MAX: usize = 4096;

/// See the [module](self). Thread-safe.
pub(super) struct Shelf {
    blas: Option<Blas>,
    dnn: Option<Dnn>,
    always: bool,
    chosen: Mutex<HashMap<Product, Option<Arc<Choice>>>>,
}

/// An algorithm for a product.
pub(super) struct Choice {
    plan: Plan,
    pub(super) workspace_bytes: usize,
}

enum Plan {
    Matrices(Blas, blas::Plan),
    Images(Dnn, dnn::Plan),
}

/// What a stream has of the libraries. One thread at a time uses it.
#[derive(Clone, Copy)]
pub(super) struct Handles {
    blas: Option<Handle<Blas>>,
    dnn: Option<Handle<Dnn>>,
    /// Where calls are captured. Nothing ever runs there.
    pub(super) capture: Stream,
}

/// A library, and its version or why it cannot be used.
type Found = (&'static str, Result<usize, String>);

/// Every library that is asked for. Blocks while they are loaded.
pub(super) fn list() -> [Found; 2] {
    let blas = Blas::find().map(|found| found.version());
    let dnn = Dnn::find().map(|found| found.version());
    [(Blas::NAME, blas), (Dnn::NAME, dnn)]
}

/// A version as people write it.
pub(super) fn version(number: usize) -> String {
    format!("{}.{}.{}", number / 10_000, number / 100 % 100, number % 100)
}

/// A library with its version.
fn named<L: CardLibrary>(library: L) -> String {
    format!("{} {}", L::NAME, version(library.version()))
}

/// A library that was looked for; an error if it is missing and `always` to be used.
fn kept<L: Library>(found: Result<L, String>, always: bool) -> Result<Option<L>, Error> {
    match found {
        Ok(library) => Ok(Some(library)),
        Err(reason) if always => {
            let message = format!("{} cannot be used: {reason}", L::NAME);
            Err(Error::new(ErrorKind::Unsupported, message))
        }
        Err(_) => Ok(None),
    }
}

impl Shelf {
    /// Looks for libraries, if they are wanted.
    ///
    /// # Errors
    /// `Unsupported` when one is missing that is always to be used.
    pub(super) fn find(wanted: Libraries) -> Result<Self, Error> {
        let reason = match wanted {
            Libraries::Off => Some("it is off"),
            _ if !ffi::can_capture() => Some("the driver cannot capture what it enqueues"),
            _ => None,
        };
        match reason {
            Some(reason) => Self::of(wanted, Err(reason.to_owned()), Err(reason.to_owned())),
            None => Self::of(wanted, Blas::find(), Dnn::find()),
        }
    }

    fn of(
        wanted: Libraries,
        blas: Result<Blas, String>,
        dnn: Result<Dnn, String>,
    ) -> Result<Self, Error> {
        let always = wanted == Libraries::Always;
        let (blas, dnn) = (kept(blas, always)?, kept(dnn, always)?);
        let chosen = Mutex::new(HashMap::new());
        Ok(Self { blas, dnn, always, chosen })
    }

    /// What there is, and what it gets.
    pub(super) fn offer(&self) -> Offer {
        let Self { blas, dnn, always, .. } = self;
        Offer { matrices: blas.is_some(), images: dnn.is_some(), always: *always }
    }

    /// The libraries with their versions.
    pub(super) fn describe(&self) -> Vec<String> {
        let blas = self.blas.map(named);
        let dnn = self.dnn.map(named);
        blas.into_iter().chain(dnn).collect()
    }

    /// Handles for a stream; none without libraries. The card is entered.
    pub(super) fn make_handles(
        &self,
        make_stream: impl FnOnce() -> Outcome<Stream>,
    ) -> Result<Option<Handles>, Error> {
        if self.blas.is_none() && self.dnn.is_none() {
            return Ok(None);
        }
        let capture = make_stream().map_err(|refusal| refusal.error("creating a stream"))?;
        let mut handles = Handles { blas: None, dnn: None, capture };
        let made = self.fill(&mut handles);
        made.inspect_err(|_| self.destroy(handles)).map_err(denied)?;
        Ok(Some(handles))
    }

    fn fill(&self, handles: &mut Handles) -> Result<(), Denial> {
        handles.blas = self.blas.as_ref().map(Blas::create).transpose()?;
        handles.dnn = self.dnn.as_ref().map(Dnn::create).transpose()?;
        Ok(())
    }

    /// Ends handles, of whose stream nothing is in flight.
    pub(super) fn destroy(&self, handles: Handles) {
        if let (Some(library), Some(handle)) = (&self.blas, handles.blas) {
            // SAFETY: Nobody has the handles any longer.
            unsafe { library.destroy(handle) };
        }
        if let (Some(library), Some(handle)) = (&self.dnn, handles.dnn) {
            // SAFETY: As above.
            unsafe { library.destroy(handle) };
        }
        // SAFETY: As above. What a lost card says here concerns nobody.
        let _ = unsafe { handles.capture.destroy() };
    }

    /// The algorithm for a product; `None` when the library has none. Whoever asks first decides
    /// for all.
    pub(super) fn choose(
        &self,
        product: &Product,
        handles: Option<&Handles>,
    ) -> Result<Option<Arc<Choice>>, Error> {
        if let Some(known) = self.chosen.lock().get(product) {
            return Ok(known.clone());
        }
        let found = self.ask(product, handles).map_err(denied)?.map(Arc::new);
        let mut chosen = self.chosen.lock();
        let is_full = CHOSEN_MAX <= chosen.len();
        let gone = if is_full { mem::take(&mut *chosen) } else { HashMap::new() };
        let first = chosen.entry(product.clone()).or_insert(found).clone();
        drop(chosen);
        drop(gone);
        Ok(first)
    }

    fn ask(&self, product: &Product, handles: Option<&Handles>) -> Result<Option<Choice>, Denial> {
        let Some(handles) = handles else { return Ok(None) };
        match (product, self.blas, handles.blas, self.dnn, handles.dnn) {
            (Product::Matrices(product), Some(library), Some(handle), ..) => {
                let plan = library.plan(handle, &matrices(product))?;
                Ok(plan.map(|plan| Choice {
                    workspace_bytes: plan.workspace_bytes,
                    plan: Plan::Matrices(library, plan),
                }))
            }
            (Product::Images(product), _, _, Some(library), Some(handle)) => {
                let plan =
                    library.plan(handle, math(product), &product.shape, WORKSPACE_BYTES_MAX)?;
                Ok(plan.map(|plan| Choice {
                    workspace_bytes: plan.workspace_bytes,
                    plan: Plan::Images(library, plan),
                }))
            }
            _ => Ok(None),
        }
    }
}

impl Choice {
    /// Enqueues it.
    ///
    /// # Safety
    /// The operands are those of the product, the workspace is as large as it says, and both belong
    /// to the stream until it has come this far. The handles are in no other hands.
    pub(super) unsafe fn run(
        &self,
        handles: &Handles,
        operands: [Address; 3],
        workspace: Address,
        stream: Stream,
    ) -> Result<(), Denial> {
        match (&self.plan, handles) {
            (Plan::Matrices(library, plan), Handles { blas: Some(handle), .. }) => {
                // Columns are one after the other there, so rows times columns is columns times
                // rows.
                let [a, b, y] = operands;
                // SAFETY: By the caller.
                unsafe { library.run(*handle, plan, [b, a, y], workspace, stream) }
            }
            (Plan::Images(library, plan), Handles { dnn: Some(handle), .. }) => {
                // SAFETY: By the caller.
                unsafe { library.run(*handle, plan, operands, workspace, stream) }
            }
            _ => unreachable!("a stream has handles of all libraries that choose"),
        }
    }

    /// Whose algorithm it is, and which, for people.
    pub(super) fn told(&self) -> String {
        match &self.plan {
            Plan::Matrices(library, plan) => match library.algorithm(plan) {
                Some(number) => format!("{}, algorithm {number}", Blas::NAME),
                None => Blas::NAME.to_owned(),
            },
            Plan::Images(_, plan) => format!("{}, algorithm {}", Dnn::NAME, plan.algorithm()),
        }
    }
}

/// The error of a library that refused.
pub(super) fn denied(denial: Denial) -> Error {
    Error::new(ErrorKind::CommandFailed, denial.to_string())
}

/// A product as the library has it: with the columns of each matrix one after the other, so that
/// each matrix is the transposed one, and the factors change places.
fn matrices(product: &Matrices) -> blas::Shape {
    let Matrices { arithmetic, count, rows, columns, depth, factors: [a, b] } = *product;
    let compute = match arithmetic {
        Arithmetic::MultiplyAdd | Arithmetic::Tensor => Compute::F32,
        Arithmetic::Tf32 => Compute::Tf32,
    };
    let factor = |Factor { is_deep, pitch, step }: Factor, outer: usize, is_first: bool| {
        let (rows, columns) = if is_deep { (depth, outer) } else { (outer, depth) };
        blas::Factor {
            rows,
            columns,
            pitch,
            step,
            // The first one is to have its sums in rows, the second one in columns.
            is_transposed: is_deep == is_first,
        }
    };
    blas::Shape {
        compute,
        count: i32::try_from(count).unwrap_or(i32::MAX),
        factors: [factor(b, columns, true), factor(a, rows, false)],
        result: blas::Factor {
            rows: columns,
            columns: rows,
            pitch: columns,
            step: rows * columns,
            is_transposed: false,
        },
        align_bytes: ALIGN_BYTES,
        workspace_bytes_max: WORKSPACE_BYTES_MAX,
    }
}

fn math(images: &Images) -> Math {
    if images.arithmetic == Arithmetic::Tf32 { Math::Tf32 } else { Math::F32 }
}
