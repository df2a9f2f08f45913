//! NVRTC: the compiler of CUDA C.

use std::ffi::{CStr, CString, c_char, c_int};
use std::{ptr, slice};

use super::library::{Ask, Function, Library, Loaded, Meaning, Raw, Status, library, missing};

#[cfg(test)]
mod tests;

library! {
    /// The library.
    Nvrtc: "NVRTC";
    version: fn(*mut c_int, *mut c_int) -> Status = c"nvrtcVersion";
    meaning: fn(Status) -> *const c_char = c"nvrtcGetErrorString";
    count_architectures: fn(*mut c_int) -> Status = c"nvrtcGetNumSupportedArchs";
    list_architectures: fn(*mut c_int) -> Status = c"nvrtcGetSupportedArchs";
    create: fn(
        *mut Raw, *const c_char, *const c_char, c_int, *const *const c_char, *const *const c_char,
    ) -> Status = c"nvrtcCreateProgram";
    destroy: fn(*mut Raw) -> Status = c"nvrtcDestroyProgram";
    compile: fn(Raw, c_int, *const *const c_char) -> Status = c"nvrtcCompileProgram";
    ptx_bytes: fn(Raw, *mut usize) -> Status = c"nvrtcGetPTXSize";
    ptx: fn(Raw, *mut c_char) -> Status = c"nvrtcGetPTX";
    log_bytes: fn(Raw, *mut usize) -> Status = c"nvrtcGetProgramLogSize";
    log: fn(Raw, *mut c_char) -> Status = c"nvrtcGetProgramLog";
}

/// What the system knows it as; what is newer comes first.
const FILES: &[&CStr] = &[c"libnvrtc.so.13", c"libnvrtc.so.12", c"libnvrtc.so"];

/// The oldest version that is asked.
const VERSION_MIN: Version = (12, 0);

/// What sources are called in messages.
const SOURCE_NAME: &CStr = c"anabranch.cu";

/// Lines of a log that are told.
const ERRORS_MAX: usize = 8;

/// A version of CUDA, as in 12.4.
pub(in crate::cuda) type Version = (c_int, c_int);

type Size = unsafe extern "C" fn(Raw, *mut usize) -> Status;
type Text = unsafe extern "C" fn(Raw, *mut c_char) -> Status;

/// What is being compiled. It is destroyed with this.
struct Program<'a> {
    raw: Raw,
    library: &'a Nvrtc,
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        // SAFETY: It is the library's own, and nobody else has it. A refusal leaves its memory
        // behind, which what was compiled does not depend on.
        let _ = unsafe { (self.library.destroy.call)(&raw mut self.raw) };
    }
}

impl Nvrtc {
    /// Looks for the newest one whose PTX a driver for this version of CUDA reads.
    ///
    /// # Errors
    /// Why it cannot be used, for people.
    pub(in crate::cuda) fn find(driver: Version) -> Result<Self, String> {
        Self::find_in(FILES, driver)
    }

    fn find_in(files: &[&'static CStr], driver: Version) -> Result<Self, String> {
        let mut refused = None;
        for file in files {
            let Ok(loaded) = Loaded::open(slice::from_ref(file)) else { continue };
            let found = Self::of(loaded).and_then(|library| {
                fits(library.version()?, driver)?;
                Ok(library)
            });
            match found {
                Ok(library) => return Ok(library),
                Err(reason) => refused = refused.or(Some(reason)),
            }
        }
        Err(refused.unwrap_or_else(|| missing(files)))
    }

    /// Its version.
    ///
    /// # Errors
    /// What it says, for people.
    pub(in crate::cuda) fn version(&self) -> Result<Version, String> {
        let (mut major, mut minor) = (0, 0);
        // SAFETY: The results are valid places for the call.
        self.ask(self.version, |version| unsafe { version(&raw mut major, &raw mut minor) })
            .map_err(|denial| denial.to_string())?;
        Ok((major, minor))
    }

    /// The architectures that it compiles for, as in 90.
    ///
    /// # Errors
    /// What it says, for people.
    pub(in crate::cuda) fn architectures(&self) -> Result<Vec<c_int>, String> {
        let told = |denial: super::Denial| denial.to_string();
        let mut count = 0;
        // SAFETY: The result is a valid place for the call.
        self.ask(self.count_architectures, |ask| unsafe { ask(&raw mut count) }).map_err(told)?;
        let mut list = vec![0; usize::try_from(count).unwrap_or(0)];
        // SAFETY: There is room for as many as it said.
        self.ask(self.list_architectures, |ask| unsafe { ask(list.as_mut_ptr()) }).map_err(told)?;
        Ok(list)
    }

    /// Compiles a source to PTX. Blocks for as long as that takes; any number of threads may
    /// compile at the same time.
    ///
    /// # Errors
    /// What it says, for people, with the errors of the source.
    pub(in crate::cuda) fn compile(
        &self,
        source: &str,
        options: &[&str],
    ) -> Result<String, String> {
        let text = |text: &str| CString::new(text).map_err(|error| error.to_string());
        let told = |denial: super::Denial| denial.to_string();
        let source = text(source)?;
        let options = options.iter().map(|option| text(option)).collect::<Result<Vec<_>, _>>()?;
        let options: Vec<_> = options.iter().map(|option| option.as_ptr()).collect();
        let count = c_int::try_from(options.len()).map_err(|error| error.to_string())?;
        let (mut raw, none) = (ptr::null_mut(), ptr::null());
        // SAFETY: The texts have an end, the result is a valid place, and nothing is included.
        self.ask(self.create, |create| unsafe {
            create(&raw mut raw, source.as_ptr(), SOURCE_NAME.as_ptr(), 0, none, none)
        })
        .map_err(told)?;
        let program = Program { raw, library: self };
        // SAFETY: The program is alive, and there are as many options, each with an end.
        self.ask(self.compile, |compile| unsafe { compile(program.raw, count, options.as_ptr()) })
            .map_err(|denial| {
                let log = self.text(&program, self.log_bytes, self.log).unwrap_or_default();
                [told(denial), errors(&log)].join(": ")
            })?;
        self.text(&program, self.ptx_bytes, self.ptx)
    }

    fn text(
        &self,
        program: &Program<'_>,
        size: Function<Size>,
        text: Function<Text>,
    ) -> Result<String, String> {
        let told = |denial: super::Denial| denial.to_string();
        let mut bytes = 0;
        // SAFETY: The program is alive, and the result is a valid place for the call.
        self.ask(size, |size| unsafe { size(program.raw, &raw mut bytes) }).map_err(told)?;
        let mut buffer = vec![0_u8; bytes];
        // SAFETY: The program is alive, and there is room for as many bytes as it said.
        self.ask(text, |text| unsafe { text(program.raw, buffer.as_mut_ptr().cast()) })
            .map_err(told)?;
        buffer.truncate(buffer.iter().position(|&byte| byte == 0).unwrap_or(bytes));
        String::from_utf8(buffer).map_err(|error| error.to_string())
    }
}

/// Whether a version is asked, beside a driver for a version of CUDA. A driver does not read the
/// PTX of a compiler that is newer.
fn fits(version: Version, driver: Version) -> Result<(), String> {
    let told = |(major, minor): Version| format!("{major}.{minor}");
    if version < VERSION_MIN {
        return Err(format!("it is of version {}, below {}", told(version), told(VERSION_MIN)));
    }
    if driver < version {
        let (version, driver) = (told(version), told(driver));
        return Err(format!("it is of version {version}, and the driver is for CUDA {driver}"));
    }
    Ok(())
}

/// The first errors of a log, in one line.
fn errors(log: &str) -> String {
    let errors = log.lines().filter(|line| line.contains("error"));
    errors.take(ERRORS_MAX).map(str::trim).collect::<Vec<_>>().join("; ")
}
