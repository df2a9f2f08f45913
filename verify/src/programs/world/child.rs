//! What a forked child finds of a program that its parent is in the middle of: nothing that it may
//! use, and nothing that it may not drop.

use anabranch_rt::{
    Command, CommitMode, Deadline, Error, ErrorKind, EventStats, MemoryStats, StreamStats,
};

use super::World;
use crate::programs::GRAPHS;
use crate::programs::log::Note;

impl World {
    /// Whether every call is refused, of a child, after which everything is dropped. Only for a
    /// child: it takes the world apart.
    pub(in crate::programs) fn is_inert(&mut self) -> bool {
        let inert = self.streams_refuse() && self.objects_refuse() && self.device_refuses();
        self.graphs = [const { None }; GRAPHS];
        self.log.clear();
        self.objects.clear();
        self.lines.clear();
        inert
    }

    fn streams_refuse(&self) -> bool {
        let never = Deadline::NEVER;
        self.lines.iter().all(|line| {
            let stream = &line.lease;
            refused(stream.host(|| Ok(())))
                && refused(stream.record())
                && refused(stream.record_timed())
                && refused(stream.query())
                && refused(stream.flush(CommitMode::Now))
                && refused(stream.synchronize(&never))
                && refused(stream.on_complete(|_| ()))
                && refused(stream.reset_after_error())
                && refused(stream.begin_capture())
        })
    }

    fn objects_refuse(&self) -> bool {
        let buffers = self.objects.iter().flatten().all(|buffer| {
            let fill = Command::fill(buffer.view(), 1);
            refused(buffer.read(0, &mut [0]))
                && refused(buffer.write(0, &[0]))
                && refused(buffer.freeze())
                && refused(self.lines[0].lease.submit(fill))
        });
        let snapshots = self.log.iter().all(|note| match note {
            Note::Command(command) => {
                refused(command.snapshot.query())
                    && refused(command.snapshot.synchronize(&Deadline::NEVER))
                    && refused(self.lines[0].lease.wait(&command.snapshot))
            }
            _ => true,
        });
        buffers && snapshots
    }

    fn device_refuses(&self) -> bool {
        let (device, never) = (&self.device, Deadline::NEVER);
        refused(device.lease_now())
            && refused(device.share(1))
            && refused(device.allocate_host(64))
            && refused(device.trim())
            && refused(device.synchronize(&never))
            && refused(device.shutdown(&never))
            && device.memory_stats() == MemoryStats::default()
            && device.stream_stats() == StreamStats::default()
            && device.event_stats() == EventStats::default()
    }
}

fn refused<T>(result: Result<T, Error>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::ForkedChild)
}
