//! cuBLASLt: products of matrices.
//!
//! Matrices lie there with their columns one after the other.

use std::ffi::{c_char, c_int, c_void};
use std::mem;

use super::library::{
    Ask, CardLibrary, Denial, Description, Function, Handle, Library, Loaded, Meaning, Raw, Shared,
    Status, library,
};
use super::{Address, Stream, pointer};

library! {
    /// The library.
    Blas: "cuBLASLt", from 120_000,
        in &[c"libcublasLt.so.13", c"libcublasLt.so.12", c"libcublasLt.so"];
    version: fn() -> usize = c"cublasLtGetVersion";
    meaning: fn(Status) -> *const c_char = c"cublasLtGetStatusName";
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

type Set = unsafe extern "C" fn(Raw, c_int, *const c_void, usize) -> Status;

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
/// `CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE`: parts of sums are in memory of their own, and are
/// added in a fixed order.
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

/// A product with the algorithm for it. Immutable.
pub(in crate::cuda) struct Plan {
    product: Description,
    layouts: [Description; 3],
    algorithm: Algorithm,
    pub(in crate::cuda) workspace_bytes: usize,
}

impl Blas {
    /// The algorithm for a product that comes first in the library's own order. `None` when it has
    /// none.
    pub(in crate::cuda) fn plan(
        &self,
        handle: Handle<Self>,
        shape: &Shape,
    ) -> Result<Option<Plan>, Denial> {
        let compute = shape.compute as c_int;
        let product =
            // SAFETY: The result is a valid place for the call.
            self.describe(self.create_product, self.destroy_product, |create, to| unsafe {
                create(to, compute, FLOAT)
            })?;
        for (factor, which) in shape.factors.iter().zip(TRANSPOSE) {
            self.set(self.set_product, &product, which, c_int::from(factor.is_transposed))?;
        }
        let [a, b] = &shape.factors;
        let layouts = [
            self.layout(a, shape.count)?,
            self.layout(b, shape.count)?,
            self.layout(&shape.result, shape.count)?,
        ];
        let found = self.first(handle, shape, &product, &layouts)?;
        Ok(found.map(|Found { algorithm, workspace_bytes, .. }| Plan {
            product,
            layouts,
            algorithm,
            workspace_bytes,
        }))
    }

    /// How a factor lies in memory.
    fn layout(&self, factor: &Factor, count: c_int) -> Result<Description, Denial> {
        let Factor { rows, columns, pitch, step, .. } = *factor;
        let (rows, columns) = (rows as u64, columns as u64);
        let [pitch, step] = [pitch, step].map(|extent| extent.cast_signed() as i64);
        let layout =
            // SAFETY: The result is a valid place for the call.
            self.describe(self.create_layout, self.destroy_layout, |create, to| unsafe {
                create(to, FLOAT, rows, columns, pitch)
            })?;
        self.set(self.set_layout, &layout, BATCH[0], count)?;
        self.set(self.set_layout, &layout, BATCH[1], step)?;
        Ok(layout)
    }

    /// What the library would do first.
    fn first(
        &self,
        handle: Handle<Self>,
        shape: &Shape,
        product: &Description,
        [a, b, d]: &[Description; 3],
    ) -> Result<Option<Found>, Denial> {
        let preference =
            // SAFETY: The result is a valid place for the call.
            self.describe(self.create_preference, self.destroy_preference, |create, to| unsafe {
                create(to)
            })?;
        let set = self.set_preference;
        self.set(set, &preference, WORKSPACE, shape.workspace_bytes_max as u64)?;
        self.set(set, &preference, REDUCTIONS, IN_ORDER)?;
        for which in ALIGNMENTS {
            self.set(set, &preference, which, shape.align_bytes)?;
        }
        let (mut found, mut count) = (Found::default(), 0);
        // SAFETY: All descriptions are complete, and there is room for one result.
        let chosen = self.ask(self.choose, |choose| unsafe {
            choose(
                handle.0,
                product.raw,
                a.raw,
                b.raw,
                d.raw,
                d.raw,
                preference.raw,
                1,
                &raw mut found,
                &raw mut count,
            )
        });
        match chosen {
            Err(denial) if denial.status == NOT_SUPPORTED => Ok(None),
            chosen => {
                chosen?;
                Ok((0 < count && found.status == 0).then_some(found))
            }
        }
    }

    /// Sets an attribute of a description.
    fn set<T: Copy>(
        &self,
        function: Function<Set>,
        description: &Description,
        which: c_int,
        value: T,
    ) -> Result<(), Denial> {
        let value = &raw const value;
        // SAFETY: The description is alive, and the attribute is of that size.
        self.ask(function, |set| unsafe {
            set(description.raw, which, value.cast(), mem::size_of::<T>())
        })
    }

    /// Enqueues a product.
    ///
    /// # Safety
    /// The operands and the workspace are memory as the shape says, and belong to the stream until
    /// it has come this far. The handle is in no other hands.
    pub(in crate::cuda) unsafe fn run(
        &self,
        handle: Handle<Self>,
        plan: &Plan,
        operands: [Address; 3],
        workspace: Address,
        stream: Stream,
    ) -> Result<(), Denial> {
        let (one, zero) = (1.0_f32, 0.0_f32);
        let [of_a, of_b, of_d] = &plan.layouts;
        let [a, b, d] = operands.map(pointer);
        // SAFETY: By the caller; the factors are read before the call returns.
        self.ask(self.multiply, |multiply| unsafe {
            multiply(
                handle.0,
                plan.product.raw,
                (&raw const one).cast(),
                a,
                of_a.raw,
                b,
                of_b.raw,
                (&raw const zero).cast(),
                d,
                of_d.raw,
                d,
                of_d.raw,
                &raw const plan.algorithm,
                pointer(workspace),
                plan.workspace_bytes,
                stream.0.cast(),
            )
        })
    }

    /// The library's number of the algorithm of a plan.
    pub(in crate::cuda) fn algorithm(&self, plan: &Plan) -> Option<c_int> {
        const ID: c_int = 0;
        let (mut id, mut bytes) = (0, 0);
        let room = mem::size_of::<c_int>();
        // SAFETY: The attribute is a number of that size, and both results are valid places.
        let asked = self.ask(self.configuration, |get| unsafe {
            get(&raw const plan.algorithm, ID, (&raw mut id).cast(), room, &raw mut bytes)
        });
        asked.is_ok().then_some(id)
    }
}
