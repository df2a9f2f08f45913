//! Files that appear whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Two processes may write beside each other, and a killed one leaves its file behind.
const NAMES_MAX: u32 = 100;

/// A file that is written under a temporary name beside its own, which it takes at the end.
/// Dropping it before that removes it. What is not a regular file, as `/dev/stdout`, is written
/// as it is.
#[derive(Debug)]
pub(crate) struct OutputFile {
    path: PathBuf,
    temporary: Option<PathBuf>,
    writer: Option<BufWriter<File>>,
}

impl OutputFile {
    /// Begins a file, so that a path that cannot be written is known before the work starts.
    ///
    /// # Errors
    /// When the path is a folder, or no file can be made beside it. Names the path.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let (file, temporary) = begin(path).map_err(|error| unwritable(path, &error))?;
        // What a link points to is replaced, not the link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        Ok(Self { path, temporary, writer: Some(BufWriter::new(file)) })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// When the disk refuses them. Names the path.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.write_all(bytes).map_err(|error| unwritable(&self.path, &error))
    }

    /// Brings everything to the disk, and gives the file its name.
    ///
    /// # Errors
    /// When either is refused; then there is no file. Names the path.
    pub(crate) fn commit(mut self) -> Result<(), Failure> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let file = writer.into_inner().map_err(io::IntoInnerError::into_error);
        let finished = file.and_then(|file| match &self.temporary {
            Some(temporary) => file.sync_all().and_then(|()| fs::rename(temporary, &self.path)),
            None => Ok(()),
        });
        finished.map_err(|error| {
            self.remove();
            unwritable(&self.path, &error)
        })
    }

    /// The first error is the one to tell, so one more is swallowed.
    fn remove(&self) {
        if let Some(temporary) = &self.temporary {
            let _ = fs::remove_file(temporary);
        }
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            drop(writer.into_parts());
            self.remove();
        }
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::input(format!("{}: cannot be written: {error}", path.display()))
}

/// Opens what is written: a new file beside `path`, or `path` itself when it is no regular file.
fn begin(path: &Path) -> io::Result<(File, Option<PathBuf>)> {
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => return Err(io::Error::other("is a folder")),
        Ok(there) if !there.is_file() => {
            return File::options().write(true).open(path).map(|file| (file, None));
        }
        // Renaming would replace a file that may not be written.
        Ok(_) => drop(File::options().append(true).open(path)?),
        Err(_) => {}
    }
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let Some(name) = path.file_name() else {
        return Err(io::Error::other("names no file"));
    };
    let name = name.to_string_lossy();
    let mut attempt = 0;
    loop {
        let temporary = path.with_file_name(format!(".{name}.{}-{attempt}", std::process::id()));
        match File::options().write(true).create_new(true).open(&temporary) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < NAMES_MAX => {
                attempt += 1;
            }
            opened => return opened.map(|file| (file, Some(temporary))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::OutputFile;

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.bin");
        let mut file = OutputFile::create(&path).unwrap();
        file.write(b"half").unwrap();
        drop(file);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        let mut file = OutputFile::create(&path).unwrap();
        file.write(b"who").unwrap();
        file.write(b"le").unwrap();
        assert!(!path.exists());
        file.commit().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn a_path_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("missing/out.bin")] {
            let error = OutputFile::create(&path).unwrap_err().to_string();
            assert!(error.contains(&path.display().to_string()), "{error}");
        }
    }
}
