//! Libraries that need not be there, and their functions by name.

use std::ffi::{CStr, c_void};
use std::ptr::NonNull;

#[cfg(test)]
mod tests;

/// A library that is loaded. It stays so until the process ends, as what it started may.
#[derive(Clone, Copy, Debug)]
pub(super) struct Library(NonNull<c_void>);

impl Library {
    /// The first of some names that the system finds.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub(super) fn open(names: &[&'static CStr]) -> Result<Self, String> {
        let found = names.iter().find_map(|name| {
            // SAFETY: The name has an end, and what libraries of the vendor do when they are loaded may
            // be done on any thread.
            NonNull::new(unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) })
        });
        let known = || {
            let names: Vec<_> = names.iter().map(|name| name.to_string_lossy()).collect();
            format!("the system finds no {}", names.join(" and no "))
        };
        found.map(Self).ok_or_else(known)
    }

    /// The address of a function.
    ///
    /// # Errors
    /// That it has none of this name, for people.
    pub(super) fn symbol(self, name: &CStr) -> Result<NonNull<c_void>, String> {
        // SAFETY: The library is loaded, and the name has an end.
        let found = unsafe { libc::dlsym(self.0.as_ptr(), name.as_ptr()) };
        let missing = || format!("it is too old: it has no function {}", name.to_string_lossy());
        NonNull::new(found).ok_or_else(missing)
    }
}

/// A table of functions, each looked up by its symbol.
macro_rules! functions {
    (
        $(#[$doc:meta])* $table:ident {
            $($name:ident: fn($($argument:ty),* $(,)?) -> $result:ty = $symbol:literal;)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        struct $table {
            $($name: unsafe extern "C" fn($($argument),*) -> $result,)*
        }

        impl $table {
            fn of(library: $crate::cuda::ffi::library::Library) -> Result<Self, String> {
                Ok(Self {
                    $($name: {
                        type Function = unsafe extern "C" fn($($argument),*) -> $result;
                        let address = library.symbol($symbol)?;
                        // SAFETY: The library declares the function like that.
                        unsafe {
                            std::mem::transmute::<
                                std::ptr::NonNull<std::ffi::c_void>,
                                Function,
                            >(address)
                        }
                    },)*
                })
            }
        }
    };
}

pub(super) use functions;

/// A library refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cuda) struct Denial {
    /// Its name.
    pub(in crate::cuda) library: &'static str,
    /// What it answered, by its own numbers.
    pub(in crate::cuda) status: i32,
}

impl std::fmt::Display for Denial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} answers with status {}", self.library, self.status)
    }
}
