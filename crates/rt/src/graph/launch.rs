//! Launching an executable: one command of a stream.

use anabranch_hal::buffer::ALIGN_BYTES;
use anabranch_hal::command as native;
use anabranch_hal::kernel::Access;
use anabranch_sync::Arc;

use super::{Executable, GraphCore};
use crate::command::View;
use crate::error::{Error, ErrorKind};
use crate::invariant::invariant;
use crate::stream::handle::{Stream, native_slice, resolve};
use crate::stream::submit::{Footprint, Use, Work};

impl Stream {
    /// Runs every node of `executable`, in order, as one command. `parameters` are what the
    /// capture declared, in that order.
    ///
    /// # Errors
    /// `InvalidArgument` when the parameters do not fit or one that is written overlaps
    /// another; `Capturing`; otherwise as [`submit`](Self::submit).
    pub fn launch(&self, executable: &Executable, parameters: &[View]) -> Result<(), Error> {
        if self.enter()?.state().is_capturing() {
            let message = "a capturing stream cannot launch a graph";
            return Err(Error::new(ErrorKind::Capturing, message).on(self.id()));
        }
        let graph = &executable.graph.0;
        check_parameters(graph, parameters)?;
        let mut table = Vec::with_capacity(graph.pinned.len() + parameters.len() + 1);
        let mut uses: Vec<Use> = Vec::with_capacity(parameters.len() + 1);
        let mut push = |view: &View, footprint: Footprint| -> Result<(), Error> {
            let buffer = self.local_buffer(view)?;
            let covers = footprint.covers && view.bytes == buffer.bytes();
            uses.extend(resolve(buffer, Footprint { covers, ..footprint })?);
            table.push(native_slice(buffer, view.offset, view.bytes));
            Ok(())
        };
        for (buffer, footprint) in &graph.pinned {
            push(&buffer.view(), *footprint)?;
        }
        for (parameter, view) in graph.parameters.iter().zip(parameters) {
            let covers = parameter.footprint.covers && view.bytes == parameter.bytes;
            push(view, Footprint { covers, ..parameter.footprint })?;
        }
        // Every launch writes it: launches of one executable are ordered by it.
        push(&executable.private.view(), Footprint::of(Access::Write, true))?;
        let slots = graph.pinned.len() + graph.parameters.len() + 1;
        invariant!("GR-9 ReplayEqualsEager", table.len() == slots);
        let ordered = uses.last().is_some_and(|last| last.footprint.writes);
        invariant!("GR-7 SingleFlight", ordered);
        let command = native::Command::Launch { executable: Arc::clone(&graph.native), table };
        let work = Work { command: Some(command), uses, label: "launch", ..Work::default() };
        let value = self.issue(work)?;
        invariant!("GR-8 StreamOrder", value <= self.core().issued());
        Ok(())
    }
}

fn check_parameters(graph: &GraphCore, views: &[View]) -> Result<(), Error> {
    let expected = graph.parameters.len();
    if views.len() != expected {
        return Err(Error::invalid(format!(
            "the graph takes {expected} parameters, not {}",
            views.len()
        )));
    }
    for (index, (parameter, view)) in graph.parameters.iter().zip(views).enumerate() {
        if view.bytes < parameter.bytes || view.offset % ALIGN_BYTES != 0 {
            return Err(Error::invalid(format!(
                "parameter {index} is {} bytes at {}, not {} bytes aligned to {ALIGN_BYTES}",
                view.bytes, view.offset, parameter.bytes
            )));
        }
        let pinned = graph.pinned.iter().map(|(buffer, footprint)| (buffer.view(), *footprint));
        let others = graph.parameters[..index].iter().zip(views);
        let others = others.map(|(other, view)| (view.clone(), other.footprint)).chain(pinned);
        for (other, footprint) in others {
            let writes = footprint.writes || parameter.footprint.writes;
            if writes && view.overlaps(&other) {
                let message = format!("parameter {index} overlaps another operand of the graph");
                return Err(Error::invalid(message));
            }
        }
    }
    Ok(())
}
