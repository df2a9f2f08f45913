//! `inspect`: what a model is, and what is made of it.

mod page;
mod summary;
mod text;

use std::path::PathBuf;

use anabranch::{Deadline, Port, Tensor};

use crate::cli::device::{DeviceArguments, Recording};
use crate::cli::model::{self, NamedFile, OpenExtents, PrecisionArgument};
use crate::failure::{Failure, Verdict};
use crate::report::output::OutputFile;
use crate::report::{say, say_json};

use summary::Summary;

/// Arguments of `inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Model, an ONNX file
    model: PathBuf,
    #[command(flatten)]
    open: OpenExtents,
    /// Array for an input, an .npy file: its shape is that of the input, and its elements are known
    /// where shapes follow from them
    #[arg(long, value_name = "[NAME=]FILE", value_parser = model::named_file)]
    input: Vec<NamedFile>,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    precision: PrecisionArgument,
    /// Write a page that draws the steps and their memory
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write one object
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        // What cannot be written is told before any work is done.
        let page = self.html.as_deref().map(OutputFile::create).transpose()?;
        let model = model::open(&self.model)?;
        let file = self.model.display().to_string();
        let mut summary = Summary::of(&file, &model);
        let ports = model.inputs().to_vec();
        let arrays = model::assign(&ports, &self.input)?
            .into_iter()
            .map(|(name, file)| Ok((name, model::read_array(&file.path)?)))
            .collect::<Result<Vec<_>, Failure>>()?;
        let device = self.device.open(0, Recording::Nothing)?;
        let info = device.info();
        summary.device = format!("{}: {}", info.name, info.description);
        let session = model::session(&device, model, &file, self.precision.precision)?;
        let is_given = |port: &Port| arrays.iter().any(|(name, _)| *name == port.name);
        for (port, by_value) in ports.iter().zip(session.inputs_by_value()) {
            if *by_value && !is_given(port) {
                let example = format!("--input {}=FILE.npy", port.name.escape_debug());
                return Err(Failure::input(format!(
                    "{file}: shapes follow from the elements of the input '{port}': give them, as \
                     in {example}"
                )));
            }
        }
        let open: Vec<Port> = ports.iter().filter(|port| !is_given(port)).cloned().collect();
        let shapes = model::shapes(&open, &self.open)?;
        let named: Vec<(&str, &[usize])> =
            open.iter().zip(&shapes).map(|(port, shape)| (&*port.name, &**shape)).collect();
        let known: Vec<(&str, &Tensor)> =
            arrays.iter().map(|(name, tensor)| (&**name, tensor)).collect();
        let plan = session
            .describe_for(&named, &known)
            .map_err(|error| Failure::from(error).about(&file))?;
        device.shutdown(&Deadline::NEVER)?;
        summary.describe(&plan);
        if let Some(mut page) = page {
            page.write(page::page(&summary, &plan).as_bytes())?;
            page.commit()?;
        }
        if self.json {
            say_json(&summary)?
        } else {
            say(text::text(&summary, &plan))?
        }
        Ok(Verdict::Clean)
    }
}

/// A name from a file, without what a terminal or a page would take for more than a name.
fn shown(name: &str) -> String {
    name.escape_debug().to_string()
}

/// Floating-point operations for each byte that is moved.
fn intensity(flops: u64, bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    let (flops, bytes) = (flops as f64, bytes.max(1) as f64);
    flops / bytes
}
