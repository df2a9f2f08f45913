//! `run`: a model on arrays, from several threads, compared with a serial run.

mod check;
mod items;
mod passes;
mod rows;
mod summary;

use std::path::{Path, PathBuf};

use anabranch::{Device, Model, Precision, Session, Tensor, npy};
use tracing::info;

use crate::cli::device::{self, DeviceArguments, Recording};
use crate::cli::model::{self, NamedFile, PrecisionArgument};
use crate::failure::{Failure, Verdict};
use crate::report::output::OutputFile;
use crate::report::progress::Bar;
use crate::report::trace::TraceWriter;
use crate::report::{complain, process, say, say_json};

use check::{Expected, Labels};
use items::Items;
use passes::Run;
use rows::Rows;
use summary::{Reduced, Summary};

/// Items in one pass, unless the model or the caller says otherwise: enough to keep kernels
/// efficient, few enough to give every thread some.
const BATCH: usize = 32;

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Model, an ONNX file
    model: PathBuf,
    /// Array of items, an .npy file with one item for each row; for a model with several inputs
    /// once for each, as NAME=FILE
    #[arg(long, required = true, value_name = "[NAME=]FILE", value_parser = model::named_file)]
    input: Vec<NamedFile>,
    /// Array with the number of the right class of each item
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Array that the first output is compared with
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// Caller threads, 1 to 128
    #[arg(long, default_value = "4", value_name = "COUNT", value_parser = crate::cli::threads)]
    threads: usize,
    /// Items in one pass [default: 32, or what the model takes]
    #[arg(long, value_name = "COUNT", value_parser = crate::cli::positive)]
    batch: Option<usize>,
    /// Passes in all; items come round again [default: each item once]
    #[arg(long, value_name = "COUNT", value_parser = crate::cli::positive)]
    passes: Option<usize>,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    precision: PrecisionArgument,
    /// Write an output to an .npy file; the first one unless it is named
    #[arg(long, value_name = "[NAME=]FILE", value_parser = model::named_file)]
    output: Vec<NamedFile>,
    /// Write what ran when, for Perfetto and Chrome
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Write one object
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        // What cannot be written is told before any work is done.
        let outputs = begin_all(&self.output)?;
        let trace_file = self.trace.as_deref().map(OutputFile::create).transpose()?;
        let labels = self.labels.as_deref().map(Labels::read).transpose()?;
        let expected = self.expect.as_deref().map(Expected::read).transpose()?;

        let model = model::open(&self.model)?;
        let items = Items::read(model.inputs(), &self.input, self.batch, BATCH)?;
        if let Some(labels) = &labels {
            labels.check(items.rows())?;
        }
        let (passes, noun) = (self.passes(&items)?, items.noun());

        let recording = Recording::trace_if(trace_file.is_some());
        let devices = self.device.open_all(self.threads, recording)?;
        let name = self.model.display().to_string();
        let precision = self.precision.precision;
        let in_f32 = self.in_f32(&devices[0], &model, &name, &items)?;
        let replicas = model::replicas(&devices, model, &name, precision)?;
        let serial = replicas.sessions().iter().map(|session| serial_run(session, &items));
        let serial = serial.collect::<Result<Vec<_>, _>>();
        let serial = serial.map_err(|failure| failure.about(&name))?;
        if let Some(labels) = &labels {
            labels.check_scores(serial[0].first())?;
        }
        if let Some(expected) = &expected {
            expected.check(serial[0].first())?;
        }
        let wanted = outputs_of(&serial[0], &outputs)?;

        let mut trace = trace_file.map(|file| TraceWriter::new(file, &devices[0])).transpose()?;
        info!(passes, threads = self.threads, "runs");
        let run = Run::new(replicas, items, serial, passes);
        let outcome = run.call_from(self.threads, trace.as_mut())?;
        device::end(&devices)?;
        let mut summary = Summary::of(&outcome);
        if let (Some(labels), Some(results)) = (&labels, &outcome.results) {
            summary.accuracy = labels.accuracy(results.first());
        }
        if let (Some(expected), Some(results)) = (&expected, &outcome.results) {
            summary.max_abs_err = expected.max_abs_err(results.first());
        }
        if let (Some(in_f32), Some(results)) = (&in_f32, &outcome.results) {
            summary.reduced = Some(Reduced {
                precision,
                max_abs_err: in_f32.max_abs_err(results.first()).unwrap_or(0.0),
                max_abs: in_f32.max_abs(),
            });
        }
        summary.peak_rss_mb = process::peak_rss_mb();

        if let Some(results) = &outcome.results {
            write_all(outputs, results, &wanted)?;
        }
        if let Some(trace) = trace
            && let dropped @ 1.. = trace.finish()?
        {
            complain(format!("{dropped} trace records were lost"));
        }
        if let Some(error) = &outcome.first_error {
            complain(format!("{} of {} passes failed: {error}", summary.errors, passes));
        }
        if self.json {
            say_json(&summary)?;
        } else {
            self.tell(&devices, &summary, noun)?;
        }
        Ok(Verdict::of(summary.errors + summary.mismatches))
    }

    /// What another precision is held against: the first output of a serial run in `f32`.
    fn in_f32(
        &self,
        device: &Device,
        model: &Model,
        name: &str,
        items: &Items,
    ) -> Result<Option<Expected>, Failure> {
        if self.precision.precision == Precision::F32 {
            return Ok(None);
        }
        let session = model::session(device, model.clone(), name, Precision::F32)?;
        let serial = serial_run(&session, items).map_err(|failure| failure.about(name))?;
        Ok(Expected::of(Path::new("f32"), serial.first()))
    }

    fn passes(&self, items: &Items) -> Result<usize, Failure> {
        let least = items.batches().len();
        match self.passes {
            Some(passes) if passes < least => Err(Failure::input(format!(
                "--passes {passes}: the input takes {least} passes of {} items",
                items.batch()
            ))),
            passes => Ok(passes.unwrap_or(least)),
        }
    }

    fn tell(&self, devices: &[Device], summary: &Summary, noun: &str) -> Result<(), Failure> {
        let info = |device: &Device| {
            let info = device.info();
            format!("{} ({})", info.name, info.description)
        };
        let devices: Vec<String> = devices.iter().map(info).collect();
        let (model, devices) = (self.model.display(), devices.join(", "));
        say(format!("{model} on {devices}, {} caller threads", self.threads))?;
        let against = self.expect.as_ref().map(|path| path.display().to_string());
        say(summary.text(noun, against.as_deref()))
    }
}

/// Begins every output file.
fn begin_all(outputs: &[NamedFile]) -> Result<Vec<(Option<String>, OutputFile)>, Failure> {
    let begin = |output: &NamedFile| Ok((output.name.clone(), OutputFile::create(&output.path)?));
    outputs.iter().map(begin).collect()
}

/// Which output goes into which file.
fn outputs_of(
    serial: &Rows,
    outputs: &[(Option<String>, OutputFile)],
) -> Result<Vec<usize>, Failure> {
    outputs
        .iter()
        .map(|(name, _)| match name {
            None => Ok(0),
            Some(name) => serial.position(name),
        })
        .collect()
}

fn write_all(
    outputs: Vec<(Option<String>, OutputFile)>,
    results: &Rows,
    wanted: &[usize],
) -> Result<(), Failure> {
    for ((_, mut file), &index) in outputs.into_iter().zip(wanted) {
        file.write(&npy::format(results.tensor(index))?)?;
        file.commit()?;
    }
    Ok(())
}

/// Everything on this thread alone: what every other result of this device must equal bit for bit.
/// One item at a time, where the device promises that batches make no difference. Plans for all
/// batch sizes are made on the way.
fn serial_run(session: &Session, items: &Items) -> Result<Rows, Failure> {
    let device = session.device();
    for batch in [items.batches().first(), items.batches().last()].into_iter().flatten() {
        session.run(&items.named(&items.slice(batch.clone())?))?;
    }
    let units = if device.info().batch_invariant { items.units() } else { items.batches() };
    let bar = Bar::new("serial run", Some(units.len()));
    let mut parts: Vec<Vec<(String, Tensor)>> = Vec::with_capacity(units.len());
    for (index, unit) in units.into_iter().enumerate() {
        let outputs = session.run(&items.named(&items.slice(unit.clone())?))?;
        Rows::check(&outputs, unit.len())?;
        parts.push(outputs);
        bar.set(index + 1);
        // The trace shows what was asked for, not the preparation; a ring that nobody drains
        // would count what it loses.
        device.drain_trace(drop);
    }
    Rows::join(parts)
}
