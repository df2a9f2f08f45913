"""Whole networks beside what a user would run instead.

    networks.py FOLDER PROGRAM [NAME...]   networks that `cargo xtask zoo` exported into FOLDER, or
                                           those whose name has NAME in it; a row of a table for each

One and two callers, a second each, with the batch that was exported, or one where the file leaves it
open. ONNX Runtime and OpenVINO have the settings that suit that number best, and the faster one
counts: both cores for one caller; for two, one core for each as well.
"""

import json
import pathlib
import subprocess
import sys
import threading
import time

import numpy as np
import onnxruntime
import openvino

SECONDS = 1.0


def rate(make, callers):
    """Passes per second of so many threads, each with what `make` returns."""
    calls = [make() for _ in range(callers)]
    for call in 2 * calls:
        call()
    counts, start = [0] * callers, time.perf_counter()

    def work(index):
        while time.perf_counter() < start + SECONDS:
            calls[index]()
            counts[index] += 1

    threads = [threading.Thread(target=work, args=(index,)) for index in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - start)


def onnx_runtime(model, x, cores, callers):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: x}
    return rate(lambda: lambda: session.run(None, feed), callers)


def open_vino(model, x, streams):
    core = openvino.Core()
    network = core.read_model(model)
    network.reshape({network.inputs[0]: list(x.shape)})
    compiled = core.compile_model(network, "CPU", {
        "NUM_STREAMS": str(streams),
        "INFERENCE_NUM_THREADS": 2,
        "INFERENCE_PRECISION_HINT": "f32",
    })

    def request():
        request = compiled.create_infer_request()
        request.set_input_tensor(0, openvino.Tensor(x, shared_memory=True))
        return request.infer

    return rate(request, streams)


def ours(program, model, batch):
    command = [program, "bench", "model", model, "--threads", "1,2", "--batch", str(batch)]
    command += ["--seconds", str(SECONDS), "--json"]
    rows = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return [row["passes_per_s"] for row in rows]


def row(folder, program):
    model, x = folder / "model.onnx", np.load(folder / "x.npy")
    shape = onnxruntime.InferenceSession(model).get_inputs()[0].shape
    x = x[:1] if isinstance(shape[0], str) else x
    one = max(onnx_runtime(model, x, 2, 1), open_vino(model, x, 1))
    two = max(one, onnx_runtime(model, x, 1, 2), open_vino(model, x, 2))
    rates = ours(program, model, len(x))
    name = folder.name.rsplit("-", 1)[0]
    cells = [f"{rate:.0f} | {rate / peer:.2f}" for rate, peer in zip(rates, (one, two))]
    return f"| {name} | {'×'.join(map(str, x.shape))} | {' | '.join(cells)} |"


def main(folder, program, *names):
    print("| network | input | one caller, passes/s | of the faster peer | two callers | of the faster peer |")
    print("|---|---|--:|--:|--:|--:|")
    for path in sorted(pathlib.Path(folder).glob("*-torchscript")):
        if (path / "complete").exists() and (not names or any(name in path.name for name in names)):
            print(row(path, program), flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
