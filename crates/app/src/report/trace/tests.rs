use anabranch::{Command, Deadline, DeviceOptions, RuntimeLimits, open_device};
use anabranch_hal::device::QueueId;
use serde_json::Value;

use crate::callers::Watch;
use crate::report::progress::{Bar, Onlooker};

use super::{Events, OutputFile, TraceRecord, TraceWriter};

fn ran(stream: u64, first: u64, last: u64, start_ns: u64, end_ns: u64) -> TraceRecord {
    TraceRecord::Ran { label: "conv", stream: QueueId(stream), first, last, start_ns, end_ns }
}

fn parse(events: &Events) -> Vec<Value> {
    serde_json::from_str(&format!("[{}]", events.text)).unwrap()
}

#[test]
fn a_slice_has_a_row_with_a_name() {
    let mut events = Events::default();
    events.record(ran(7, 1, 2, 1500, 4000));
    events.record(ran(7, 3, 3, 4000, 4001));
    let events = parse(&events);
    assert_eq!(events.len(), 4, "two slices, and the name and the place of their row");
    assert_eq!(events[0]["args"]["name"], "stream 7");
    let slice = &events[2];
    assert_eq!((&slice["ph"], &slice["tid"]), (&"X".into(), &7.into()));
    assert_eq!((slice["ts"].as_f64(), slice["dur"].as_f64()), (Some(1.5), Some(2.5)));
}

#[test]
fn an_arrow_waits_for_both_of_its_ends() {
    let mut events = Events::default();
    events.record(ran(2, 1, 1, 9000, 9500));
    let (stream, producer) = (QueueId(2), QueueId(1));
    events.record(TraceRecord::Waited { stream, value: 1, producer, awaited: 5 });
    events.resolve();
    assert_eq!(events.unresolved(), 1);
    events.record(ran(1, 4, 6, 1000, 8000));
    events.resolve();
    assert_eq!(events.unresolved(), 0);
    let events = parse(&events);
    let flows: Vec<_> = events.iter().filter(|event| event["cat"] == "wait").collect();
    assert_eq!(flows.len(), 2);
    assert_eq!((&flows[0]["ph"], &flows[0]["tid"]), (&"s".into(), &1.into()));
    assert_eq!((&flows[1]["ph"], &flows[1]["tid"]), (&"f".into(), &2.into()));
    assert_eq!(flows[0]["id"], flows[1]["id"]);
    assert_eq!((flows[0]["ts"].as_f64(), flows[1]["ts"].as_f64()), (Some(7.999), Some(9.0)));
}

#[test]
fn a_device_writes_a_file_that_parses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    let limits = RuntimeLimits { trace_records_max: 64, ..RuntimeLimits::default() };
    let device =
        open_device("cpu:0", &DeviceOptions { limits, ..DeviceOptions::default() }).unwrap();
    let mut writer = TraceWriter::new(OutputFile::create(&path).unwrap(), &device).unwrap();
    let (first, second) = (device.lease_now().unwrap(), device.lease_now().unwrap());
    let buffer = device.allocate(1 << 20, &first).unwrap();
    first.submit(Command::fill(buffer.view(), 1)).unwrap();
    second.wait(&first.record().unwrap()).unwrap();
    second.submit(Command::fill(buffer.view(), 2)).unwrap();
    second.synchronize(&Deadline::NEVER).unwrap();
    writer.drain().unwrap();
    assert_eq!(writer.finish().unwrap(), 0);
    let trace: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let slices = events.iter().filter(|event| event["ph"] == "X" && event["name"] == "fill");
    assert_eq!(slices.count(), 2);
    assert_eq!(trace["otherData"]["dropped_records"], 0);
}

#[test]
fn looking_in_keeps_records_from_being_lost() {
    let folder = tempfile::tempdir().unwrap();
    let limits = RuntimeLimits { trace_records_max: 4, ..RuntimeLimits::default() };
    let device =
        open_device("null:0", &DeviceOptions { limits, ..DeviceOptions::default() }).unwrap();
    let stream = device.default_stream();
    let buffer = device.allocate(64, &stream).unwrap();
    let submit = |commands: usize| {
        for _ in 0..commands {
            stream.submit(Command::fill(buffer.view(), 1)).unwrap();
        }
        stream.synchronize(&Deadline::NEVER).unwrap();
    };
    let file = OutputFile::create(&folder.path().join("trace.json")).unwrap();
    let mut writer = TraceWriter::new(file, &device).unwrap();
    let mut onlooker = Onlooker::new(Bar::hidden(), Some(&mut writer));
    for _ in 0..4 {
        submit(3);
        onlooker.look(0);
    }
    onlooker.finish().unwrap();
    submit(7);
    assert_eq!(writer.finish().unwrap(), 3, "only what nobody drained is lost");
}
