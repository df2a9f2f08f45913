//! cuBLASLt: products of matrices.
//!
//! Matrices lie there with their columns one after the other.

use std::ffi::{c_int, c_void};
use std::{mem, ptr};

use super::library::{Denial, Library, functions};
use super::{Address, Stream, pointer};

/// How users know it.
pub(in crate::cuda) const NAME: &str = "cuBLASLt";

/// What the system knows it as; what is newer comes first.
const NAMES: [&std::ffi::CStr; 3] = [c"libcublasLt.so.13", c"libcublasLt.so.12", c"libcublasLt.so"];
/// The oldest version whose functions are these.
const VERSION_MIN: usize = 120_000;

type Raw = *mut c_void;
type Status = c_int;

functions! {
    Functions {
        version: fn() -> usize = c"cublasLtGetVersion";
        create: fn(*mut Raw) -> Status = c"cublasLtCreate";
        destroy: fn(Raw) -> Status = c"cublasLtDestroy";
        create_product: fn(*mut Raw, c_int, c_int) -> Status = c"cublasLtMatmulDescCreate";
        set_product: fn(Raw, c_int, *const c_void, usize) -> Status
            = c"cublasLtMatmulDescSetAttribute";
        destroy_product: fn(Raw) -> Status = c"cublasLtMatmulDescDestroy";
        create_layout: fn(*mut Raw, c_int, u64, u64, i64) -> Status
            = c"cublasLtMatrixLayoutCreate";
        set_layout: fn(Raw, c_int, *const c_void, usize) -> Status
            = c"cublasLtMatrixLayoutSetAttribute";
        destroy_layout: fn(Raw) -> Status = c"cublasLtMatrixLayoutDestroy";
        create_preference: fn(*mut Raw) -> Status = c"cublasLtMatmulPreferenceCreate";
        set_preference: fn(Raw, c_int, *const c_void, usize) -> Status
            = c"cublasLtMatmulPreferenceSetAttribute";
        destroy_preference: fn(Raw) -> Status = c"cublasLtMatmulPreferenceDestroy";
        choose: fn(Raw, Raw, Raw, Raw, Raw, Raw, Raw, c_int, *mut Found, *mut c_int) -> Status
            = c"cublasLtMatmulAlgoGetHeuristic";
        multiply: fn(
            Raw, Raw, *const c_void, Raw, Raw, Raw, Raw, *const c_void, Raw, Raw, Raw, Raw,
            *const Algorithm, Raw, usize, Raw,
        ) -> Status = c"cublasLtMatmul";
        configuration: fn(*const Algorithm, c_int, *mut c_void, usize, *mut usize) -> Status
            = c"cublasLtMatmulAlgoConfigGetAttribute";
    }
}

/// `cublasLtMatmulAlgo_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Algorithm([u64; 8]);

/// `cublasLtMatmulHeuristicResult_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    algorithm: Algorithm,
    workspace_bytes: usize,
    status: Status,
    waves: f32,
    reserved: [c_int; 4],
}

/// `CUDA_R_32F`.
const FLOAT: c_int = 0;
/// `CUBLAS_STATUS_NOT_SUPPORTED`.
const NOT_SUPPORTED: Status = 15;
/// `CUBLASLT_MATMUL_DESC_TRANSA` and `CUBLASLT_MATMUL_DESC_TRANSB`.
const TRANSPOSE: [c_int; 2] = [3, 4];
/// `CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT` and `CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET`.
const BATCH: [c_int; 2] = [5, 6];
/// `CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES`.
const WORKSPACE: c_int = 1;
/// `CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK`.
const REDUCTIONS: c_int = 3;
/// `CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES` and those of B, C and D.
const ALIGNMENTS: [c_int; 4] = [5, 6, 7, 8];
/// `CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE`: parts of sums are in memory of their own, and are added
/// in a fixed order.
const IN_ORDER: u32 = 2;

/// What is left of numbers that are multiplied, as `cublasComputeType_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cuda) enum Compute {
    /// `CUBLAS_COMPUTE_32F`.
    F32 = 68,
    /// `CUBLAS_COMPUTE_32F_FAST_TF32`.
    Tf32 = 77,
}

/// A factor in memory: `rows` by `columns`, the latter `pitch` elements apart.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct Factor {
    pub(in crate::cuda) rows: usize,
    pub(in crate::cuda) columns: usize,
    pub(in crate::cuda) pitch: usize,
    /// Elements from one matrix of a batch to the next.
    pub(in crate::cuda) step: usize,
    /// Whether it is transposed before it is multiplied.
    pub(in crate::cuda) is_transposed: bool,
}

/// A product of `count` pairs of factors.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct Shape {
    pub(in crate::cuda) compute: Compute,
    pub(in crate::cuda) count: c_int,
    pub(in crate::cuda) factors: [Factor; 2],
    pub(in crate::cuda) result: Factor,
    /// What all addresses are multiples of.
    pub(in crate::cuda) align_bytes: u32,
    /// Memory that it may work in.
    pub(in crate::cuda) workspace_bytes_max: usize,
}

/// The library. Clones are the same.
#[derive(Clone, Copy)]
pub(in crate::cuda) struct Blas(Functions);

/// Who asks it. One thread at a time.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct Handle(Raw);

// SAFETY: The library takes its handles on any thread.
unsafe impl Send for Handle {}
// SAFETY: As above.
unsafe impl Sync for Handle {}

/// A product with the algorithm for it. Immutable.
pub(in crate::cuda) struct Plan {
    functions: Functions,
    product: Raw,
    layouts: [Raw; 3],
    algorithm: Algorithm,
    pub(in crate::cuda) workspace_bytes: usize,
}

// SAFETY: Descriptions may be read on any thread, and nothing changes them any longer.
unsafe impl Send for Plan {}
// SAFETY: As above.
unsafe impl Sync for Plan {}

fn check(status: Status) -> Result<(), Denial> {
    if status == 0 { Ok(()) } else { Err(Denial { library: NAME, status }) }
}

impl Blas {
    /// Looks for the library.
    ///
    /// # Errors
    /// Why it cannot be used, for people.
    pub(in crate::cuda) fn find() -> Result<Self, String> {
        let found = Self(Functions::of(Library::open(&NAMES)?)?);
        let version = found.version();
        if version < VERSION_MIN {
            return Err(format!("it is of version {version}, below {VERSION_MIN}"));
        }
        Ok(found)
    }

    /// As in 130002 for 13.0.2.
    pub(in crate::cuda) fn version(&self) -> usize {
        // SAFETY: The function has no conditions.
        unsafe { (self.0.version)() }
    }

    /// A handle for the card that this thread has entered.
    pub(in crate::cuda) fn create(&self) -> Result<Handle, Denial> {
        let mut handle = ptr::null_mut();
        // SAFETY: The result is a valid place for the call.
        check(unsafe { (self.0.create)(&raw mut handle) })?;
        Ok(Handle(handle))
    }

    /// # Safety
    /// It is not used again.
    pub(in crate::cuda) unsafe fn destroy(&self, handle: Handle) {
        // SAFETY: By the caller. What a lost card says here concerns nobody.
        let _ = unsafe { (self.0.destroy)(handle.0) };
    }

    /// The algorithm for a product that comes first in the library's own order. `None` when it has
    /// none.
    pub(in crate::cuda) fn plan(
        &self,
        handle: Handle,
        shape: &Shape,
    ) -> Result<Option<Plan>, Denial> {
        let mut plan = Plan {
            functions: self.0,
            product: ptr::null_mut(),
            layouts: [ptr::null_mut(); 3],
            algorithm: Algorithm::default(),
            workspace_bytes: 0,
        };
        let compute = shape.compute as c_int;
        // SAFETY: The result is a valid place for the call.
        check(unsafe { (self.0.create_product)(&raw mut plan.product, compute, FLOAT) })?;
        for (factor, which) in shape.factors.iter().zip(TRANSPOSE) {
            self.set(self.0.set_product, plan.product, which, c_int::from(factor.is_transposed))?;
        }
        let all = shape.factors.iter().chain([&shape.result]);
        for (layout, factor) in plan.layouts.iter_mut().zip(all) {
            let Factor { rows, columns, pitch, step, .. } = *factor;
            let (rows, columns) = (rows as u64, columns as u64);
            let [pitch, step] = [pitch, step].map(|extent| extent.cast_signed() as i64);
            // SAFETY: The result is a valid place for the call.
            check(unsafe {
                (self.0.create_layout)(&raw mut *layout, FLOAT, rows, columns, pitch)
            })?;
            self.set(self.0.set_layout, *layout, BATCH[0], shape.count)?;
            self.set(self.0.set_layout, *layout, BATCH[1], step)?;
        }
        let found = self.first(handle, shape, &plan)?;
        Ok(found.map(|found| {
            plan.algorithm = found.algorithm;
            plan.workspace_bytes = found.workspace_bytes;
            plan
        }))
    }

    /// What the library would do first.
    fn first(&self, handle: Handle, shape: &Shape, plan: &Plan) -> Result<Option<Found>, Denial> {
        let mut preference = ptr::null_mut();
        // SAFETY: The result is a valid place for the call.
        check(unsafe { (self.0.create_preference)(&raw mut preference) })?;
        let preferred = self.prefer(preference, shape);
        let (mut found, mut count) = (Found::default(), 0);
        let [a, b, d] = plan.layouts;
        // SAFETY: All descriptions are complete, and there is room for one result.
        let status = unsafe {
            (self.0.choose)(
                handle.0,
                plan.product,
                a,
                b,
                d,
                d,
                preference,
                1,
                &raw mut found,
                &raw mut count,
            )
        };
        // SAFETY: It is not used again.
        let _ = unsafe { (self.0.destroy_preference)(preference) };
        preferred?;
        if status == NOT_SUPPORTED || status == 0 && (count == 0 || found.status != 0) {
            return Ok(None);
        }
        check(status).map(|()| Some(found))
    }

    fn prefer(&self, preference: Raw, shape: &Shape) -> Result<(), Denial> {
        let set = self.0.set_preference;
        self.set(set, preference, WORKSPACE, shape.workspace_bytes_max as u64)?;
        self.set(set, preference, REDUCTIONS, IN_ORDER)?;
        ALIGNMENTS.iter().try_for_each(|&which| self.set(set, preference, which, shape.align_bytes))
    }

    /// Sets an attribute of a description.
    fn set<T: Copy>(
        &self,
        function: unsafe extern "C" fn(Raw, c_int, *const c_void, usize) -> Status,
        description: Raw,
        which: c_int,
        value: T,
    ) -> Result<(), Denial> {
        let bytes = mem::size_of::<T>();
        // SAFETY: The description is alive, and the attribute is of that size.
        check(unsafe { function(description, which, (&raw const value).cast(), bytes) })
    }

    /// Enqueues a product.
    ///
    /// # Safety
    /// The operands and the workspace are memory as the shape says, and belong to the stream until
    /// it has come this far. The handle is in no other hands.
    pub(in crate::cuda) unsafe fn run(
        &self,
        handle: Handle,
        plan: &Plan,
        [a, b, d]: [Address; 3],
        workspace: Address,
        stream: Stream,
    ) -> Result<(), Denial> {
        let (one, zero) = (1.0_f32, 0.0_f32);
        let [of_a, of_b, of_d] = plan.layouts;
        let [a, b, d] = [a, b, d].map(pointer);
        // SAFETY: By the caller; the factors are read before the call returns.
        check(unsafe {
            (self.0.multiply)(
                handle.0,
                plan.product,
                (&raw const one).cast(),
                a,
                of_a,
                b,
                of_b,
                (&raw const zero).cast(),
                d,
                of_d,
                d,
                of_d,
                &raw const plan.algorithm,
                pointer(workspace),
                plan.workspace_bytes,
                stream.0.cast(),
            )
        })
    }
}

impl Plan {
    /// The library's number of the algorithm.
    pub(in crate::cuda) fn algorithm(&self) -> Option<c_int> {
        const ID: c_int = 0;
        let (mut id, mut bytes) = (0, 0);
        let room = mem::size_of::<c_int>();
        // SAFETY: The attribute is a number of that size, and both results are valid places.
        let status = unsafe {
            (self.functions.configuration)(
                &raw const self.algorithm,
                ID,
                (&raw mut id).cast(),
                room,
                &raw mut bytes,
            )
        };
        check(status).is_ok().then_some(id)
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        for layout in self.layouts.into_iter().filter(|layout| !layout.is_null()) {
            // SAFETY: It was made with the plan, and nobody has that any longer.
            let _ = unsafe { (self.functions.destroy_layout)(layout) };
        }
        if !self.product.is_null() {
            // SAFETY: As above.
            let _ = unsafe { (self.functions.destroy_product)(self.product) };
        }
    }
}
