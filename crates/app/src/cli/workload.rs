//! Networks that are built in, with weights that a seed determines.

mod images;
mod operators;
mod sequences;
mod table;

use anabranch::{DType, Dim, Model, ModelBuilder, ModelError, Tensor, Value};

use crate::cli::model::random_array;
use crate::failure::Failure;
use crate::random::Random;

use table::{ALL, FOUNDING};

#[cfg(test)]
mod tests;

/// What an input may be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Input {
    /// Floats between −1 and 1.
    Floats,
    /// Integers below a bound.
    Tokens(u64),
}

/// A network with one input and one output.
#[derive(Debug)]
pub(crate) struct Workload {
    /// What the command line calls it.
    pub(crate) name: &'static str,
    /// What reports call it.
    pub(crate) title: &'static str,
    /// Its layers, for people.
    pub(crate) layers: &'static str,
    /// The shape of its input.
    pub(crate) shape: &'static [usize],
    /// What its input is.
    pub(crate) input: Input,
    /// Passes of a stress round.
    pub(crate) ops: usize,
    build: fn(&mut ModelBuilder, Value) -> Value,
}

/// What a stress round runs when nothing else is asked for.
pub(crate) fn founding() -> Vec<&'static Workload> {
    ALL[..FOUNDING].iter().collect()
}

/// The network of a name.
pub(crate) fn find(name: &str) -> Option<&'static Workload> {
    ALL.iter().find(|workload| workload.name == name)
}

/// Reads names that are separated by commas, or `all`.
pub(crate) fn parse(text: &str) -> Result<Vec<&'static Workload>, String> {
    if text == "all" {
        return Ok(ALL.iter().collect());
    }
    let unknown = |name: &str| {
        let known: Vec<&str> = ALL.iter().map(|workload| workload.name).collect();
        format!("there is no network '{name}'; there are all, {}", known.join(", "))
    };
    text.split(',').map(|name| find(name).ok_or_else(|| unknown(name))).collect()
}

impl Workload {
    /// The name of the input.
    pub(crate) const INPUT: &'static str = "input";

    /// Builds the network.
    ///
    /// # Errors
    /// None for the networks here; their tests build each of them.
    pub(crate) fn model(&self, seed: u64) -> Result<Model, Failure> {
        let build = || -> Result<Model, ModelError> {
            let mut builder = ModelBuilder::new(self.name, seed);
            let dims: Vec<Dim> = self.shape.iter().map(|&extent| Dim::Known(extent)).collect();
            let dtype = match self.input {
                Input::Floats => DType::F32,
                Input::Tokens(_) => DType::I64,
            };
            let input = builder.typed_input(Self::INPUT, dtype, &dims);
            let output = (self.build)(&mut builder, input);
            builder.output("output", output);
            builder.build()
        };
        build().map_err(|error| Failure::from(error).about(self.title))
    }

    /// An input that a seed determines.
    ///
    /// # Errors
    /// When it does not fit into memory.
    pub(crate) fn random_input(&self, random: &mut Random) -> Result<Tensor, ModelError> {
        let Input::Tokens(count) = self.input else {
            return random_array(DType::F32, self.shape, random);
        };
        let token = |_| i64::try_from(random.next() % count).expect("below a bound that is small");
        Tensor::from_i64(self.shape, (0..self.shape.iter().product::<usize>()).map(token).collect())
    }

    /// The input's shape, as in `4×3×32×32`.
    pub(crate) fn shape_text(&self) -> String {
        self.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("×")
    }
}
