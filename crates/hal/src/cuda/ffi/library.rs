//! Libraries of the vendor that need not be there: how they are found, and what all of them have.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

#[cfg(test)]
mod tests;

/// What a library answers. 0 is success.
pub(super) type Status = c_int;
/// What a library keeps, by its address.
pub(super) type Raw = *mut c_void;

/// A library that is loaded. It stays so until the process ends, as what it started may.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct Loaded(NonNull<c_void>);

impl Loaded {
    /// The first of some names that the system finds.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub(super) fn open(names: &[&'static CStr]) -> Result<Self, String> {
        let found = names.iter().find_map(|name| {
            // SAFETY: The name has an end, and what libraries of the vendor do when they are loaded
            // may be done on any thread.
            NonNull::new(unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) })
        });
        found.map(Self).ok_or_else(|| missing(names))
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

/// What is said of a library that the system finds by none of its names.
pub(super) fn missing(names: &[&CStr]) -> String {
    let names: Vec<_> = names.iter().map(|name| name.to_string_lossy()).collect();
    format!("the system finds no {}", names.join(" and no "))
}

/// A function of a library.
#[derive(Clone, Copy)]
pub(super) struct Function<F> {
    /// Its name there.
    pub(super) symbol: &'static CStr,
    pub(super) call: F,
}

pub(super) type Version = unsafe extern "C" fn() -> usize;
pub(super) type Meaning = unsafe extern "C" fn(Status) -> *const c_char;
pub(super) type Create = unsafe extern "C" fn(*mut Raw) -> Status;
pub(super) type Destroy = unsafe extern "C" fn(Raw) -> Status;

/// The functions that every library has that computes on a card.
#[derive(Clone, Copy)]
pub(in crate::cuda) struct Shared {
    pub(super) version: Version,
    pub(super) create: Function<Create>,
    pub(super) destroy: Destroy,
}

/// A library by its functions. Copies are the same.
pub(in crate::cuda) trait Library: Copy {
    /// How users know it.
    const NAME: &'static str;

    /// Looks all functions up.
    ///
    /// # Errors
    /// Which one is missing, for people.
    fn of(loaded: Loaded) -> Result<Self, String>;

    /// What says how a status is called.
    fn meaning(&self) -> Meaning;
}

/// A library that computes on the card which a handle of it was made for.
pub(in crate::cuda) trait CardLibrary: Library {
    /// What the system knows it as; what is newer comes first.
    const FILES: &'static [&'static CStr];
    /// The oldest version whose functions are these.
    const VERSION_MIN: usize;

    fn shared(&self) -> Shared;

    /// Looks for the library.
    ///
    /// # Errors
    /// Why it cannot be used, for people.
    fn find() -> Result<Self, String> {
        let found = Self::of(Loaded::open(Self::FILES)?)?;
        let version = found.version();
        if version < Self::VERSION_MIN {
            return Err(format!("it is of version {version}, below {}", Self::VERSION_MIN));
        }
        Ok(found)
    }

    /// As the library counts: cuBLASLt 13.0.2 is 130002, cuDNN 9.14.0 is 91400.
    fn version(&self) -> usize {
        // SAFETY: The function has no conditions.
        unsafe { (self.shared().version)() }
    }

    /// A handle for the card that this thread has entered.
    fn create(&self) -> Result<Handle<Self>, Denial> {
        let mut handle = ptr::null_mut();
        // SAFETY: The result is a valid place for the call.
        self.ask(self.shared().create, |create| unsafe { create(&raw mut handle) })?;
        Ok(Handle(handle, PhantomData))
    }

    /// # Safety
    /// It is not used again.
    unsafe fn destroy(&self, handle: Handle<Self>) {
        // SAFETY: By the caller. What a lost card says here concerns nobody.
        let _ = unsafe { (self.shared().destroy)(handle.0) };
    }
}

/// What is asked of a library.
pub(super) trait Ask: Library {
    /// Calls a function.
    fn ask<F>(&self, function: Function<F>, call: impl FnOnce(F) -> Status) -> Result<(), Denial> {
        let status = call(function.call);
        if status == 0 {
            return Ok(());
        }
        // SAFETY: The function has no conditions.
        let meaning = unsafe { (self.meaning())(status) };
        // SAFETY: What is there is a constant of the library.
        let meaning =
            unsafe { NonNull::new(meaning.cast_mut()).map(|m| CStr::from_ptr(m.as_ptr())) };
        let meaning = meaning.unwrap_or_default();
        Err(Denial { library: Self::NAME, function: function.symbol, status, meaning })
    }

    /// Asks for a description.
    fn describe<F>(
        &self,
        create: Function<F>,
        destroy: Function<Destroy>,
        call: impl FnOnce(F, *mut Raw) -> Status,
    ) -> Result<Description, Denial> {
        let mut raw = ptr::null_mut();
        self.ask(create, |create| call(create, &raw mut raw))?;
        Ok(Description { raw, destroy: destroy.call })
    }
}

impl<L: Library> Ask for L {}

/// Who asks a library. One thread at a time.
#[derive(Clone, Copy)]
pub(in crate::cuda) struct Handle<L>(pub(super) Raw, PhantomData<L>);

// SAFETY: Libraries take their handles on any thread.
unsafe impl<L> Send for Handle<L> {}
// SAFETY: As above.
unsafe impl<L> Sync for Handle<L> {}

/// What a library is told of a problem. It is destroyed with this.
pub(super) struct Description {
    pub(super) raw: Raw,
    destroy: Destroy,
}

// SAFETY: Descriptions may be read on any thread, and whoever has one alone may change it.
unsafe impl Send for Description {}
// SAFETY: As above.
unsafe impl Sync for Description {}

impl Drop for Description {
    fn drop(&mut self) {
        // SAFETY: It is the library's own, and nobody else has it.
        let _ = unsafe { (self.destroy)(self.raw) };
    }
}

/// A library with its functions, each with its symbol. With a version and files, it is one that
/// computes on a card.
macro_rules! library {
    (
        $(#[$doc:meta])*
        $library:ident: $title:literal, from $version_min:literal, in $files:expr;
        $($functions:tt)*
    ) => {
        library! {
            $(#[$doc])*
            $library: $title;
            $($functions)*
        }

        impl CardLibrary for $library {
            const FILES: &'static [&'static std::ffi::CStr] = $files;
            const VERSION_MIN: usize = $version_min;

            fn shared(&self) -> Shared {
                Shared {
                    version: self.version.call,
                    create: self.create,
                    destroy: self.destroy.call,
                }
            }
        }
    };
    (
        $(#[$doc:meta])*
        $library:ident: $title:literal;
        $($name:ident: fn($($argument:ty),* $(,)?) -> $result:ty = $symbol:literal;)*
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(in crate::cuda) struct $library {
            $($name: Function<unsafe extern "C" fn($($argument),*) -> $result>,)*
        }

        impl Library for $library {
            const NAME: &'static str = $title;

            fn of(loaded: Loaded) -> Result<Self, String> {
                Ok(Self {
                    $($name: {
                        type Call = unsafe extern "C" fn($($argument),*) -> $result;
                        let address = loaded.symbol($symbol)?;
                        // SAFETY: The library declares the function like that.
                        let call = unsafe {
                            std::mem::transmute::<
                                std::ptr::NonNull<std::ffi::c_void>,
                                Call,
                            >(address)
                        };
                        Function { symbol: $symbol, call }
                    },)*
                })
            }

            fn meaning(&self) -> Meaning {
                self.meaning.call
            }
        }
    };
}

pub(super) use library;

/// A library refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cuda) struct Denial {
    /// Its name.
    library: &'static str,
    /// What it was asked.
    function: &'static CStr,
    /// What it answered.
    pub(super) status: Status,
    /// How the library calls that.
    meaning: &'static CStr,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { library, status, .. } = self;
        let [function, meaning] = [self.function, self.meaning].map(CStr::to_string_lossy);
        write!(f, "{library}: {function} returned {status}, {meaning}")
    }
}
