//! Graphs, their executables and launches: §1.10.

use anabranch_rt::{Buffer, Command, Device, ErrorKind, Executable, Stream};

use super::scene::{Log, NEVER, Standing, open, pair, refused};
use super::{Broken, Need, Outcome, Promise, Subject, ensure};

pub(super) const PROMISES: &[Promise] = &[
    Promise::new("Graph-1", "What is captured does not run.", nothing_runs),
    Promise::new("Graph-2", "What a capture forbids is refused, and it goes on.", forbidden),
    Promise::new("Graph-3", "A capture that is dropped leaves the stream as it was.", dropped),
    Promise::new("Graph-4", "A launch does what its commands do, in their order.", launched)
        .needs(Need::Contents),
    Promise::new("Graph-5", "A launch is one command of its stream.", one_command)
        .needs(Need::Contents),
    Promise::new("Graph-6", "Launches of one executable follow each other.", one_at_a_time)
        .needs(Need::Contents),
    Promise::new("Graph-7", "Every executable has private memory of its own.", private),
    Promise::new("Graph-8", "Parameters that do not fit are refused.", parameters),
    Promise::new("Graph-9", "What is dropped in flight ends; outputs stay.", in_flight)
        .needs(Need::Contents),
    Promise::new("Graph-10", "A graph of nothing is legal.", empty),
    Promise::left_out(
        "Graph-11",
        "A capture forks over several streams.",
        "a capture that forks is left out",
    ),
    Promise::left_out(
        "Graph-12",
        "An executable is updated from another graph.",
        "parameters are bound at each launch instead",
    ),
];

const BYTES: usize = 128;

/// A graph that reverses nothing and copies its first parameter to its second, by way of private
/// memory.
fn copier(device: &Device, stream: &Stream) -> Result<Executable, anabranch_rt::Error> {
    let mut capture = stream.begin_capture()?;
    let (from, to) = (capture.parameter(BYTES), capture.parameter(BYTES));
    let between = capture.private(BYTES);
    stream.submit(Command::copy(from, between.clone()))?;
    stream.submit(Command::copy(between, to))?;
    capture.end()?.instantiate(device, stream)
}

fn filled(device: &Device, byte: u8) -> Result<Buffer, anabranch_rt::Error> {
    let buffer = device.allocate_host(BYTES)?;
    buffer.write(0, &[byte; BYTES])?;
    Ok(buffer)
}

fn expect(buffer: &Buffer, byte: u8) -> Outcome {
    let mut bytes = [0; BYTES];
    buffer.read(0, &mut bytes)?;
    ensure(bytes == [byte; BYTES], || format!("{bytes:?}, not {byte}"))
}

fn nothing_runs(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    let buffer = filled(&device, 1)?;
    let capture = lease.begin_capture()?;
    lease.submit(Command::fill(buffer.view(), 2))?;
    device.synchronize(&NEVER)?;
    let graph = capture.end()?;
    ensure(graph.node_count() == 1, || format!("{graph:?}"))?;
    lease.synchronize(&NEVER)?;
    expect(&buffer, 1)
}

fn forbidden(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    let buffer = filled(&device, 1)?;
    let capture = lease.begin_capture()?;
    refused(lease.begin_capture(), ErrorKind::Capturing)?;
    refused(lease.synchronize(&NEVER), ErrorKind::Capturing)?;
    refused(lease.query(), ErrorKind::Capturing)?;
    refused(lease.host(|| Ok(())), ErrorKind::Capturing)?;
    refused(device.allocate(BYTES, &lease), ErrorKind::Capturing)?;
    lease.submit(Command::fill(buffer.view(), 2))?;
    let graph = capture.end()?;
    ensure(graph.node_count() == 1, || format!("{graph:?}"))
}

fn dropped(subject: &'static dyn Subject) -> Outcome {
    let (device, log) = (open(subject), Log::new());
    let lease = device.lease_now()?;
    let buffer = filled(&device, 1)?;
    let capture = lease.begin_capture()?;
    lease.submit(Command::fill(buffer.view(), 2))?;
    drop(capture);
    log.host(&lease, 1)?;
    lease.synchronize(&NEVER)?;
    log.expect(&[1])?;
    expect(&buffer, 1)?;
    drop(buffer);
    ensure(device.memory_stats().live_count == 0, || "the capture holds memory".to_owned())
}

fn launched(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    let executable = copier(&device, &lease)?;
    for byte in 0..10 {
        let (from, to) = (filled(&device, byte)?, filled(&device, !byte)?);
        lease.launch(&executable, &[from.view(), to.view()])?;
        lease.synchronize(&NEVER)?;
        expect(&to, byte)?;
    }
    Ok(())
}

fn one_command(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    let executable = copier(&device, &lease)?;
    let (from, to, after) = (filled(&device, 0)?, filled(&device, 0)?, filled(&device, 0)?);
    lease.submit(Command::fill(from.view(), 3))?;
    lease.launch(&executable, &[from.view(), to.view()])?;
    lease.submit(Command::copy(to.view(), after.view()))?;
    lease.submit(Command::fill(from.view(), 4))?;
    lease.synchronize(&NEVER)?;
    expect(&after, 3)
}

fn one_at_a_time(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let (first, second) = pair(&device)?;
    let executable = copier(&device, &first)?;
    let mut outputs = Vec::new();
    for byte in 0..20 {
        let stream = if byte % 2 == 0 { &first } else { &second };
        let (from, to) = (filled(&device, byte)?, filled(&device, !byte)?);
        stream.launch(&executable, &[from.view(), to.view()])?;
        outputs.push((byte, to));
    }
    device.synchronize(&NEVER)?;
    outputs.iter().try_for_each(|(byte, to)| expect(to, *byte))
}

fn private(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    let mut capture = lease.begin_capture()?;
    let private = capture.private(BYTES);
    lease.submit(Command::fill(private, 1))?;
    let graph = capture.end()?;
    ensure(BYTES <= graph.private_bytes(), || format!("{}", graph.private_bytes()))?;
    let executables = [graph.instantiate(&device, &lease)?, graph.instantiate(&device, &lease)?];
    let live = device.memory_stats().live_count;
    ensure(live == 2, || format!("{live} blocks for two"))?;
    drop((executables, graph));
    ensure(device.memory_stats().live_count == 0, || "it is not given back".to_owned())
}

fn parameters(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    let executable = copier(&device, &lease)?;
    let (from, to) = (filled(&device, 1)?, filled(&device, 2)?);
    let short = from.slice(0, BYTES / 2)?;
    for wrong in [vec![], vec![from.view()], vec![short, to.view()], vec![to.view(), to.view()]] {
        refused(lease.launch(&executable, &wrong), ErrorKind::InvalidArgument)?;
    }
    lease.launch(&executable, &[from.view(), to.view()])?;
    Ok(lease.synchronize(&NEVER)?)
}

fn in_flight(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    let executable = copier(&device, &lease)?;
    let standing = Standing::on(&lease);
    let to = device.allocate(BYTES, &lease)?;
    {
        let from = filled(&device, 9)?;
        lease.launch(&executable, &[from.view(), to.view()])?;
    }
    drop(executable);
    standing.let_go()?;
    lease.synchronize(&NEVER)?;
    expect(&to, 9)
}

fn empty(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    let graph = lease.begin_capture()?.end()?;
    let executable = graph.instantiate(&device, &lease)?;
    lease.launch(&executable, &[])?;
    lease.synchronize(&NEVER)?;
    let nodes = executable.graph().node_count();
    if nodes == 0 { Ok(()) } else { Err(Broken(format!("{nodes} nodes"))) }
}
