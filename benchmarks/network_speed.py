"""Every registered network in onnxruntime: its ONNX after edgefer's steps beside what torch alone exports.

    python -m benchmarks.network_speed                       every network; goes on where it was stopped
    python -m benchmarks.network_speed --only feratt "fusion-attention variant=tokens"

FP32, full width, batch 1. Where an initial placement of buffers or threads favours a session, it does so for its whole
life: so five pairs of sessions are made, measured in turn, and the interval is over the five. The export is timed in
the same process, whose largest memory is that of the export. Figures go to benchmarks/results/network-speed.json.
"""

from __future__ import annotations

import argparse
import io
import resource
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
import torch

from benchmarks.network_speed_results import PAIRS, Found, Speed, load, markdown, store
from edgefer import atomic
from edgefer.benchmark.interleaved import interleaved
from edgefer.benchmark.machine import describe
from edgefer.benchmark.steady import Patience
from edgefer.benchmark.timeline import Effort
from edgefer.runtime.onnxruntime_runner import OnnxRuntimeRunner
from edgefer_export.networks import registry
from edgefer_export.networks.forward import ByPosition
from edgefer_export.networks.loaded import LoadedNetwork
from edgefer_export.onnx_export import export_onnx, random_inputs
from edgefer_export.simplify import simplify

GRAPHS = ("ours", "exported", "plain")
VARIANTS = (
    "fusion-attention backbones=vgg13+resnet34",
    "fusion-attention backbones=vgg11+resnet34",
    "fusion-attention variant=tokens",
    "feratt head=plain",
    "saliency-alexnet backbone=vgg16",
)
"""What the published systems have besides the defaults of every network."""
PAUSE, SETTLE = 0.02, 1
PATIENCE = Patience(runs=3, seconds=0.3, most_runs=60, most_seconds=5.0)
MIB = 1 << 20


def main() -> int:
    """Measure what is missing, then print the table; 1 where a network is slower or takes too much to export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NETWORK", help="with options, as 'NAME KEY=VALUE'")
    parser.add_argument("--again", action="store_true", help="also what has been measured")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        (name,) = arguments.only
        atomic.write_bytes(arguments.here, msgspec.json.encode(measure(name, arguments.threads)))
        return 0
    for name in arguments.only or (*registry.names(), *VARIANTS):
        stored = load()
        if stored is None or arguments.again or name not in {speed.network for speed in stored.networks}:
            print(name, file=sys.stderr)
            store(Found(machine=_machine(), networks=(_in_a_process(name, arguments.threads),)))
    found = load()
    if found is None:
        return 1
    table = markdown(found)
    print(table)
    return 0 if all(speed.fine for speed in found.networks) else 1


def _in_a_process(name: str, threads: int) -> Speed:
    """Of its own, because the largest memory of a process is for its whole life."""
    written = Path(f"build/network-speed-{name.replace(' ', '-')}.json")
    written.parent.mkdir(exist_ok=True)
    words = ["--here", str(written), "--only", name, "--threads", str(threads)]
    subprocess.run([sys.executable, "-m", "benchmarks.network_speed", *words], check=True)
    return msgspec.json.decode(written.read_bytes(), type=Speed)


def measure(name: str, threads: int) -> Speed:
    """One network: its export, and its three graphs in five sets of sessions."""
    torch.manual_seed(0)
    network = registry.create(name.split()[0], dict(option.split("=", 1) for option in name.split()[1:]))
    exported = export_onnx(network)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 // MIB
    ours = exported.simplified or simplify(exported.model)
    graphs = dict(zip(GRAPHS, (ours.model, exported.model, plain(network)), strict=True))
    feeds = random_inputs(network.inputs, 1)
    loaded = {each: graph.SerializeToString() for each, graph in graphs.items()}
    medians: dict[str, list[float]] = {each: [] for each in GRAPHS}
    for turn in range(PAIRS):
        order = GRAPHS[turn % len(GRAPHS) :] + GRAPHS[: turn % len(GRAPHS)]
        runners = {each: OnnxRuntimeRunner(loaded[each], threads=threads) for each in order}
        _same(name, {each: runner.run(feeds) for each, runner in runners.items()})
        found = interleaved(
            {each: (lambda runner=runner: runner.run(feeds)) for each, runner in runners.items()},  # type: ignore[misc]
            effort=Effort(12, 2.0, 60.0),
            patience=PATIENCE,
            pause=PAUSE,
            settle=SETTLE,
        )
        for each in GRAPHS:
            medians[each].append(float(np.median(found.durations[each])))
    return Speed(
        network=name,
        parameters=network.parameters,
        shapes={spec.name: spec.shape for spec in network.inputs},
        threads=threads,
        export_seconds=exported.seconds,
        export_mebibytes=int(most),
        nodes={each: len(graph.graph.node) for each, graph in graphs.items()},
        medians={each: tuple(values) for each, values in medians.items()},
    )


def plain(network: LoadedNetwork) -> onnx.ModelProto:
    """What `torch.onnx.export` makes of the network without edgefer: traced before, so that no block knows that it is
    exported and leaves as an operator of ours."""
    names = tuple(spec.name for spec in network.inputs)
    samples = tuple(torch.from_numpy(each) for each in random_inputs(network.inputs, 0).values())
    module = network.module.eval()
    with torch.no_grad():
        traced = torch.jit.trace(ByPosition(module, names), samples)
    buffer = io.BytesIO()
    torch.onnx.export(traced, samples, buffer, opset_version=19, dynamo=False, input_names=list(names))
    return onnx.load_from_string(buffer.getvalue())


def _same(name: str, outputs: dict[str, dict[str, np.ndarray]]) -> None:
    """Refuse to time graphs that compute different things."""
    for each in GRAPHS[1:]:
        # torch names the outputs of its own graph by numbers, in the same order.
        for ours, other in zip(outputs["ours"].values(), outputs[each].values(), strict=True):
            error = float(np.abs(ours - other).max() / max(1.0, np.abs(ours).max()))
            if not error <= 1e-3:
                raise SystemExit(f"{name}: ours and the {each} graph differ by {error:.2g}")


def _machine() -> dict[str, str]:
    found = describe()
    return {"cpu": found.cpu, "cpus": str(found.cpus), "system": found.system, "python": found.python}


if __name__ == "__main__":
    raise SystemExit(main())
