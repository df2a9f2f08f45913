//! `products DEVICE [NAME...]`: products and convolutions of networks in every precision, by the
//! device alone and by libraries wherever they can, side by side: the time of each in a graph of
//! many, alone and as the share of each of eight callers, and its largest error against `f64`, as a
//! part of the largest element.
//!
//! Fails when launches of one graph, on two queues, do not have the same bits; when what is
//! computed alone and in a graph differs; and when an error in `f32` is above 1e-5.

mod bench;
mod shapes;

use std::process::ExitCode;

use anabranch_hal::any::{self, Options};
use anabranch_hal::device::{Device, Libraries};
use anabranch_hal::error::Error;
use anabranch_hal::kernel::{Kernel, Precision};
use anabranch_sync::Arc;

use bench::{Bench, Measured};
use shapes::Shape;

/// The error that is allowed in `f32`.
const ERROR_MAX: f64 = 1e-5;

fn open(name: &str, libraries: Libraries) -> Result<Arc<Box<dyn Device>>, Error> {
    let device = any::open(name, &Options { libraries, ..Options::default() })?;
    println!("{}: {}", device.info().name, device.info().description);
    Ok(Arc::new(device))
}

/// One cell of the table.
fn cell(measured: Option<&Measured>) -> String {
    match measured {
        Some(Measured { microseconds, shared_microseconds, error, .. }) => {
            format!("{microseconds:8.1} {shared_microseconds:8.1} {error:8.1e}")
        }
        None => format!("{:>8} {:>8} {:>8}", "–", "–", "–"),
    }
}

/// Measures a kernel on a device that has its precision.
fn measured(
    device: Option<&Arc<Box<dyn Device>>>,
    kernel: &Kernel,
    seed: u64,
    first_id: u64,
) -> Result<Option<Measured>, String> {
    let Some(device) = device else { return Ok(None) };
    let measured =
        Bench::new(Arc::clone(device), kernel, (seed, first_id)).and_then(|bench| match bench {
            Some(bench) => bench.run().map(Some),
            None => Ok(None),
        });
    measured.map_err(|error| format!("{kernel:?}: {error}"))
}

fn compare(name: &str, wanted: &[String]) -> Result<bool, Error> {
    let own = open(name, Libraries::Off)?;
    let with = open(name, Libraries::Always)
        .inspect_err(|error| println!("without libraries: {error}"))
        .ok();
    let columns = ["alone", "of eight", "error"].map(|name| format!("{name:>8}")).join(" ");
    println!("{:34} {:5} {columns} {columns}", "own | library, us", "");
    let mut is_well = true;
    let mut next_id = 0;
    for (seed, Shape { name, kernel }) in (1..).zip(shapes::all()) {
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part)) {
            continue;
        }
        for precision in [Precision::F32, Precision::Tf32, Precision::Bf16] {
            let kernel = shapes::in_precision(&kernel, precision);
            let mut cells = Vec::new();
            let mut told = Vec::new();
            for device in [Some(&own), with.as_ref()] {
                next_id += bench::QUEUES;
                match measured(device, &kernel, seed, next_id) {
                    Ok(found) => {
                        let found = found.as_ref();
                        is_well &= found.is_none_or(|found| {
                            found.is_same
                                && (precision != Precision::F32 || found.error <= ERROR_MAX)
                        });
                        told.extend(
                            found.filter(|found| !found.is_same).map(|_| "BITS DIFFER".to_owned()),
                        );
                        told.extend(found.map(|found| found.functions.clone()));
                        cells.push(cell(found));
                    }
                    Err(error) => {
                        is_well = false;
                        told.push(error);
                        cells.push(cell(None));
                    }
                }
            }
            println!("{name:34} {precision:5} {} | {}", cells.join(" "), told.join(" | "));
        }
    }
    own.shutdown();
    if let Some(with) = with {
        with.shutdown();
    }
    Ok(is_well)
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "cuda:0".to_owned());
    match compare(&name, &arguments.collect::<Vec<_>>()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("products: {error}");
            ExitCode::FAILURE
        }
    }
}
