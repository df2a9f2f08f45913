//! Random programs over streams, buffers, events and graphs, compared byte for byte with a naive
//! interpreter that runs every command when it is submitted.
//!
//! Commands that share buffers are ordered by the runtime, so the order of submission is the
//! specification, whatever streams are used and whatever the device does first.
#![forbid(unsafe_code)]

use anabranch_hal::cpu::{self, CpuConfig};
use anabranch_hal::device::Device as Native;
use anabranch_hal::kernel::{Function, Kernel, StridedCopy, Unary};
use anabranch_hal::sim::{self, Config, SimControl};
use anabranch_rt::{
    Buffer, Command, CommitMode, Deadline, Device, ErrorKind, Executable, Lease, Limits, Snapshot,
    Stream, View,
};
use anabranch_sync::model::check_once;
use anabranch_sync::{Arc, Mutex, thread};
use proptest::prelude::*;

const BLOCK: usize = 64;
const BLOCKS: usize = 4;
const BYTES: usize = BLOCK * BLOCKS;
const BUFFERS: usize = 4;
const STREAMS: usize = 3;

/// One block of what an operation is given, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    operand: usize,
    block: usize,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Fill(Place, u8),
    FillAll(usize, u8),
    Copy(Place, Place),
    CopyAll(usize, usize),
    Reverse(Place, Place),
    Negate(Place, Place),
}

#[derive(Clone, Debug)]
enum Step {
    Run(usize, Op),
    Wait(usize, usize),
    Record(usize, usize),
    WaitFor(usize, usize),
    Flush(usize, u8),
    Query(usize),
    Renew(usize, usize, u8),
    HostWrite(usize, u8),
    HostRead(usize),
    Drive(u8),
    /// Operations over two parameters, a pinned buffer and private memory, in this order.
    Capture(usize, usize, Vec<Op>),
    Launch(usize, usize, [usize; 2]),
    Forget(usize),
}

fn place(operands: usize) -> impl Strategy<Value = Place> {
    (0..operands, 0..BLOCKS).prop_map(|(operand, block)| Place { operand, block })
}

fn op(operands: usize) -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (place(operands), any::<u8>()).prop_map(|(to, byte)| Op::Fill(to, byte)),
        1 => (0..operands, any::<u8>()).prop_map(|(to, byte)| Op::FillAll(to, byte)),
        4 => (place(operands), place(operands)).prop_map(|(from, to)| Op::Copy(from, to)),
        2 => (0..operands, 0..operands).prop_map(|(from, to)| Op::CopyAll(from, to)),
        3 => (place(operands), place(operands)).prop_map(|(from, to)| Op::Reverse(from, to)),
        3 => (place(operands), place(operands)).prop_map(|(from, to)| Op::Negate(from, to)),
        2 => place(operands).prop_map(|place| Op::Negate(place, place)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let stream = 0..STREAMS;
    let buffer = 0..BUFFERS;
    prop_oneof![
        14 => (stream.clone(), op(BUFFERS)).prop_map(|(stream, op)| Step::Run(stream, op)),
        1 => (stream.clone(), stream.clone()).prop_map(|(stream, on)| Step::Wait(stream, on)),
        1 => (0..2_usize, stream.clone()).prop_map(|(slot, stream)| Step::Record(slot, stream)),
        1 => (stream.clone(), 0..2_usize).prop_map(|(stream, slot)| Step::WaitFor(stream, slot)),
        3 => (stream.clone(), 0..3_u8).prop_map(|(stream, mode)| Step::Flush(stream, mode)),
        1 => stream.clone().prop_map(Step::Query),
        2 => (buffer.clone(), stream.clone(), any::<u8>())
            .prop_map(|(buffer, stream, byte)| Step::Renew(buffer, stream, byte)),
        1 => (buffer.clone(), any::<u8>()).prop_map(|(buffer, byte)| Step::HostWrite(buffer, byte)),
        1 => buffer.clone().prop_map(Step::HostRead),
        3 => (1..4_u8).prop_map(Step::Drive),
        1 => (0..2_usize, buffer.clone(), prop::collection::vec(op(4), 0..6))
            .prop_map(|(slot, pinned, ops)| Step::Capture(slot, pinned, ops)),
        3 => (0..2_usize, stream, [buffer.clone(), buffer])
            .prop_map(|(slot, stream, operands)| Step::Launch(slot, stream, operands)),
        1 => (0..2_usize).prop_map(Step::Forget),
    ]
}

fn program(steps_max: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..steps_max)
}

impl Op {
    /// Whether the runtime has to accept it.
    fn is_legal(self) -> bool {
        match self {
            Op::Fill(..) | Op::FillAll(..) | Op::Negate(..) => true,
            Op::Copy(from, to) | Op::Reverse(from, to) => from != to,
            Op::CopyAll(from, to) => from != to,
        }
    }

    fn command(self, operands: &[View]) -> Command {
        let view = |place: Place| {
            operands[place.operand].slice(place.block * BLOCK, BLOCK).expect("inside")
        };
        match self {
            Op::Fill(to, byte) => Command::fill(view(to), byte),
            Op::FillAll(to, byte) => Command::fill(operands[to].clone(), byte),
            Op::Copy(from, to) => Command::copy(view(from), view(to)),
            Op::CopyAll(from, to) => Command::copy(operands[from].clone(), operands[to].clone()),
            Op::Reverse(from, to) => {
                let kernel = Kernel::StridedCopy(StridedCopy {
                    element_bytes: 1,
                    shape: vec![BLOCK],
                    source_offset: BLOCK - 1,
                    source_strides: vec![-1],
                    target_offset: 0,
                    target_strides: vec![1],
                });
                Command::kernel(Arc::new(kernel), vec![view(from), view(to)])
            }
            Op::Negate(from, to) => {
                let kernel = Kernel::Unary(Unary { function: Function::Neg, count: BLOCK / 4 });
                Command::kernel(Arc::new(kernel), vec![view(from), view(to)])
            }
        }
    }

    fn interpret(self, operands: &mut [Vec<u8>]) {
        let range = |place: Place| place.block * BLOCK..(place.block + 1) * BLOCK;
        let read =
            |operands: &[Vec<u8>], place: Place| operands[place.operand][range(place)].to_vec();
        match self {
            Op::Fill(to, byte) => operands[to.operand][range(to)].fill(byte),
            Op::FillAll(to, byte) => operands[to].fill(byte),
            Op::CopyAll(from, to) => operands[to] = operands[from].clone(),
            Op::Copy(from, to) => {
                let bytes = read(operands, from);
                operands[to.operand][range(to)].copy_from_slice(&bytes);
            }
            Op::Reverse(from, to) => {
                let mut bytes = read(operands, from);
                bytes.reverse();
                operands[to.operand][range(to)].copy_from_slice(&bytes);
            }
            Op::Negate(from, to) => {
                let mut bytes = read(operands, from);
                bytes.chunks_exact_mut(4).for_each(|word| word[3] ^= 0x80);
                operands[to.operand][range(to)].copy_from_slice(&bytes);
            }
        }
    }
}

/// A captured program: its operations, and the buffer that it pins.
struct Captured {
    executable: Executable,
    pinned: usize,
    ops: Vec<Op>,
}

/// A program under way: the real thing beside what it has to be.
struct World {
    device: Device,
    streams: Vec<Stream>,
    /// Of this program alone, because a capture takes a stream for itself.
    own: Lease,
    control: Option<SimControl>,
    /// Every buffer that ever was and may still be written, with its expected contents.
    objects: Vec<(Buffer, Vec<u8>)>,
    names: [usize; BUFFERS],
    snapshots: [Snapshot; 2],
    captured: [Option<Captured>; 2],
    drives: u64,
}

impl World {
    fn new(device: &Device, streams: Vec<Stream>, control: Option<SimControl>) -> Self {
        let mut world = Self {
            device: device.clone(),
            streams,
            own: device.lease_now().expect("there are streams enough"),
            control,
            objects: Vec::new(),
            names: [0; BUFFERS],
            snapshots: [Snapshot::EMPTY; 2],
            captured: [None, None],
            drives: 0,
        };
        for name in 0..BUFFERS {
            let buffer = device.allocate_host(BYTES).expect("there is memory enough");
            let contents: Vec<u8> =
                (0..BYTES).map(|at| (at * 7 + name * 31).to_le_bytes()[0]).collect();
            buffer.write(0, &contents).expect("nobody uses it");
            world.names[name] = world.objects.len();
            world.objects.push((buffer, contents));
        }
        world
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Run(stream, op) => self.submit(stream, op),
            Step::Wait(stream, on) => {
                let snapshot = self.streams[on].record().expect("the stream is well");
                self.streams[stream].wait(&snapshot).expect("the streams are well");
            }
            Step::Record(slot, stream) => {
                self.snapshots[slot] = self.streams[stream].record().expect("the stream is well");
            }
            Step::WaitFor(stream, slot) => {
                self.streams[stream].wait(&self.snapshots[slot]).expect("the streams are well");
            }
            Step::Flush(stream, mode) => {
                let modes = [CommitMode::Now, CommitMode::Continue, CommitMode::Adaptive];
                let mode = modes[usize::from(mode)].clone();
                self.streams[stream].flush(mode).expect("the stream is well");
            }
            Step::Query(stream) => {
                let done = self.streams[stream].query().expect("the stream is well");
                let again = self.streams[stream].query().expect("the stream is well");
                assert!(!done || again || 1 < self.drivers(), "EV-6");
            }
            Step::Renew(name, stream, byte) => {
                let buffer = self.device.allocate(BYTES, &self.streams[stream]).expect("memory");
                self.forget_if_unused(self.names[name]);
                self.names[name] = self.objects.len();
                self.objects.push((buffer, vec![0; BYTES]));
                self.submit(stream, Op::FillAll(name, byte));
            }
            Step::HostWrite(name, byte) => {
                let (buffer, expected) = &mut self.objects[self.names[name]];
                match buffer.write(BLOCK, &[byte; BLOCK]) {
                    Ok(()) => expected[BLOCK..2 * BLOCK].fill(byte),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Busy),
                }
            }
            Step::HostRead(name) => {
                let (buffer, expected) = &self.objects[self.names[name]];
                let mut contents = vec![0; BYTES];
                match buffer.read(0, &mut contents) {
                    Ok(()) => assert_eq!(&contents, expected),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Busy),
                }
            }
            Step::Drive(count) => self.drive(count),
            Step::Capture(slot, pinned, ref ops) => self.capture(slot, pinned, ops),
            Step::Launch(slot, stream, operands) => self.launch(slot, stream, operands),
            Step::Forget(slot) => self.captured[slot] = None,
        }
    }

    /// Threads that submit to the streams of this program.
    fn drivers(&self) -> usize {
        1 + self.device.stream_stats().leased.saturating_sub(STREAMS + 1)
    }

    fn submit(&mut self, stream: usize, op: Op) {
        let views: Vec<View> =
            self.names.iter().map(|object| self.objects[*object].0.view()).collect();
        let submitted = self.streams[stream].submit(op.command(&views));
        if !op.is_legal() {
            assert_eq!(submitted.map_err(|error| error.kind()), Err(ErrorKind::InvalidArgument));
            return;
        }
        submitted.expect("the command is right and the stream is well");
        let mut operands: Vec<Vec<u8>> =
            self.names.iter().map(|object| self.objects[*object].1.clone()).collect();
        op.interpret(&mut operands);
        for (object, contents) in self.names.iter().zip(operands) {
            self.objects[*object].1 = contents;
        }
    }

    /// A buffer that nothing names any longer is dropped with whatever is in flight on it.
    fn forget_if_unused(&mut self, object: usize) {
        let pinned = self.captured.iter().flatten().any(|captured| captured.pinned == object);
        if !pinned {
            let tiny = self.device.allocate_host(1).expect("memory");
            self.objects[object] = (tiny, Vec::new());
        }
    }

    /// One run from parameter 0 through private memory to parameter 1, with more in between.
    fn capture(&mut self, slot: usize, pinned: usize, ops: &[Op]) {
        let pinned = self.names[pinned];
        let (first, last) = (Op::CopyAll(0, 3), Op::CopyAll(3, 1));
        let ops: Vec<Op> = std::iter::once(first)
            .chain(ops.iter().copied().filter(|op| op.is_legal()))
            .chain(std::iter::once(last))
            .collect();
        let mut capture = self.own.begin_capture().expect("nobody else has this stream");
        let mut views = vec![capture.parameter(BYTES), capture.parameter(BYTES)];
        views.push(self.objects[pinned].0.view());
        views.push(capture.private(BYTES));
        for op in &ops {
            self.own.submit(op.command(&views)).expect("the command is right");
        }
        let graph = capture.end().expect("the runtime is open");
        assert_eq!(graph.node_count(), ops.len());
        let executable = graph.instantiate(&self.device, &self.own).expect("memory");
        self.captured[slot] = Some(Captured { executable, pinned, ops });
    }

    fn launch(&mut self, slot: usize, stream: usize, names: [usize; 2]) {
        let Some(captured) = &self.captured[slot] else { return };
        let objects = [self.names[names[0]], self.names[names[1]], captured.pinned];
        let views = [self.objects[objects[0]].0.view(), self.objects[objects[1]].0.view()];
        let launched = self.streams[stream].launch(&captured.executable, &views);
        let distinct = objects[0] != objects[1];
        if !distinct || objects[..2].contains(&captured.pinned) {
            // Whether that is refused depends on who writes what; it is only made sure that
            // nothing runs then.
            if launched.is_err() {
                return;
            }
            assert!(distinct, "parameter 1 is written");
        }
        launched.expect("the operands are right and the stream is well");
        let mut operands: Vec<Vec<u8>> =
            objects.iter().map(|object| self.objects[*object].1.clone()).collect();
        operands.push(vec![0; BYTES]);
        captured.ops.iter().for_each(|op| op.interpret(&mut operands));
        let aliased = objects[..2].contains(&captured.pinned);
        for (index, object) in objects.iter().enumerate() {
            // Only read, then: the parameter's own entry has what was written.
            if index < 2 || !aliased {
                self.objects[*object].1 = operands[index].clone();
            }
        }
    }

    /// Lets a device that waits for its control take some steps of its own choice.
    fn drive(&mut self, count: u8) {
        let Some(control) = &self.control else { return };
        for _ in 0..count {
            self.drives = self.drives.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (runnable, running) = (control.runnable(), control.running());
            let choices = runnable.len() + running.len();
            if choices == 0 {
                return;
            }
            let pick = (self.drives >> 33) as usize % choices;
            match runnable.get(pick) {
                Some(queue) => assert!(control.start(*queue)),
                None => assert!(control.finish(running[pick - runnable.len()])),
            }
        }
    }

    fn finish(self, seed: u64) {
        for stream in self.streams.iter().chain(std::iter::once(&*self.own)) {
            stream.flush(CommitMode::Now).expect("the stream is well");
        }
        if let Some(control) = &self.control {
            control.run_until_idle(seed);
            assert_eq!(control.pending(), 0, "LV-1: everything that was accepted ends");
        }
        for stream in self.streams.iter().chain(std::iter::once(&*self.own)) {
            stream.synchronize(&Deadline::NEVER).expect("the stream is well");
        }
        for (index, (buffer, expected)) in self.objects.iter().enumerate() {
            let mut contents = vec![0; expected.len()];
            buffer.read(0, &mut contents).expect("nothing runs");
            assert_eq!(&contents, expected, "SO-1, GR-9: object {index}");
        }
    }
}

fn leases(device: &Device) -> (Vec<Lease>, Vec<Stream>) {
    let leases: Vec<Lease> =
        (0..STREAMS).map(|_| device.lease_now().expect("there are streams enough")).collect();
    let streams = leases.iter().map(|lease| Stream::clone(lease)).collect();
    (leases, streams)
}

fn check(native: Box<dyn Native>, control: Option<SimControl>, limits: Limits, steps: &[Step]) {
    let device = Device::open(native, limits).expect("the device opens");
    let (leases, streams) = leases(&device);
    let mut world = World::new(&device, streams, control);
    steps.iter().for_each(|step| world.run(step));
    world.finish(steps.len() as u64);
    drop(leases);
    device.synchronize(&Deadline::NEVER).expect("the streams are well");
    device.trim().expect("the runtime is open");
    let stats = device.memory_stats();
    assert_eq!((stats.live_count, stats.reserved_bytes), (0, 0), "AL-13: {stats:?}");
    device.shutdown(&Deadline::NEVER).expect("nothing runs");
}

fn tight(in_flight_max: usize, commands_per_buffer_max: usize) -> Limits {
    Limits { in_flight_max, commands_per_buffer_max, ..Limits::default() }
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(300))]

    // What `World` asserts: SO-1, EV-6, AL-13, GR-9, LV-1, LV-3.
    #[test]
    fn a_device_that_runs_in_any_order_computes_the_same(
        steps in program(80),
        seed in any::<u64>(),
        lazy in any::<bool>(),
        in_flight_max in 1_usize..4,
        commands in 1_usize..6,
    ) {
        check_once(move || {
            let config = if lazy { Config::lazy(seed) } else { Config::automatic(seed) };
            let (native, _control) = sim::open(&config);
            check(native, None, tight(in_flight_max, commands), &steps);
        });
    }

    // What `World` asserts: SO-1, EV-6, AL-13, GR-9, LV-1, LV-3.
    #[test]
    fn a_device_that_dawdles_computes_the_same(
        steps in program(80),
        commands in 1_usize..6,
    ) {
        check_once(move || {
            let (native, control) = sim::open(&Config::manual());
            // Nobody runs anything while this thread waits, so it must never have to.
            check(native, Some(control), tight(1000, commands), &steps);
        });
    }
}

proptest! {
    #![proptest_config(config(60))]

    // What `World` asserts: SO-1, EV-6, AL-13, GR-9, LV-1, LV-3.
    #[test]
    fn the_processor_computes_the_same(
        steps in program(80),
        workers in 1_usize..4,
        in_flight_max in 1_usize..4,
        commands in 1_usize..6,
    ) {
        check_once(move || {
            let config = CpuConfig { workers, memory_bytes: 1 << 26, ..CpuConfig::default() };
            let native = cpu::open(&config).expect("a thread can be started");
            check(native, None, tight(in_flight_max, commands), &steps);
        });
    }

    // What `World` asserts: SO-1, AL-13, GR-9, LV-3.
    #[test]
    fn threads_that_share_streams_compute_the_same(
        programs in prop::collection::vec(program(60), 2..4),
        in_flight_max in 1_usize..4,
    ) {
        let programs = Arc::new(Mutex::new(programs));
        check_once(move || {
            let config = CpuConfig { workers: 2, memory_bytes: 1 << 26, ..CpuConfig::default() };
            let native = cpu::open(&config).expect("a thread can be started");
            let device = Device::open(native, tight(in_flight_max, 3)).expect("it opens");
            let (leases, streams) = leases(&device);
            let threads: Vec<_> = programs
                .lock()
                .iter()
                .map(|steps| {
                    let (device, streams, steps) = (device.clone(), streams.clone(), steps.clone());
                    thread::spawn(move || {
                        let mut world = World::new(&device, streams, None);
                        steps.iter().for_each(|step| world.run(step));
                        world.finish(0);
                    })
                })
                .collect();
            threads.into_iter().for_each(|thread| thread.join().expect("the program is right"));
            drop((leases, streams));
            device.shutdown(&Deadline::NEVER).expect("nothing runs");
        });
    }
}
