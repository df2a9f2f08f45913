//! Routines of the layer above.

use crate::error::{Error, ErrorKind};
use crate::kernel::Routine;

use super::operand::{Operands, View};
use super::tiles::Tiles;

/// A routine is one tile: who brings it says nothing of its parts.
pub(super) fn tiles(_: &Routine) -> Tiles {
    Tiles::new(1, 1)
}

/// Runs it.
pub(super) fn run(kernel: &Routine, operands: Operands<'_>) -> Result<(), Error> {
    let sizes = kernel.inputs.iter().chain(&kernel.outputs).enumerate();
    let views = sizes.map(|(index, &bytes)| operands.view::<u8>(index, bytes));
    let mut views: Vec<View<'_, u8>> = views.collect::<Result<_, _>>()?;
    let mut results = views.split_off(kernel.inputs.len());
    let inputs: Vec<&[u8]> = views.iter().map(View::all).collect();
    let sized = results.iter_mut().zip(&kernel.outputs);
    let mut outputs: Vec<&mut [u8]> =
        sized.map(|(view, &bytes)| view.window_mut(0, bytes)).collect();
    kernel
        .call(&inputs, &mut outputs)
        .map_err(|message| Error::new(ErrorKind::CommandFailed, message))
}
