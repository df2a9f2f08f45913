"""What a user would run instead, measured beside anabranch.

    peers.py export FOLDER           writes the models, with inputs and results, into FOLDER
    peers.py measure FOLDER PROGRAM  runs PROGRAM and the peers; one JSON object for each cell
    peers.py cuda FOLDER PROGRAM     the same on a card of CUDA, against graphs of PyTorch
    peers.py run PEER MODEL THREADS PASSES SECONDS
                                     one peer in this process; one JSON object for each thread count
    peers.py draw CELLS PICTURE      draws what `measure` printed

Every peer gets the settings that suit the number of callers best: each of its settings is measured,
and the fastest one counts. All compute in f32. Repetitions of all programs take turns, and the
median counts, so that a slow minute of the machine hits everybody.
"""

import importlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import threading
import time

import numpy as np

SEED = 20240917
CASES = 8
THREADS = (1, 2, 4, 8)
REPEATS = 3
FIRST_REPEATS = 5

# The model, the shape of its input, and the passes of one measurement.
MODELS = {
    "A4": ("conv_bn", (4, 3, 32, 32), 1200),
    "A8": ("conv_bn", (8, 3, 64, 64), 150),
    "B4": ("conv_in", (4, 3, 32, 32), 1200),
    "B8": ("conv_in", (8, 3, 64, 64), 150),
    "C1": ("mlp", (1, 512), 6000),
    "C8": ("mlp", (8, 512), 4000),
    "C64": ("mlp", (64, 512), 600),
    "C256": ("mlp", (256, 512), 160),
    "D": ("resnet18", (1, 3, 224, 224), 40),
    "E": ("encoder", (4, 128, 256), 160),
}

PEERS = ("torch", "torch-1t", "ort", "ort-1t", "openvino-1", "openvino-2")


def network(kind):
    import torch
    from torch import nn

    class Convolutions(nn.Module):
        def __init__(self, norm):
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
                nn.Conv2d(32, 64, 3, padding=1), norm, nn.ReLU(),
                nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
            )

        def forward(self, x):
            return self.body(x)

    class Encoder(nn.Module):
        def __init__(self, width=256, heads=4, hidden=1024):
            super().__init__()
            self.heads = heads
            self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.feed = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

        def forward(self, x):
            batch, length, width = x.shape
            qkv = self.qkv(self.first(x)).reshape(batch, length, 3, self.heads, width // self.heads)
            query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
            y = nn.functional.scaled_dot_product_attention(query, key, value)
            x = x + self.proj(y.permute(0, 2, 1, 3).reshape(batch, length, width))
            return x + self.feed(self.second(x))

    def resnet18():
        import torchvision

        return torchvision.models.resnet18(weights=None)

    torch.manual_seed(SEED)
    result = {
        "conv_bn": lambda: Convolutions(nn.BatchNorm2d(64)),
        "conv_in": lambda: Convolutions(nn.InstanceNorm2d(64, affine=True)),
        "mlp": lambda: nn.Sequential(
            nn.Linear(512, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 512)
        ),
        "resnet18": resnet18,
        "encoder": Encoder,
    }[kind]()
    generator = torch.Generator().manual_seed(SEED + 1)
    for module in result.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.InstanceNorm2d, nn.LayerNorm)):
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.uniform_(-0.3, 0.3, generator=generator)
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.3, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return result.eval()


def export(folder):
    import torch

    for name, (kind, shape, _) in MODELS.items():
        path = folder / name
        if (path / "complete").exists():
            continue
        path.mkdir(parents=True, exist_ok=True)
        model = network(kind)
        generator = torch.Generator().manual_seed(SEED + 2)
        inputs = [torch.randn(shape, generator=generator) for _ in range(CASES)]
        with torch.no_grad():
            for case, x in enumerate(inputs):
                np.save(path / f"input_{case}.npy", x.numpy())
                np.save(path / f"output_{case}.npy", model(x).numpy())
            torch.onnx.export(
                model, (inputs[0],), path / "model.onnx", dynamo=False, opset_version=17,
                input_names=["input"], output_names=["output"],
            )
        (path / "complete").touch()


def torch_factory(folder, inputs, threads):
    import torch

    if threads:
        torch.set_num_threads(threads)
    model = network(MODELS[folder.name][0])
    modes = []

    def caller(index):
        if threads:
            torch.set_num_threads(threads)
        x = torch.from_numpy(inputs[index % CASES].copy())
        modes.append(torch.inference_mode())
        modes[-1].__enter__()
        return lambda: model(x).numpy()

    return caller


def ort_factory(folder, inputs, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if threads:
        options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        folder / "model.onnx", options, providers=["CPUExecutionProvider"]
    )

    def caller(index):
        x = {"input": inputs[index % CASES].copy()}
        return lambda: session.run(None, x)[0]

    return caller


def graphs_factory(folder, inputs):
    """Each caller replays a graph of its own, captured while no other one is; inputs stay there."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    model = network(MODELS[folder.name][0]).cuda()
    lock = threading.Lock()

    def caller(index):
        with lock, torch.no_grad():
            stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
            x = torch.from_numpy(inputs[index % CASES]).cuda()
            with torch.cuda.stream(stream):
                for _ in range(3):
                    model(x)
            stream.synchronize()
            with torch.cuda.graph(graph, stream=stream):
                y = model(x)

        # The graph reads this input, and does not keep it.
        kept = x

        def replay():
            with torch.cuda.stream(stream):
                graph.replay()
            stream.synchronize()
            return y, kept

        return replay

    return caller


def openvino_factory(folder, inputs, streams):
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": str(streams)}
    if streams > 1:
        settings["INFERENCE_NUM_THREADS"] = os.cpu_count()
    compiled = openvino.Core().compile_model(folder / "model.onnx", "CPU", settings)

    def caller(index):
        request = compiled.create_infer_request()
        request.set_input_tensor(openvino.Tensor(inputs[index % CASES].copy()))

        def infer():
            request.infer()
            return request.get_output_tensor().data

        return infer

    return caller


LIBRARIES = {"torch": "torch", "ort": "onnxruntime", "openvino": "openvino"}

FACTORIES = {
    "torch": lambda *a: torch_factory(*a, 0),
    "torch-1t": lambda *a: torch_factory(*a, 1),
    "ort": lambda *a: ort_factory(*a, 0),
    "ort-1t": lambda *a: ort_factory(*a, 1),
    "torch-graphs": lambda *a: graphs_factory(*a),
    "openvino-1": lambda *a: openvino_factory(*a, 1),
    "openvino-2": lambda *a: openvino_factory(*a, 2),
}


def run(peer, folder, threads, passes, seconds):
    inputs = [np.load(folder / f"input_{case}.npy") for case in range(CASES)]
    outputs = [np.load(folder / f"output_{case}.npy") for case in range(CASES)]
    tolerance = 1e-3 * max(float(np.abs(y).max()) for y in outputs)
    importlib.import_module(LIBRARIES[peer.split("-")[0]])
    begin = time.perf_counter()
    factory = FACTORIES[peer](folder, inputs)
    # Graphs are captured by each caller, while no other thread uses the card.
    if peer != "torch-graphs":
        factory(0)()
    first_ms = (time.perf_counter() - begin) * 1e3
    for count in threads:
        row = window(factory, outputs, tolerance, count, passes, seconds)
        print(json.dumps({**row, "first_ms": first_ms}), flush=True)
    os._exit(0)


def window(factory, outputs, tolerance, count, passes, seconds):
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    ready, go, end = (threading.Barrier(count + 1) for _ in range(3))
    built = threading.Barrier(count)
    latencies, errors = [[] for _ in range(count)], [0] * count
    left, begin, now = iter(range(passes)), [0.0], time.perf_counter

    def work(index):
        call = factory(index)
        # What one caller captures is spoilt by another one that waits for the card meanwhile.
        built.wait()
        warm = now()
        for turn in range(20):
            call()
            if turn >= 2 and now() - warm > 0.15:
                break
        ready.wait()
        go.wait()
        for _ in left:
            start = now()
            if start > begin[0] + seconds:
                break
            call()
            latencies[index].append(now() - start)
        end.wait()
        found = call()
        found = found[0].cpu().numpy() if isinstance(found, tuple) else found
        difference = np.abs(found - outputs[index % CASES]).max()
        errors[index] = int(not difference <= tolerance)

    callers = [threading.Thread(target=work, args=(index,)) for index in range(count)]
    for caller in callers:
        caller.start()
    ready.wait()
    begin[0] = now()
    go.wait()
    end.wait()
    wall = now() - begin[0]
    for caller in callers:
        caller.join()
    every = np.sort(np.concatenate([np.array(part) for part in latencies]))
    with open("/proc/self/status") as file:
        peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    return {
        "threads": count,
        "pps": len(every) / wall,
        "p99_ms": float(every[max(0, int(np.ceil(0.99 * len(every))) - 1)] * 1e3),
        "rss_mb": peak / 1024,
        "errors": sum(errors),
    }


def rows(command):
    output = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if output.returncode != 0:
        print(f"{' '.join(map(str, command[:6]))}: {output.stderr[-300:]}", file=sys.stderr)
    return [json.loads(line) for line in output.stdout.splitlines() if line.startswith("{")]


def measure(folder, program):
    for model, (_, _, passes) in MODELS.items():
        found = {}
        for _ in range(REPEATS):
            for peer in ("anabranch", *PEERS):
                for row in rows(command(peer, folder / model, program, THREADS, passes, 0.6)):
                    if row["errors"] == 0:
                        found.setdefault((peer, row["threads"]), []).append(row)
        firsts = first_results(folder / model, program)
        for count in THREADS:
            print(json.dumps({**cell(model, count, found), **firsts}), flush=True)


def command(peer, folder, program, threads, passes, seconds):
    threads = ",".join(map(str, threads))
    if peer == "anabranch":
        own = [program, "bench", "peer", "--peer", peer, "--dir", folder, "--threads", threads]
        return own + ["--passes", str(passes), "--cap", str(seconds)]
    return [sys.executable, __file__, "run", peer, folder, threads, str(passes), str(seconds)]


def first_results(folder, program):
    """From the file to the first result, of processes that take turns and do nothing else: what ran before
    decides how much memory and how much of the file the system has at hand."""
    times = {"anabranch": [], "ort": []}
    for _ in range(FIRST_REPEATS):
        for peer, found in times.items():
            found += [row["first_ms"] for row in rows(command(peer, folder, program, [1], 1, 0.6))]
    return {
        "ours_first_ms": statistics.median(times["anabranch"]),
        "ort_first_ms": statistics.median(times["ort"]),
    }


def measure_cuda(folder, program):
    threads = "1,2,4,8,16"
    for model in ("A4", "B4", "C1", "C64", "C256", "D", "E"):
        own = [program, "bench", "peer", "--peer", "anabranch", "--dir", folder / model]
        own += ["--device", "cuda:0", "--resident", "--threads", threads]
        own += ["--passes", "10000000", "--cap", "0.3"]
        other = [sys.executable, __file__, "run", "torch-graphs", folder / model, threads, "10000000", "0.3"]
        found = {"anabranch": rows(own), "torch-graphs": rows(other)}
        for ours, peer in zip(*found.values()):
            print(json.dumps({
                "model": model,
                "threads": ours["threads"],
                "ours_pps": ours["pps"],
                "torch_pps": peer["pps"],
                "ratio": ours["pps"] / peer["pps"],
                "ours_p50_ms": ours["p50_ms"],
                "ours_p99_ms": ours["p99_ms"],
                "torch_p99_ms": peer["p99_ms"],
                "errors": ours["errors"] + peer["errors"],
            }), flush=True)


def cell(model, count, found):
    median = lambda peer, key: statistics.median(row[key] for row in found[peer, count])
    rates = {peer: median(peer, "pps") for peer in ("anabranch", *PEERS) if (peer, count) in found}
    memory = {peer: median(peer, "rss_mb") for peer in rates}
    ours = rates.pop("anabranch")
    best = max(rates, key=rates.get)
    return {
        "model": model,
        "threads": count,
        "ours_pps": ours,
        "best_peer": best,
        "best_peer_pps": rates[best],
        "ratio": ours / rates[best],
        "ours_p99_ms": median("anabranch", "p99_ms"),
        "ours_rss_mb": memory.pop("anabranch"),
        "leanest_peer_rss_mb": min(memory.values()),
    }


def draw(cells, picture):
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "anabranch"
    from matplotlib import pyplot

    cells = [json.loads(line) for line in cells.read_text().splitlines()]
    figure, axes = pyplot.subplots(figsize=(9, 3.6))
    for place, count in enumerate(THREADS):
        ratios = [cell["ratio"] for cell in cells if cell["threads"] == count]
        at = np.arange(len(ratios)) + (place - 1.5) * 0.2
        axes.bar(at, ratios, 0.18, label=f"{count} caller{'s' if count > 1 else ''}", color=f"C{place}")
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(MODELS)), MODELS)
    axes.set_ylabel("passes/s against the best peer")
    axes.legend(ncols=len(THREADS), frameon=False)
    figure.tight_layout()
    figure.savefig(picture, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["export", folder]:
            export(pathlib.Path(folder))
        case ["measure", folder, program]:
            measure(pathlib.Path(folder), program)
        case ["cuda", folder, program]:
            measure_cuda(pathlib.Path(folder), program)
        case ["run", peer, folder, threads, passes, seconds]:
            counts = [int(count) for count in threads.split(",")]
            run(peer, pathlib.Path(folder), counts, int(passes), float(seconds))
        case ["draw", cells, picture]:
            draw(pathlib.Path(cells), pathlib.Path(picture))
        case _:
            sys.exit(__doc__)
