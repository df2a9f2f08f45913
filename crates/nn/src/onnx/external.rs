//! Weights in files beside the model.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path};

use super::proto::StringStringEntryProto;
use crate::error::Error;

/// A range of a file beside the model.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Location {
    name: String,
    offset: u64,
    length: Option<u64>,
}

impl Location {
    /// Reads the entries of a tensor that lies outside.
    pub(super) fn new(entries: &[StringStringEntryProto]) -> Result<Self, Error> {
        let mut found: HashMap<&str, &str> = HashMap::new();
        for entry in entries {
            if found.insert(entry.key(), entry.value()).is_some() {
                let key = entry.key().escape_debug();
                return Err(Error::invalid_model(format!("has two external '{key}'")));
            }
        }
        let number = |key: &str| match found.get(key) {
            None => Ok(None),
            Some(text) => text.parse::<u64>().map(Some).map_err(|_| {
                Error::invalid_model(format!("has an external {key} of '{}'", text.escape_debug()))
            }),
        };
        let name = match found.get("location") {
            Some(name) => (*name).to_owned(),
            None => return Err(Error::invalid_model("has external data without a location")),
        };
        Ok(Self { offset: number("offset")?.unwrap_or(0), length: number("length")?, name })
    }

    /// Reads the bytes of a tensor of `bytes` bytes. The file has to lie in `folder` or below it.
    pub(super) fn read(&self, folder: Option<&Path>, bytes: usize) -> Result<Vec<u8>, Error> {
        let shown = self.name.escape_debug();
        let invalid = |what: &str| Error::invalid_model(format!("external data '{shown}' {what}"));
        let Some(folder) = folder else {
            return Err(invalid("needs the model to be opened from a file"));
        };
        let relative = Path::new(&self.name);
        let plain = relative
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if self.name.is_empty() || !plain {
            return Err(invalid("is not inside the model's folder"));
        }
        let io = |error: std::io::Error| Error::io(&format!("external data '{shown}'"), &error);
        let path = folder.join(relative);
        // A symbolic link may still lead elsewhere.
        let resolved = path.canonicalize().map_err(io)?;
        if !resolved.starts_with(folder.canonicalize().map_err(io)?) {
            return Err(invalid("is not inside the model's folder"));
        }
        let mut file = File::open(resolved).map_err(io)?;
        let file_bytes = file.metadata().map_err(io)?.len();
        let wanted = u64::try_from(bytes).map_err(|_| invalid("is too large"))?;
        if self.length.is_some_and(|length| length != wanted) {
            return Err(invalid(&format!("is of another length than the tensor's {wanted}")));
        }
        if self.offset.checked_add(wanted).is_none_or(|end| file_bytes < end) {
            let message = format!(
                "has {file_bytes} bytes, and the tensor needs {wanted} from {}",
                self.offset
            );
            return Err(invalid(&message));
        }
        let mut data = vec![0; bytes];
        file.seek(SeekFrom::Start(self.offset)).map_err(io)?;
        file.read_exact(&mut data).map_err(io)?;
        Ok(data)
    }
}
