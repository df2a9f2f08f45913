//! A card that runs launches one by one and waits for each.

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::ptr;

use cudarc::driver::sys;

use super::super::{Lowered, Parameter};
use crate::cuda::compiler::Functions;
use crate::device::Libraries;

/// Bytes around each operand that no function may touch.
const GUARD_BYTES: usize = 256;
const GUARD: u8 = 0xa5;

/// A card with the module loaded.
pub(super) struct Card {
    module: sys::CUmodule,
    functions: HashMap<&'static str, sys::CUfunction>,
    memory: u64,
    memory_bytes: usize,
}

/// Where operands lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placement {
    /// Bytes behind an address aligned to 256.
    pub(super) shift: usize,
    /// The input whose memory the output is.
    pub(super) in_place: Option<usize>,
    /// What is in the output before.
    pub(super) poison: u8,
}

/// Outputs hold NaN before, and everything is aligned.
pub(super) const ALIGNED: Placement = Placement { shift: 0, in_place: None, poison: 0xff };

const SHARED_BYTES: sys::CUfunction_attribute =
    sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;

macro_rules! call {
    ($function:ident($($argument:expr),*)) => {{
        // SAFETY: The arguments are what the driver's manual asks for: live handles of this
        // thread's context, and addresses of values that outlive the call.
        let result = unsafe { sys::$function($($argument),*) };
        assert_eq!(result, sys::CUresult::CUDA_SUCCESS, stringify!($function));
    }};
}

/// The libraries that `ANABRANCH_LIBRARIES` names; none where it is not set.
fn wanted() -> Libraries {
    std::env::var("ANABRANCH_LIBRARIES").map_or(Libraries::Off, |wanted| wanted.parse().unwrap())
}

impl Card {
    /// The first card; `None`, and a line that says so, when there is none.
    pub(super) fn open() -> Option<Self> {
        // SAFETY: Looks for a library by name.
        let present = unsafe { sys::is_culib_present() };
        // SAFETY: Takes no address, and may be called at any time.
        if !present || unsafe { sys::cuInit(0) } != sys::CUresult::CUDA_SUCCESS {
            println!("skipped: no CUDA device");
            return None;
        }
        let (mut device, mut context, mut module) = (0, ptr::null_mut(), ptr::null_mut());
        call!(cuDeviceGet(&raw mut device, 0));
        call!(cuDevicePrimaryCtxRetain(&raw mut context, device));
        call!(cuCtxSetCurrent(context));
        // All of them but those of the shell, which come first.
        let functions = Functions::find(wanted(), device).unwrap();
        println!("{}", functions.told());
        let image = CString::new(functions.texts().last().unwrap()).unwrap();
        let image = image.as_ptr().cast();
        call!(cuModuleLoadDataEx(&raw mut module, image, 0, ptr::null_mut(), ptr::null_mut()));
        let mut memory = 0;
        let memory_bytes = 256 << 20;
        call!(cuMemAlloc_v2(&raw mut memory, memory_bytes));
        Some(Self { module, functions: HashMap::new(), memory, memory_bytes })
    }

    fn function(&mut self, name: &'static str) -> sys::CUfunction {
        let module = self.module;
        *self.functions.entry(name).or_insert_with(|| {
            let mut function = ptr::null_mut();
            let name = CString::new(name).unwrap();
            call!(cuModuleGetFunction(&raw mut function, module, name.as_ptr()));
            function
        })
    }

    /// Runs the launches over `inputs` and gives back an output of `bytes` bytes, or `Err` when
    /// they say that the command failed.
    pub(super) fn run(
        &mut self,
        lowered: &Lowered,
        inputs: &[Vec<u8>],
        bytes: usize,
        placement: Placement,
    ) -> Result<Vec<u8>, ()> {
        let mut image = Vec::new();
        let mut addresses = Vec::new();
        let mut place = |content: &[u8]| {
            let start = image.len() + GUARD_BYTES + placement.shift;
            image.resize(start, GUARD);
            image.extend_from_slice(content);
            image.resize(image.len().next_multiple_of(256) + GUARD_BYTES, GUARD);
            addresses.push(start);
            start
        };
        for input in inputs {
            place(input);
        }
        let output = match placement.in_place {
            None => place(&vec![placement.poison; bytes]),
            Some(_) => 0,
        };
        let output = placement.in_place.map_or(output, |input| addresses[input]);
        if placement.in_place.is_some() {
            addresses.push(output);
        }
        let before = image.clone();
        let scratch = image.len();
        image.resize(scratch + lowered.scratch_bytes, 0xff);
        image.resize(image.len().next_multiple_of(256) + GUARD_BYTES, GUARD);
        let flag = image.len();
        image.extend([0; 4]);
        assert!(image.len() <= self.memory_bytes, "the case is too large");
        call!(cuMemcpyHtoD_v2(self.memory, image.as_ptr().cast(), image.len()));
        self.start(lowered, &addresses, scratch, flag);
        call!(cuCtxSynchronize());
        let mut after = vec![0; image.len()];
        call!(cuMemcpyDtoH_v2(after.as_mut_ptr().cast(), self.memory, after.len()));
        let inside = |at: usize| output <= at && at < output + bytes;
        let touched = (0..before.len()).find(|&at| before[at] != after[at] && !inside(at));
        assert_eq!(touched, None, "a byte outside of the output was written");
        let behind = &after[scratch + lowered.scratch_bytes..flag];
        assert!(behind.iter().all(|&byte| byte == GUARD), "written behind the scratch memory");
        if after[flag..] == [0; 4] { Ok(after[output..output + bytes].to_vec()) } else { Err(()) }
    }

    fn start(&mut self, lowered: &Lowered, operands: &[usize], scratch: usize, flag: usize) {
        for launch in &lowered.launches {
            let address = |at: usize| (self.memory + at as u64).to_le_bytes().to_vec();
            let mut values: Vec<Vec<u8>> = launch
                .parameters
                .iter()
                .map(|parameter| match parameter {
                    Parameter::Operand { index, offset } => address(operands[*index] + offset),
                    Parameter::Bytes(bytes) => bytes.clone(),
                    Parameter::Scratch(offset) => address(scratch + offset),
                    Parameter::Failure => address(flag),
                })
                .collect();
            let mut pointers: Vec<*mut c_void> =
                values.iter_mut().map(|value| value.as_mut_ptr().cast()).collect();
            let function = self.function(launch.function);
            let ([gx, gy, gz], [bx, by, bz]) = (launch.grid, launch.block);
            let shared = launch.shared_bytes;
            let bytes = shared.cast_signed();
            call!(cuFuncSetAttribute(function, SHARED_BYTES, bytes));
            let pointers = pointers.as_mut_ptr();
            let (stream, extra) = (ptr::null_mut(), ptr::null_mut());
            call!(cuLaunchKernel(
                function, gx, gy, gz, bx, by, bz, shared, stream, pointers, extra
            ));
        }
    }
}
