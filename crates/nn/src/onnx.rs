//! Import of ONNX files: operator sets 7 to 27 of the default domain.
//!
//! A file is decoded, checked and translated as a whole; whatever cannot be run is an error that
//! names the node, when the model is loaded and never later.

mod attributes;
mod external;
mod import;
mod operators;
mod outline;
mod proto;
mod tensor;

use std::fs::{self, File};
use std::path::Path;

use prost::Message;

use crate::error::Error;
use crate::graph::Graph;
use crate::limits::Limits;
use crate::npy::read_bytes;
use crate::tensor::Tensor;

use outline::{Elements, Outline};

/// Reads a model file, and the weight files beside it.
pub(crate) fn open(path: &Path, limits: &Limits) -> Result<Graph, Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    read(path, folder, limits).map_err(|error| error.in_file(path))
}

fn read(path: &Path, folder: &Path, limits: &Limits) -> Result<Graph, Error> {
    let file = File::open(path).map_err(|error| Error::io("cannot be opened", &error))?;
    let known = file.metadata().ok().filter(fs::Metadata::is_file);
    let bytes = known.map(|known| known.len()).filter(|&bytes| bytes <= limits.model_bytes_max);
    if let Some(outline) = bytes.and_then(|bytes| Outline::of(&file, bytes))
        && let Ok(model) = proto::ModelProto::decode(&outline.model[..])
        && let Some(elements) = outline.elements(file, &model)
    {
        let source = tensor::Source { folder: Some(folder.to_owned()), limits };
        return import::import(model, elements, &source);
    }
    // What has no outline is decoded as a whole, or the decoder says why not.
    decode(read_bytes(path, limits.model_bytes_max)?, Some(folder), limits)
}

/// Reads a model from the bytes of its file; weights outside it cannot be reached.
pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Result<Graph, Error> {
    if u64::try_from(bytes.len()).is_ok_and(|length| limits.model_bytes_max < length) {
        return Err(Error::limit(format!("is larger than {} bytes", limits.model_bytes_max)));
    }
    decode(bytes, None, limits)
}

/// Reads a single tensor: a file of the kind that test data of ONNX comes in.
pub(crate) fn open_tensor(path: &Path, limits: &Limits) -> Result<Tensor, Error> {
    let read = |bytes: Vec<u8>| {
        let proto = proto::TensorProto::decode(&bytes[..])
            .map_err(|error| Error::malformed(format!("is not an ONNX tensor: {error}")))?;
        tensor::tensor(proto, None, &tensor::Source { folder: None, limits })
    };
    read_bytes(path, limits.model_bytes_max).and_then(read).map_err(|error| error.in_file(path))
}

fn decode(bytes: impl AsRef<[u8]>, folder: Option<&Path>, limits: &Limits) -> Result<Graph, Error> {
    if bytes.as_ref().is_empty() {
        return Err(Error::malformed("is empty"));
    }
    let model = proto::ModelProto::decode(bytes.as_ref())
        .map_err(|error| Error::malformed(format!("is not an ONNX model: {error}")))?;
    // The file's bytes are not needed beside the decoded ones.
    drop(bytes);
    let source = tensor::Source { folder: folder.map(Path::to_owned), limits };
    import::import(model, Elements::none(), &source)
}

#[cfg(test)]
mod tests;
