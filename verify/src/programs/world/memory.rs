//! What a program does to buffers from the host, and with graphs.

use anabranch_rt::{Buffer, Error, ErrorKind, Executable};

use super::{Outcome, World, unexpected};
use crate::programs::log::Note;
use crate::programs::operation::{BLOCK, BYTES, Operation};

/// A captured program: its operations, the object that it pins, and that of its private memory.
pub(super) struct Captured {
    executable: Executable,
    pinned: usize,
    private: usize,
    operations: Vec<Operation>,
}

impl World {
    pub(super) fn renew(&mut self, name: usize, line: usize) -> Outcome {
        let fresh = match self.device.allocate(BYTES, &self.stream(line)) {
            Ok(fresh) => fresh,
            Err(error) => return self.starve(&error),
        };
        let object = self.names[name];
        self.objects[object] = None;
        self.log.push(Note::Gone { object });
        self.names[name] = self.bear(Some(fresh));
        Ok(())
    }

    /// A new object.
    pub(super) fn bear(&mut self, buffer: Option<Buffer>) -> usize {
        let object = self.objects.len();
        self.log.push(Note::Born { object });
        self.objects.push(buffer);
        object
    }

    pub(super) fn forget(&mut self, graph: usize) {
        if let Some(Captured { private, .. }) = self.graphs[graph].take() {
            self.log.push(Note::Gone { object: private });
        }
    }

    /// An allocation that failed for a reason that it may have.
    pub(super) fn starve(&mut self, error: &Error) -> Outcome {
        self.summary.starved += 1;
        match error.kind() {
            ErrorKind::OutOfMemory => Ok(()),
            ErrorKind::DeviceLost if self.summary.lost => Ok(()),
            _ => Err(unexpected("an allocation", error)),
        }
    }

    pub(super) fn host_write(&mut self, name: usize, byte: u8) -> Outcome {
        let object = self.names[name];
        let buffer = self.objects[object].as_ref().expect("a name is of a buffer");
        match buffer.write(BLOCK, &[byte; BLOCK]) {
            Ok(()) => self.log.push(Note::HostWrite { object, byte }),
            Err(error) if error.kind() == ErrorKind::Busy => {}
            Err(error) => return Err(unexpected("a host write", &error)),
        }
        Ok(())
    }

    pub(super) fn host_read(&mut self, object: usize) -> Outcome {
        let Some(buffer) = &self.objects[object] else { return Ok(()) };
        let mut bytes = vec![0; BYTES];
        match buffer.read(0, &mut bytes) {
            Ok(()) => self.log.push(Note::HostRead { object, bytes }),
            Err(error) => match error.kind() {
                ErrorKind::Busy => {}
                ErrorKind::Poisoned => self.log.push(Note::ReadPoisoned { object }),
                _ => return Err(unexpected("a host read", &error)),
            },
        }
        Ok(())
    }

    /// One run from parameter 0 through private memory to parameter 1, with more in between.
    pub(super) fn capture(
        &mut self,
        graph: usize,
        pinned: usize,
        operations: &[Operation],
    ) -> Outcome {
        let refused = |error: Error| unexpected("a capture", &error);
        let first = Operation::CopyAll { from: 0, to: 3 };
        let last = Operation::CopyAll { from: 3, to: 1 };
        let legal = operations.iter().copied().filter(|operation| operation.is_legal());
        let operations: Vec<_> =
            std::iter::once(first).chain(legal).chain(std::iter::once(last)).collect();
        let pinned = self.names[pinned];
        let buffer = self.objects[pinned].as_ref().expect("a name is of a buffer").clone();
        let mut capture = self.own.begin_capture().map_err(refused)?;
        let mut views = vec![capture.parameter(BYTES), capture.parameter(BYTES)];
        views.push(buffer.view());
        views.push(capture.private(BYTES));
        for operation in &operations {
            self.own.submit(operation.command(&views)).map_err(refused)?;
        }
        let made = capture.end().map_err(refused)?;
        let own = self.own.until(&self.deadline());
        let executable = match made.instantiate(&self.device, &own) {
            Ok(executable) => executable,
            Err(error) => return self.starve(&error),
        };
        self.forget(graph);
        let private = self.bear(None);
        self.graphs[graph] = Some(Captured { executable, pinned, private, operations });
        Ok(())
    }

    pub(super) fn launch(&mut self, graph: usize, line: usize, from: usize, to: usize) -> Outcome {
        let Some(captured) = &self.graphs[graph] else { return Ok(()) };
        let objects = vec![self.names[from], self.names[to], captured.pinned, captured.private];
        if from == to || objects[..2].contains(&captured.pinned) {
            return Ok(());
        }
        let views = self.views();
        let parameters = [views[from].clone(), views[to].clone()];
        let launched = self.stream(line).launch(&captured.executable, &parameters);
        let operations = captured.operations.clone();
        match launched {
            Ok(()) => self.accept(line, operations, objects, |_| ()),
            Err(error) => self.refuse(line, objects, &error),
        }
    }
}
