//! Texts that take long to make, kept in a folder of the user from one process to the next.
//!
//! The name of a file is a digest of everything that its text follows from, its first line one of
//! the name and the text. A file that is not what its first line says is as good as none, so a
//! folder may be shared by any number of processes and threads, filled, damaged and deleted at any
//! time. A folder that cannot be written keeps nothing.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions};
use std::hash::Hasher;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::{env, process};

use siphasher::sip128::{Hasher128, SipHasher13};

#[cfg(test)]
mod tests;

/// The folder of this library among the caches of a user.
const FOLDER: &str = "anabranch";

/// What folders of caches are for: their user alone.
const FOLDER_MODE: u32 = 0o700;

/// Bytes of a file that is read: several times what the device functions take.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Files that processes of the same number may have left unfinished, before nothing is kept.
const UNFINISHED_MAX: usize = 64;

/// See the [module](self). Thread-safe.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    folder: Option<PathBuf>,
}

impl Cache {
    /// That of the user: in `XDG_CACHE_HOME`, or else in `.cache` of the home. Keeps nothing where
    /// there is neither.
    pub(super) fn of_user() -> Self {
        Self::among(env::var_os("XDG_CACHE_HOME"), env::var_os("HOME"))
    }

    pub(super) fn among(caches: Option<OsString>, home: Option<OsString>) -> Self {
        // Relative paths are to be ignored, by the specification of such folders.
        let absolute = |path: Option<OsString>| path.map(PathBuf::from).filter(|p| p.is_absolute());
        let caches = absolute(caches).or_else(|| Some(absolute(home)?.join(".cache")));
        Self { folder: caches.map(|caches| caches.join(FOLDER)) }
    }

    /// The text that follows from some parts: as it was kept, or made now and then kept. Blocks
    /// while it is made.
    ///
    /// # Errors
    /// That of `make`.
    pub(super) fn get_or_make<E>(
        &self,
        parts: &[&str],
        make: impl FnOnce() -> Result<String, E>,
    ) -> Result<String, E> {
        let Some(folder) = &self.folder else { return make() };
        let name = digest(parts);
        if let Some(text) = read(&folder.join(&name), &name) {
            return Ok(text);
        }
        let text = make()?;
        // What cannot be kept is made again.
        let _ = keep(folder, &name, &text);
        Ok(text)
    }
}

/// A digest of texts and where each ends, the same on every machine.
fn digest(parts: &[&str]) -> String {
    let mut hasher = SipHasher13::new();
    for part in parts {
        hasher.write(&(part.len() as u64).to_le_bytes());
        hasher.write(part.as_bytes());
    }
    format!("{:032x}", hasher.finish128().as_u128())
}

/// The line before a text, as a comment of PTX.
fn seal(name: &str, text: &str) -> String {
    format!("// {}\n", digest(&[name, text]))
}

/// The text of a file that is complete, and has this name for a reason.
fn read(path: &Path, name: &str) -> Option<String> {
    let is_read = |it: fs::Metadata| it.is_file() && it.len() <= FILE_BYTES_MAX;
    fs::metadata(path).is_ok_and(is_read).then_some(())?;
    let mut text = fs::read_to_string(path).ok()?;
    let end = text.find('\n')? + 1;
    let rest = text.split_off(end);
    (text == seal(name, &rest)).then_some(rest)
}

/// Writes a text beside its place, and then puts it there as a whole.
fn keep(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
    for number in 0..UNFINISHED_MAX {
        let unfinished = folder.join(format!("{name}.{}.{number}", process::id()));
        let mut file = match OpenOptions::new().write(true).create_new(true).open(&unfinished) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            opened => opened?,
        };
        let mut whole = seal(name, text);
        whole.push_str(text);
        let written = file.write_all(whole.as_bytes());
        return written
            .and_then(|()| fs::rename(&unfinished, folder.join(name)))
            .or_else(|error| fs::remove_file(&unfinished).and(Err(error)));
    }
    Err(ErrorKind::AlreadyExists.into())
}
