"""What PyTorch's streams, events and memory cost on a card, beside `bench ops` of the program.

    costs.py [SECONDS]     times of one caller and of eight, SECONDS for each figure

Each sample is a batch of equal acts between two readings of the clock, as `bench ops` takes it.
"""

import sys
import threading
import time

import torch

CALLERS = (1, 8)
BATCH = 32


class Lane:
    """Streams of one caller, a small kernel, and a graph of eight of them."""

    def __init__(self):
        self.stream, self.other = torch.cuda.Stream(), torch.cuda.Stream()
        self.event = torch.cuda.Event()
        with torch.cuda.stream(self.stream):
            self.x = torch.zeros(32, device="cuda")
            torch.relu_(self.x)
        self.stream.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=self.stream):
            for _ in range(8):
                torch.relu_(self.x)
        self.event.record(self.stream)
        torch.cuda.synchronize()


def allocate(lane):
    with torch.cuda.stream(lane.stream):
        start = time.perf_counter_ns()
        for _ in range(BATCH):
            torch.empty(1024, device="cuda")
        return (time.perf_counter_ns() - start) / BATCH


def record(lane):
    start = time.perf_counter_ns()
    for _ in range(BATCH):
        lane.event.record(lane.stream)
    return (time.perf_counter_ns() - start) / BATCH


def wait(lane):
    start = time.perf_counter_ns()
    for _ in range(BATCH):
        lane.other.wait_event(lane.event)
    return (time.perf_counter_ns() - start) / BATCH


def launch(lane):
    with torch.cuda.stream(lane.stream):
        start = time.perf_counter_ns()
        for _ in range(BATCH):
            torch.relu_(lane.x)
        taken = time.perf_counter_ns() - start
    lane.stream.synchronize()
    return taken / BATCH


def query(lane):
    start = time.perf_counter_ns()
    for _ in range(BATCH):
        lane.stream.query()
    return (time.perf_counter_ns() - start) / BATCH


def synchronize(lane):
    start = time.perf_counter_ns()
    for _ in range(BATCH):
        lane.stream.synchronize()
    return (time.perf_counter_ns() - start) / BATCH


def launch_and_wait(lane):
    with torch.cuda.stream(lane.stream):
        start = time.perf_counter_ns()
        torch.relu_(lane.x)
        lane.stream.synchronize()
        return time.perf_counter_ns() - start


def graph_and_wait(lane):
    with torch.cuda.stream(lane.stream):
        start = time.perf_counter_ns()
        lane.graph.replay()
        lane.stream.synchronize()
        return time.perf_counter_ns() - start


ACTS = {
    "submit one kernel": launch,
    "record": record,
    "wait": wait,
    "query stream": query,
    "synchronize, idle": synchronize,
    "one kernel and its end": launch_and_wait,
    "a graph of 8 and its end": graph_and_wait,
    "allocate and free, 4 KiB": allocate,
}


def measure(act, lanes, seconds):
    """Samples of all callers together."""
    begin, samples = threading.Barrier(len(lanes)), []

    def call(lane):
        own = []
        for _ in range(3):
            act(lane)
        begin.wait()
        stop = time.perf_counter() + seconds
        while not own or time.perf_counter() < stop:
            own.append(act(lane))
        samples.append(own)

    callers = [threading.Thread(target=call, args=(lane,)) for lane in lanes]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    joined = sorted(sum(samples, []))
    return joined[len(joined) // 2], joined[len(joined) * 99 // 100]


def main(seconds):
    lanes = [Lane() for _ in range(max(CALLERS))]
    print(f"PyTorch {torch.__version__} on {torch.cuda.get_device_name()}, microseconds")
    print(f"{'act':26}" + "".join(f" {count} callers p50      p99" for count in CALLERS))
    for name, act in ACTS.items():
        cells = [measure(act, lanes[:count], seconds) for count in CALLERS]
        print(f"{name:26}" + "".join(f" {p50 / 1e3:13.2f} {p99 / 1e3:8.2f}" for p50, p99 in cells))


main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.2)
