//! The header: magic, version, length, and a Python dictionary literal of exactly three keys.

use crate::dtype::DType;
use crate::error::Error;

const MAGIC: &[u8] = b"\x93NUMPY";
// NumPy itself refuses to evaluate longer headers.
const HEADER_BYTES_MAX: usize = 10_000;
// The data begins at a multiple of this.
const ALIGN_BYTES: usize = 64;

/// What the header says.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) dtype: DType,
    pub(crate) fortran_order: bool,
    pub(crate) shape: Vec<usize>,
}

/// Splits a file into its header and its data.
pub(crate) fn split(bytes: &[u8]) -> Result<(Header, &[u8]), Error> {
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| {
        Error::malformed(if bytes.is_empty() { "is empty" } else { "is not an npy file" })
    })?;
    let truncated = || Error::malformed("ends inside its header");
    let (version, rest) = rest.split_first_chunk::<2>().ok_or_else(truncated)?;
    let (length, rest) = match version {
        [1, 0] => {
            let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(truncated)?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        [2 | 3, 0] => {
            let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(truncated)?;
            let length = u32::from_le_bytes(*length);
            (usize::try_from(length).unwrap_or(usize::MAX), rest)
        }
        [major, minor] => {
            return Err(Error::unsupported(format!("is of npy version {major}.{minor}")));
        }
    };
    if HEADER_BYTES_MAX < length {
        return Err(Error::malformed(format!("has a header of {length} bytes")));
    }
    let (header, data) = rest.split_at_checked(length).ok_or_else(truncated)?;
    let text = std::str::from_utf8(header)
        .map_err(|_| Error::malformed("has a header that is not text"))?;
    Ok((Parser { rest: text }.header()?, data))
}

/// The header's bytes for a row-major array.
pub(crate) fn format(dtype: DType, shape: &[usize]) -> Result<Vec<u8>, Error> {
    let Some((_, descr)) = NAMES.iter().find(|(known, _)| *known == dtype) else {
        return Err(Error::unsupported(format!("npy has no name for {dtype}")));
    };
    let mut extents: Vec<String> = shape.iter().map(ToString::to_string).collect();
    if let [only] = &mut extents[..] {
        only.push(',');
    }
    let dictionary = format!(
        "{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}",
        extents.join(", ")
    );
    let unpadded = MAGIC.len() + 4 + dictionary.len() + 1;
    let padding = unpadded.next_multiple_of(ALIGN_BYTES) - unpadded;
    let length = u16::try_from(dictionary.len() + padding + 1)
        .map_err(|_| Error::unsupported("the shape does not fit in a header"))?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend(length.to_le_bytes());
    bytes.extend(dictionary.into_bytes());
    bytes.extend(std::iter::repeat_n(b' ', padding));
    bytes.push(b'\n');
    Ok(bytes)
}

const NAMES: [(DType, &str); 12] = [
    (DType::F32, "<f4"),
    (DType::F64, "<f8"),
    (DType::F16, "<f2"),
    (DType::I64, "<i8"),
    (DType::I32, "<i4"),
    (DType::I16, "<i2"),
    (DType::I8, "|i1"),
    (DType::U64, "<u8"),
    (DType::U32, "<u4"),
    (DType::U16, "<u2"),
    (DType::U8, "|u1"),
    (DType::Bool, "|b1"),
];

fn dtype(descr: &str) -> Result<DType, Error> {
    let known = NAMES.iter().find(|(dtype, name)| {
        // The order of single bytes does not matter, and writers disagree about its sign.
        *name == descr
            || (dtype.bytes() == 1 && name[1..] == *descr.trim_start_matches(['<', '>', '=']))
            || (dtype.bytes() == 1 && name[1..] == *descr)
    });
    match known {
        Some((dtype, _)) => Ok(*dtype),
        None => {
            Err(Error::unsupported(format!("holds elements of type '{}'", descr.escape_debug())))
        }
    }
}

/// A reader of the dictionary, which is a small and fixed part of Python's syntax.
struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn header(mut self) -> Result<Header, Error> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        self.expect('{')?;
        while !self.accept('}') {
            let key = self.string()?;
            self.expect(':')?;
            let repeated = match key {
                "descr" => descr.replace(self.string()?).is_some(),
                "fortran_order" => fortran_order.replace(self.boolean()?).is_some(),
                "shape" => shape.replace(self.tuple()?).is_some(),
                _ => return Err(malformed(format!("key '{}'", key.escape_debug()))),
            };
            if repeated {
                return Err(malformed(format!("a second '{key}'")));
            }
            if !self.accept(',') {
                self.expect('}')?;
                break;
            }
        }
        if !self.rest.trim().is_empty() {
            return Err(malformed("something behind the dictionary"));
        }
        let (Some(descr), Some(fortran_order), Some(shape)) = (descr, fortran_order, shape) else {
            return Err(malformed("too few keys"));
        };
        Ok(Header { dtype: dtype(descr)?, fortran_order, shape })
    }

    fn accept(&mut self, wanted: char) -> bool {
        self.rest = self.rest.trim_start();
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, wanted: char) -> Result<(), Error> {
        if self.accept(wanted) { Ok(()) } else { Err(malformed(format!("no '{wanted}'"))) }
    }

    fn string(&mut self) -> Result<&'a str, Error> {
        let quote = if self.accept('\'') {
            '\''
        } else {
            self.expect('"')?;
            '"'
        };
        let (text, rest) =
            self.rest.split_once(quote).ok_or_else(|| malformed("an open quotation"))?;
        self.rest = rest;
        Ok(text)
    }

    fn boolean(&mut self) -> Result<bool, Error> {
        self.rest = self.rest.trim_start();
        for (name, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.rest.strip_prefix(name) {
                self.rest = rest;
                return Ok(value);
            }
        }
        Err(malformed("neither True nor False"))
    }

    fn tuple(&mut self) -> Result<Vec<usize>, Error> {
        self.expect('(')?;
        let mut extents = Vec::new();
        while !self.accept(')') {
            self.rest = self.rest.trim_start();
            let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
            let (digits, rest) = self.rest.split_at(end);
            extents.push(digits.parse().map_err(|_| malformed("an extent that is no size"))?);
            // Python 2 marked long integers.
            self.rest = rest.strip_prefix('L').unwrap_or(rest);
            if !self.accept(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(extents)
    }
}

fn malformed(what: impl std::fmt::Display) -> Error {
    Error::malformed(format!("has {what} in its header"))
}
