//! `planted CHECK`: runs the function of `faults.cu` that the check has to report.

use std::ffi::{CString, c_void};
use std::process::ExitCode;
use std::ptr;

use cudarc::driver::{DriverError, result};

const PTX: &str = include_str!("faults.ptx");

/// Bytes of the allocation, and whether they are written before the function runs. `memcheck` is
/// given half of what it writes.
fn memory(check: &str) -> (usize, bool) {
    match check {
        "memcheck" => (128, true),
        "initcheck" => (256, false),
        _ => (256, true),
    }
}

fn run(check: &str) -> Result<(), DriverError> {
    let (bytes, is_written) = memory(check);
    let ptx = CString::new(PTX).expect("a text of PTX has no zero");
    let name = CString::new(format!("planted_{check}")).expect("an argument has no zero");
    result::init()?;
    let device = result::device::get(0)?;
    // SAFETY: The driver has been started; everything lives until the process ends.
    unsafe {
        let context = result::primary_ctx::retain(device)?;
        result::ctx::set_current(context)?;
        let module = result::module::load_data(ptx.as_ptr().cast())?;
        let function = result::module::get_function(module, name)?;
        let mut data = result::malloc_sync(bytes)?;
        if is_written {
            result::memset_d8_sync(data, 0, bytes)?;
        }
        let mut arguments = [(&raw mut data).cast::<c_void>()];
        let stream = ptr::null_mut();
        result::launch_kernel(function, (1, 1, 1), (64, 1, 1), 0, stream, &mut arguments)?;
    }
    result::ctx::synchronize()
}

fn main() -> ExitCode {
    let Some(check) = std::env::args().nth(1) else {
        eprintln!("planted CHECK");
        return ExitCode::from(2);
    };
    match run(&check) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("planted {check}: {error:?}");
            ExitCode::FAILURE
        }
    }
}
