//! What a caller brings, against what the model declares.

use std::collections::HashMap;

use crate::error::Error;
use crate::graph::Port;
use crate::limits::Limits;
use crate::plan::Given;
use crate::shape::{Dim, Show, ShowDims};
use crate::tensor::Tensor;

/// The inputs in the model's order.
pub(super) fn bind<'a>(
    ports: &[Port],
    given: &[(&str, &'a Tensor)],
) -> Result<Vec<&'a Tensor>, Error> {
    let tensors = ordered(ports, given)?;
    for (port, tensor) in ports.iter().zip(&tensors) {
        check_type(port, tensor)?;
    }
    check_shapes(ports, tensors.iter().map(|tensor| tensor.shape()))?;
    Ok(tensors)
}

fn check_type(port: &Port, tensor: &Tensor) -> Result<(), Error> {
    if port.dtype == tensor.dtype() {
        return Ok(());
    }
    Err(Error::input(format!(
        "input '{}' is {}, and {tensor:?} was given",
        port.name.escape_debug(),
        port.dtype
    )))
}

/// What the plan for some inputs is made for.
pub(super) fn given(
    tensors: &[&Tensor],
    by_value: &[bool],
    limits: &Limits,
) -> Result<Given, Error> {
    let shapes = tensors.iter().map(|tensor| tensor.shape().to_vec()).collect();
    let values = tensors
        .iter()
        .zip(by_value)
        .map(|(tensor, &known)| known.then(|| (*tensor).clone()))
        .collect();
    bounded(Given { shapes, values }, limits)
}

/// What the plan for inputs of some shapes is made for, where those in `inputs` are known.
pub(super) fn described(
    ports: &[Port],
    by_value: &[bool],
    shapes: Vec<Vec<usize>>,
    inputs: &[(&str, &Tensor)],
    limits: &Limits,
) -> Result<Given, Error> {
    let mut values = Vec::with_capacity(ports.len());
    for (port, &known) in ports.iter().zip(by_value) {
        let given = inputs.iter().find(|(name, _)| *name == port.name);
        if let Some((_, tensor)) = given {
            check_type(port, tensor)?;
        }
        values.push(given.filter(|_| known).map(|(_, tensor)| (*tensor).clone()));
    }
    bounded(Given { shapes, values }, limits)
}

fn bounded(given: Given, limits: &Limits) -> Result<Given, Error> {
    let values = &given.values;
    let bytes: usize = values.iter().flatten().map(|tensor| tensor.as_bytes().len()).sum();
    if limits.value_bytes_max < bytes {
        return Err(Error::limit(format!(
            "shapes follow from {bytes} bytes of inputs, more than {}",
            limits.value_bytes_max
        )));
    }
    Ok(given)
}

/// Shapes in the model's order.
pub(super) fn bind_shapes(
    ports: &[Port],
    given: &[(&str, &[usize])],
) -> Result<Vec<Vec<usize>>, Error> {
    let shapes = ordered(ports, given)?;
    check_shapes(ports, shapes.iter().copied())?;
    Ok(shapes.into_iter().map(<[usize]>::to_vec).collect())
}

fn ordered<T: Copy>(ports: &[Port], given: &[(&str, T)]) -> Result<Vec<T>, Error> {
    for (place, (name, _)) in given.iter().enumerate() {
        let shown = name.escape_debug();
        if given[..place].iter().any(|(earlier, _)| earlier == name) {
            return Err(Error::input(format!("input '{shown}' was given twice")));
        }
        if !ports.iter().any(|port| port.name == *name) {
            let known: Vec<String> = ports.iter().map(ToString::to_string).collect();
            let known = known.join(", ");
            return Err(Error::input(format!("there is no input '{shown}'; there is {known}")));
        }
    }
    let find = |port: &Port| {
        let found = given.iter().find(|(name, _)| *name == port.name);
        found
            .map(|(_, value)| *value)
            .ok_or_else(|| Error::input(format!("input {port} is missing")))
    };
    ports.iter().map(find).collect()
}

fn check_shapes<'a>(
    ports: &[Port],
    shapes: impl Iterator<Item = &'a [usize]>,
) -> Result<(), Error> {
    let mut symbols: HashMap<&str, usize> = HashMap::new();
    for (port, shape) in ports.iter().zip(shapes) {
        let Some(dims) = &port.dims else { continue };
        let unfit = || {
            let (name, dims) = (port.name.escape_debug(), ShowDims(dims));
            Error::input(format!(
                "input '{name}' is of shape {dims}, and {} was given",
                Show(shape)
            ))
        };
        if dims.len() != shape.len() {
            return Err(unfit());
        }
        for (dim, &extent) in dims.iter().zip(shape) {
            match dim {
                Dim::Known(known) if *known != extent => return Err(unfit()),
                Dim::Symbol(symbol) => {
                    let first = *symbols.entry(symbol).or_insert(extent);
                    if first != extent {
                        let symbol = symbol.escape_debug();
                        let also = format!("'{symbol}' is both {first} and {extent}");
                        return Err(Error::input(format!("{}: {also}", unfit())));
                    }
                }
                Dim::Known(_) | Dim::Any => {}
            }
        }
    }
    Ok(())
}

/// Shapes that fit, with 1 for what is open.
pub(super) fn example(ports: &[Port]) -> Vec<Vec<usize>> {
    let extent = |dim: &Dim| match dim {
        Dim::Known(extent) => *extent,
        Dim::Symbol(_) | Dim::Any => 1,
    };
    let shape = |port: &Port| port.dims.iter().flatten().map(extent).collect();
    ports.iter().map(shape).collect()
}

/// Whether every extent is known.
pub(super) fn is_fixed(ports: &[Port]) -> bool {
    are_known(ports, 0)
}

/// Whether every extent is known but how many items there are.
pub(super) fn has_fixed_items(ports: &[Port]) -> bool {
    are_known(ports, 1)
}

fn are_known(ports: &[Port], first: usize) -> bool {
    let known = |dim: &Dim| matches!(dim, Dim::Known(_));
    let is_known =
        |port: &Port| port.dims.as_ref().is_some_and(|dims| dims.iter().skip(first).all(known));
    ports.iter().all(is_known)
}
