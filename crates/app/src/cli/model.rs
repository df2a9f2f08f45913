//! Models, and arrays that fit them.

use std::path::{Path, PathBuf};

use anabranch::{
    DType, Device, Dim, Model, ModelError, ModelLimits, Port, Precision, Replicas, Session,
    SessionOptions, Tensor, npy,
};
use tracing::info;

use crate::failure::Failure;
use crate::random::Random;

/// Reads a model file.
///
/// # Errors
/// Whatever is wrong with it. Names the file, and the node where there is one.
pub(crate) fn open(path: &Path) -> Result<Model, Failure> {
    let model = Model::open(path, &ModelLimits::default())?;
    info!(file = %path.display(), operators = model.node_count(), "read");
    Ok(model)
}

/// Puts a model on a device.
///
/// # Errors
/// When the device has no room for it, or does not compute in the precision. `name` says which
/// model.
pub(crate) fn session(
    device: &Device,
    model: Model,
    name: &str,
    precision: Precision,
) -> Result<Session, Failure> {
    let options = SessionOptions { precision, ..SessionOptions::default() };
    Session::from_model(device, model, &options).map_err(|error| Failure::from(error).about(name))
}

/// What is left of the factors of products, as an argument.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct PrecisionArgument {
    /// Multiply in fewer bits: faster, and with an error. The processor has bf16 and int8 for
    /// products with constant matrices and for convolutions that gain by it, a card tf32 for all of
    /// them, which it computes for bf16 as well
    #[arg(long, value_name = "PRECISION", default_value = "f32", value_parser = precision)]
    pub(crate) precision: Precision,
}

/// Reads `f32`, `tf32`, `bf16` or `int8`.
fn precision(text: &str) -> Result<Precision, String> {
    let named = Precision::ALL.into_iter().find(|precision| precision.to_string() == text);
    named.ok_or_else(|| "is not f32, tf32, bf16 or int8".to_owned())
}

/// Puts a model on every one of some devices.
///
/// # Errors
/// When one of them has no room for it, or does not compute in the precision. `name` says which
/// model.
pub(crate) fn replicas(
    devices: &[Device],
    model: Model,
    name: &str,
    precision: Precision,
) -> Result<Replicas, Failure> {
    let options = SessionOptions { precision, ..SessionOptions::default() };
    Replicas::from_model(devices, model, &options).map_err(|error| Failure::from(error).about(name))
}

/// Reads an array file.
///
/// # Errors
/// Whatever is wrong with it. Names the file.
pub(crate) fn read_array(path: &Path) -> Result<Tensor, Failure> {
    Ok(npy::read(path, &ModelLimits::default())?)
}

/// An argument of the form `FILE` or `NAME=FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedFile {
    pub(crate) name: Option<String>,
    pub(crate) path: PathBuf,
}

/// Reads `FILE` or `NAME=FILE`; a file whose name contains `=` and exists is a file.
pub(crate) fn named_file(text: &str) -> Result<NamedFile, String> {
    let whole = || NamedFile { name: None, path: PathBuf::from(text) };
    match text.split_once('=') {
        _ if text.is_empty() => Err("is empty".to_owned()),
        Some((name, path)) if !name.is_empty() && !path.is_empty() && !Path::new(text).exists() => {
            Ok(NamedFile { name: Some(name.to_owned()), path: PathBuf::from(path) })
        }
        _ => Ok(whole()),
    }
}

/// Which file is for which input. Files without a name are for the inputs that no other file names,
/// in order.
///
/// # Errors
/// When a name is unknown or there twice, and when there are more files than inputs.
pub(crate) fn assign(
    ports: &[Port],
    files: &[NamedFile],
) -> Result<Vec<(String, NamedFile)>, Failure> {
    let mut assigned: Vec<(String, NamedFile)> = Vec::new();
    for file in files {
        let Some(name) = &file.name else { continue };
        if ports.iter().all(|port| port.name != *name) {
            return Err(no_input(name, ports));
        }
        if assigned.iter().any(|(known, _)| known == name) {
            return Err(Failure::input(format!("--input {name}=… is there twice")));
        }
        assigned.push((name.clone(), file.clone()));
    }
    let mut unnamed = files.iter().filter(|file| file.name.is_none());
    for port in ports {
        if assigned.iter().any(|(known, _)| *known == port.name) {
            continue;
        }
        if let Some(file) = unnamed.next() {
            assigned.push((port.name.clone(), file.clone()));
        }
    }
    match unnamed.next() {
        Some(file) => {
            let path = file.path.display();
            let count = ports.len();
            Err(Failure::input(format!("{path}: the model has {count} inputs, and no more")))
        }
        None => Ok(assigned),
    }
}

/// What a model leaves open, as arguments.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct OpenExtents {
    /// Items in one pass, where the model leaves it open
    #[arg(long, default_value = "1", value_name = "COUNT", value_parser = crate::cli::positive)]
    pub(crate) batch: usize,
    /// Shape of an input, where the model leaves more than the first extent open
    #[arg(long, value_name = "NAME=1x3x224x224", value_parser = named_shape)]
    pub(crate) shape: Vec<NamedShape>,
}

/// An argument of the form `NAME=1x3x224x224`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedShape {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
}

/// Reads `NAME=1x3x224x224`; a number has no extents: `NAME=`.
pub(crate) fn named_shape(text: &str) -> Result<NamedShape, String> {
    let (name, extents) =
        text.rsplit_once('=').ok_or_else(|| "is not of the form NAME=1x3x224x224".to_owned())?;
    let extents = extents.split('x').filter(|extent| !extent.is_empty());
    let shape =
        extents.map(|extent| extent.parse().map_err(|_| format!("'{extent}' is no extent")));
    Ok(NamedShape { name: name.to_owned(), shape: shape.collect::<Result<_, _>>()? })
}

/// The shapes of all inputs: as given, or as declared with `batch` for an open first extent.
///
/// # Errors
/// When a name is unknown, or an extent is neither declared nor given.
pub(crate) fn shapes(
    ports: &[Port],
    OpenExtents { shape: given, batch }: &OpenExtents,
) -> Result<Vec<Vec<usize>>, Failure> {
    if let Some(unknown) = given.iter().find(|given| ports.iter().all(|p| p.name != given.name)) {
        return Err(no_input(&unknown.name, ports));
    }
    ports
        .iter()
        .map(|port| match given.iter().find(|given| given.name == port.name) {
            Some(given) => Ok(given.shape.clone()),
            None => declared(port, *batch),
        })
        .collect()
}

fn declared(port: &Port, batch: usize) -> Result<Vec<usize>, Failure> {
    let open = || {
        let example = format!("--shape {}=1x3x224x224", port.name);
        Failure::input(format!("the input '{port}' has open extents: give them, as in {example}"))
    };
    let dims = port.dims.as_ref().ok_or_else(open)?;
    let extents = dims.iter().enumerate().map(|(axis, dim)| match dim {
        Dim::Known(extent) => Ok(*extent),
        Dim::Symbol(_) | Dim::Any if axis == 0 => Ok(batch),
        Dim::Symbol(_) | Dim::Any => Err(open()),
    });
    extents.collect()
}

/// Says that there is no such input, and which there are.
pub(crate) fn no_input(name: &str, ports: &[Port]) -> Failure {
    let known: Vec<&str> = ports.iter().map(|port| port.name.as_str()).collect();
    let known = known.join("', '");
    Failure::input(format!("the model has no input '{name}'; it has '{known}'"))
}

/// Items that the model takes at a time, where its inputs say so.
pub(crate) fn fixed_batch(ports: &[Port]) -> Option<usize> {
    ports.iter().find_map(|port| match port.dims.as_deref() {
        Some([Dim::Known(extent), ..]) => Some(*extent),
        _ => None,
    })
}

/// An array that a seed determines: floats between −1 and 1, zeros of any other type.
///
/// # Errors
/// When it does not fit into memory.
pub(crate) fn random_array(
    dtype: DType,
    shape: &[usize],
    random: &mut Random,
) -> Result<Tensor, ModelError> {
    let zeros = Tensor::zeros(dtype, shape)?;
    match dtype {
        DType::F32 => {
            let elements = (0..zeros.count()).map(|_| random.signed_unit()).collect();
            Tensor::from_f32(shape, elements)
        }
        _ => Ok(zeros),
    }
}

#[cfg(test)]
mod tests {
    use anabranch::Precision;

    use super::{named_file, named_shape, precision};

    #[test]
    fn names_are_optional() {
        let plain = named_file("folder/x.npy").unwrap();
        assert_eq!((plain.name, plain.path.to_str()), (None, Some("folder/x.npy")));
        let named = named_file("image=x.npy").unwrap();
        assert_eq!((named.name.as_deref(), named.path.to_str()), (Some("image"), Some("x.npy")));
        assert!(named_file("").is_err());
    }

    #[test]
    fn precisions_have_names() {
        assert_eq!(precision("int8"), Ok(Precision::Int8));
        assert_eq!(precision("tf32"), Ok(Precision::Tf32));
        assert!(precision("int4").is_err());
    }

    #[test]
    fn shapes_are_extents_between_crosses() {
        assert_eq!(named_shape("x=1x3x224x224").unwrap().shape, [1, 3, 224, 224]);
        assert_eq!(named_shape("x=").unwrap().shape, [0_usize; 0]);
        for text in ["x", "x=1y2", "x=-1", "x=1x99999999999999999999"] {
            assert!(named_shape(text).is_err(), "{text}");
        }
    }
}
