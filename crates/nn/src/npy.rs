//! Arrays in NumPy's `.npy` format, versions 1 to 3.

mod header;

use std::fs::{self, File};
use std::io::{ErrorKind as IoErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::limits::Limits;
use crate::shape::View;
use crate::tensor::{Tensor, tensor_bytes};

/// Reads an array file. Big-endian, structured and object arrays are refused; a Fortran-ordered
/// array is brought into row-major order.
///
/// ```no_run
/// use anabranch_nn::{Limits, npy};
/// let images = npy::read("digits-images.npy", &Limits::default())?;
/// assert_eq!(images.shape()[1..], [1, 8, 8]);
/// # Ok::<(), anabranch_nn::Error>(())
/// ```
///
/// # Errors
/// `Io` when the file cannot be read, `Malformed` when it is not an array file or not of the size
/// that its header says, `Unsupported` for other element types, `LimitExceeded` when it is larger
/// than [`Limits::array_bytes_max`]. Each names the file.
pub fn read(path: impl AsRef<Path>, limits: &Limits) -> Result<Tensor, Error> {
    let path = path.as_ref();
    read_bytes(path, limits.array_bytes_max)
        .and_then(|bytes| parse(&bytes, limits))
        .map_err(|error| error.in_file(path))
}

/// Reads a whole file of at most `bytes_max` bytes.
pub(crate) fn read_bytes(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Error> {
    let file = File::open(path).map_err(|error| Error::io("cannot be opened", &error))?;
    let mut bytes = Vec::new();
    // One byte more than allowed, because the size that a file reports may be stale or nothing.
    let read = file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|error| Error::io("cannot be read", &error))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| bytes_max < length) {
        return Err(Error::limit(format!("is larger than {bytes_max} bytes")));
    }
    Ok(bytes)
}

/// Reads an array from the bytes of an array file.
///
/// ```
/// use anabranch_nn::{Limits, Tensor, npy};
/// let tensor = Tensor::from_i64(&[2], vec![3, 4])?;
/// assert_eq!(npy::parse(&npy::format(&tensor)?, &Limits::default())?, tensor);
/// # Ok::<(), anabranch_nn::Error>(())
/// ```
///
/// # Errors
/// As for [`read`], without a file name.
pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Tensor, Error> {
    let (header, data) = header::split(bytes)?;
    if limits.rank_max < header.shape.len() {
        return Err(Error::limit(format!(
            "has {} axes, more than {}",
            header.shape.len(),
            limits.rank_max
        )));
    }
    let expected = tensor_bytes(header.dtype, &header.shape)
        .filter(|&bytes| bytes <= limits.tensor_bytes_max)
        .ok_or_else(|| Error::malformed("the array's size overflows"))?;
    if data.len() != expected {
        return Err(Error::malformed(format!(
            "the header promises {expected} bytes of data, and there are {}",
            data.len()
        )));
    }
    if header.fortran_order && 1 < header.shape.len() {
        let reversed: Vec<usize> = header.shape.iter().rev().copied().collect();
        let order: Vec<usize> = (0..reversed.len()).rev().collect();
        let view = View::contiguous(&reversed).transpose(&order);
        let size = header.dtype.bytes();
        return Tensor::build(header.dtype, &header.shape, |target| {
            for (element, position) in target.chunks_exact_mut(size).zip(view.positions()) {
                element.copy_from_slice(&data[position * size..][..size]);
            }
            Ok(())
        });
    }
    Tensor::from_bytes(header.dtype, &header.shape, data)
}

/// The bytes of an array file.
///
/// # Errors
/// `Unsupported` for `BF16`, which the format has no name for.
pub fn format(tensor: &Tensor) -> Result<Vec<u8>, Error> {
    let mut bytes = header::format(tensor.dtype(), tensor.shape())?;
    bytes.extend_from_slice(tensor.as_bytes());
    Ok(bytes)
}

/// Writes an array file. The file appears whole or not at all: the bytes go to a temporary file
/// beside it, which then takes its name.
///
/// # Errors
/// `Io` when the folder or the file cannot be written, `Unsupported` for `BF16`.
pub fn write(path: impl AsRef<Path>, tensor: &Tensor) -> Result<(), Error> {
    let path = path.as_ref();
    let header = header::format(tensor.dtype(), tensor.shape());
    header
        .and_then(|header| write_whole(path, &[&header, tensor.as_bytes()]))
        .map_err(|error| error.in_file(path))
}

fn write_whole(path: &Path, parts: &[&[u8]]) -> Result<(), Error> {
    if path.is_dir() || path.file_name().is_none() {
        return Err(Error::new(crate::ErrorKind::Io, "is a folder, not a file"));
    }
    let (mut file, temporary) = create_beside(path)?;
    let written = parts
        .iter()
        .try_for_each(|part| file.write_all(part))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path));
    written.map_err(|error| {
        // The first error is the one to tell; what is left behind is at worst a temporary file.
        let _ = fs::remove_file(&temporary);
        Error::io("cannot be written", &error)
    })
}

fn create_beside(path: &Path) -> Result<(File, PathBuf), Error> {
    // Two processes, or two threads, may write beside each other; leftovers of a killed process
    // are stepped over.
    const ATTEMPTS_MAX: u32 = 100;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut attempt = 0;
    loop {
        let temporary = path.with_file_name(format!(".{name}.{}-{attempt}", std::process::id()));
        match File::options().write(true).create_new(true).open(&temporary) {
            Ok(file) => return Ok((file, temporary)),
            Err(error) if error.kind() == IoErrorKind::AlreadyExists && attempt < ATTEMPTS_MAX => {
                attempt += 1;
            }
            Err(error) => return Err(Error::io("cannot be written", &error)),
        }
    }
}

#[cfg(test)]
mod tests;
