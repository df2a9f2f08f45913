//! `devices`: what there is to run on.

use anabranch::list_devices;
use serde::Serialize;

use crate::failure::{Failure, Verdict};
use crate::report::{say, say_json, table};

/// Arguments of `devices`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Write a list of objects
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    name: String,
    description: String,
    cores: usize,
    memory_bytes: usize,
}

impl Arguments {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        let rows: Vec<Row> = list_devices()
            .into_iter()
            .map(|device| Row {
                name: device.name,
                description: device.description,
                cores: device.concurrency,
                memory_bytes: device.memory_bytes,
            })
            .collect();
        if self.json {
            say_json(&rows)?;
            return Ok(Verdict::Clean);
        }
        let cells: Vec<Vec<String>> = rows
            .into_iter()
            .map(|row| {
                let memory = table::bytes(row.memory_bytes);
                vec![row.name, row.description, row.cores.to_string(), memory]
            })
            .collect();
        say(table::table(&["device", "description", "cores", "memory"], 2, &cells))?;
        if let Err(reason) = anabranch_hal::cuda::list() {
            say(format!("\nThere are no CUDA devices: {reason}."))?;
            return Ok(Verdict::Clean);
        }
        for (library, found) in anabranch_hal::cuda::libraries() {
            match found {
                Ok(version) => say(format!("{library} {version} is there for --libraries"))?,
                Err(reason) => say(format!("There is no {library}: {reason}."))?,
            }
        }
        Ok(Verdict::Clean)
    }
}
