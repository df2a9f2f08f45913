//! Buffers and views: §1.8.

use anabranch_rt::{Command, ErrorKind};

use super::scene::{NEVER, Standing, doom, open, pair, refused};
use super::{Need, Outcome, Promise, Subject, ensure};

pub(super) const PROMISES: &[Promise] = &[
    Promise::new("Buffer-1", "What the host writes it reads.", host_access),
    Promise::new("Buffer-2", "A range that leaves the buffer is refused.", ranges),
    Promise::new("Buffer-3", "A view keeps its buffer alive.", views),
    Promise::new("Buffer-4", "Commands that share a buffer are ordered by it.", ordered)
        .needs(Need::Contents),
    Promise::new("Buffer-5", "A host write comes before a later command.", host_first)
        .needs(Need::Contents),
    Promise::new("Buffer-6", "Host access beside a command in flight is refused.", busy),
    Promise::new("Buffer-7", "An address is stable.", address),
    Promise::new("Buffer-8", "What a failed command was to write is not read.", poisoned),
    Promise::new("Buffer-9", "A whole write, or saying so, makes it valid again.", valid_again),
    Promise::new("Buffer-10", "A frozen buffer is read by all and written by nobody.", frozen),
    Promise::new("Buffer-11", "A buffer of another device is refused.", foreign),
    Promise::new("Buffer-12", "A buffer is dropped after the shutdown.", late),
    Promise::left_out(
        "Buffer-13",
        "A buffer can be exported.",
        "export and sharing of memory between processes are left out",
    ),
];

fn host_access(subject: &'static dyn Subject) -> Outcome {
    let buffer = open(subject).allocate_host(8)?;
    buffer.write(0, &[1, 2, 3, 4, 5, 6, 7, 8])?;
    buffer.write(2, &[9])?;
    let mut found = [0; 3];
    buffer.read(1, &mut found)?;
    ensure(found == [2, 9, 4], || format!("{found:?}"))
}

fn ranges(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let buffer = device.allocate_host(8)?;
    refused(buffer.slice(4, 5), ErrorKind::InvalidArgument)?;
    refused(buffer.slice(usize::MAX, 2), ErrorKind::InvalidArgument)?;
    refused(buffer.write(8, &[1]), ErrorKind::InvalidArgument)?;
    refused(buffer.read(7, &mut [0; 2]), ErrorKind::InvalidArgument)?;
    let (whole, part) = (buffer.view(), buffer.slice(4, 4)?);
    refused(device.default_stream().submit(Command::copy(whole, part)), ErrorKind::InvalidArgument)
}

fn views(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let buffer = device.allocate_host(64)?;
    let view = buffer.slice(8, 8)?;
    drop(buffer);
    let live = device.memory_stats().live_count;
    ensure(live == 1, || format!("{live} are alive"))?;
    device.default_stream().submit(Command::fill(view, 1))?;
    device.synchronize(&NEVER)?;
    let live = device.memory_stats().live_count;
    ensure(live == 0, || format!("{live} are alive"))
}

fn ordered(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let (first, second) = pair(&device)?;
    let (from, to) = (device.allocate(256, &first)?, device.allocate(256, &second)?);
    for byte in 0..20 {
        first.submit(Command::fill(from.view(), byte))?;
        second.submit(Command::copy(from.view(), to.view()))?;
    }
    device.synchronize(&NEVER)?;
    let mut bytes = [0; 256];
    to.read(0, &mut bytes)?;
    ensure(bytes == [19; 256], || format!("{bytes:?}"))
}

fn host_first(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    let (from, to) = (device.allocate_host(64)?, device.allocate_host(64)?);
    for byte in 0..20 {
        from.write(0, &[byte; 64])?;
        lease.submit(Command::copy(from.view(), to.view()))?;
        lease.synchronize(&NEVER)?;
        let mut bytes = [0; 64];
        to.read(0, &mut bytes)?;
        ensure(bytes == [byte; 64], || format!("{bytes:?}, not {byte}"))?;
    }
    Ok(())
}

fn busy(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    let (read, written) = (device.allocate_host(64)?, device.allocate_host(64)?);
    let standing = Standing::on(&lease);
    lease.submit(Command::copy(read.view(), written.view()))?;
    refused(written.write(0, &[1]), ErrorKind::Busy)?;
    refused(written.read(0, &mut [0]), ErrorKind::Busy)?;
    refused(read.write(0, &[1]), ErrorKind::Busy)?;
    refused(read.freeze(), ErrorKind::Busy)?;
    read.read(0, &mut [0])?;
    standing.let_go()?;
    lease.synchronize(&NEVER)?;
    written.read(0, &mut [0])?;
    Ok(read.write(0, &[1])?)
}

fn address(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let lease = device.lease_now()?;
    let buffer = device.allocate(64, &lease)?;
    let before = buffer.address();
    lease.submit(Command::fill(buffer.view(), 1))?;
    lease.synchronize(&NEVER)?;
    device.trim()?;
    ensure(before == buffer.clone().address(), || "it moved".to_owned())
}

/// Writes a buffer behind a command that fails.
fn spoil(
    device: &anabranch_rt::Device,
) -> Result<(anabranch_rt::Lease, anabranch_rt::Buffer), super::Broken> {
    let lease = device.lease_now()?;
    let buffer = device.allocate_host(64)?;
    buffer.write(0, &[1; 64])?;
    let standing = Standing::on(&lease);
    doom(&lease, "doomed")?;
    lease.submit(Command::fill(buffer.slice(0, 8)?, 2))?;
    standing.let_go()?;
    refused(lease.synchronize(&NEVER), ErrorKind::CommandFailed)?;
    Ok((lease, buffer))
}

fn poisoned(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let (_lease, buffer) = spoil(&device)?;
    let other = device.lease_now()?;
    refused(buffer.read(0, &mut [0]), ErrorKind::Poisoned)?;
    let target = device.allocate_host(64)?;
    let copy = || Command::copy(buffer.view(), target.view());
    refused(other.submit(copy()), ErrorKind::Poisoned)?;
    buffer.write(0, &[3; 8])?;
    refused(buffer.read(0, &mut [0]), ErrorKind::Poisoned)?;
    other.submit(Command::fill(target.view(), 4))?;
    Ok(other.synchronize(&NEVER)?)
}

fn valid_again(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let (_first, said) = spoil(&device)?;
    said.assume_valid()?;
    said.read(0, &mut [0])?;
    let (_second, written) = spoil(&device)?;
    let other = device.lease_now()?;
    other.submit(Command::fill(written.view(), 5))?;
    other.synchronize(&NEVER)?;
    Ok(written.read(0, &mut [0])?)
}

fn frozen(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let (first, second) = pair(&device)?;
    let (from, to) = (device.allocate_host(64)?, device.allocate_host(64)?);
    from.write(0, &[1; 64])?;
    from.freeze()?;
    refused(from.write(0, &[2]), ErrorKind::InvalidArgument)?;
    refused(first.submit(Command::fill(from.view(), 2)), ErrorKind::InvalidArgument)?;
    first.submit(Command::copy(from.view(), to.view()))?;
    second.submit(Command::copy(from.view(), device.allocate(64, &second)?.view()))?;
    device.synchronize(&NEVER)?;
    Ok(to.read(0, &mut [0])?)
}

fn foreign(subject: &'static dyn Subject) -> Outcome {
    let (device, other) = (open(subject), open(subject));
    let lease = device.lease_now()?;
    let buffer = other.allocate_host(64)?;
    refused(lease.submit(Command::fill(buffer.view(), 1)), ErrorKind::CrossDevice)?;
    refused(device.allocate(64, &other.default_stream()), ErrorKind::CrossDevice)?;
    lease.host(|| Ok(()))?;
    Ok(lease.synchronize(&NEVER)?)
}

fn late(subject: &'static dyn Subject) -> Outcome {
    let device = open(subject);
    let buffer = device.allocate_host(64)?;
    device.shutdown(&NEVER)?;
    buffer.read(0, &mut [0])?;
    drop(buffer);
    ensure(device.memory_stats().live_count == 0, || format!("{:?}", device.memory_stats()))
}
