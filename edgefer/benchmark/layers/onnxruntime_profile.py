"""Kernel by kernel through onnxruntime's own profiler, of the very graph that a session runs.

onnxruntime fuses, splits and lays out anew when it loads a graph: what its profile names are nodes of the optimised
graph, which it writes beside the profile. That graph tells the block of a node that fusion or inlining left without a
name. Shapes, types and sizes are of the tensors that were really there, padded channels included.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import time
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from edgefer.benchmark.layers.blocks import Node, blocks_of
from edgefer.benchmark.layers.graph import nodes_of
from edgefer.benchmark.layers.rows import Profile, Row
from edgefer.benchmark.layers.work import INT8, Tensor, is_product, is_reformat, operations, traffic
from edgefer.errors import EdgeferError
from edgefer.runtime.onnxruntime_runner import OPTIMISED, OnnxRuntimeRunner

Feeds = Mapping[str, npt.NDArray[Any]]
Event = dict[str, Any]

_SUFFIX = "_kernel_time"
_TYPES = {"float": "fp32", "double": "fp64", "float16": "fp16", "bfloat16": "bf16"}
_WARM_UP = 5


def profile(runner: OnnxRuntimeRunner, folder: Path, feeds: Feeds, *, runs: int, seconds: float) -> Profile:
    """Run and read the profile: at least `runs` times, and on until `seconds` have passed.

    Args:
        runner: opened with `profile=folder`; it cannot be profiled again afterwards.
        feeds: inputs by name.

    Raises:
        EdgeferError: onnxruntime wrote no profile that can be read.
    """
    started, done = time.monotonic(), 0
    interface = 0.0
    while done < runs + _WARM_UP or time.monotonic() - started < seconds:
        outputs = runner.run(feeds)
        if not done:
            interface = float(sum(array.nbytes for array in (*feeds.values(), *outputs.values())))
        done += 1
    events = _events(Path(runner.session.end_profiling()))
    rows = kernel_rows(events, done, optimised_nodes(folder / OPTIMISED))
    whole = statistics.median(event["dur"] for event in events if event.get("name") == "model_run") / 1e6
    kernels = sum(row.seconds or 0.0 for row in rows)
    note = (
        f"medians of {done - _WARM_UP} runs under the profiler, which slows them down: kernels are "
        f"{kernels * 1e3:.3g} of {whole * 1e3:.3g} ms a run"
    )
    return Profile("onnxruntime-profiler", rows, note, interface)


def kernel_rows(
    events: Sequence[Event], runs: int, optimised: Sequence[Node] | None, warm_up: int = _WARM_UP
) -> tuple[Row, ...]:
    """The rows of a profile's events, in the order in which the kernels first ran.

    Args:
        events: onnxruntime's trace.
        runs: how often the graph ran.
        optimised: the nodes of the graph as it ran; None where they are not known, and blocks come from names alone.
        warm_up: runs to leave out of the medians.
    """
    kernels: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and str(event.get("name", "")).endswith(_SUFFIX):
            kernels[event["name"].removesuffix(_SUFFIX)].append(event)
    nodes = [Node(name, each[0]["args"]["op_name"], (), ()) for name, each in kernels.items()]
    blocks = _blocks(nodes, optimised)
    return tuple(
        _row(node, block, kernels[node.name], runs, warm_up) for node, block in zip(nodes, blocks, strict=True)
    )


def optimised_nodes(path: Path) -> list[Node] | None:
    """The nodes of the graph that onnxruntime wrote; None without the package `onnx`, or where it wrote none."""
    if importlib.util.find_spec("onnx") is None or not path.exists():
        return None
    import onnx

    return nodes_of(onnx.load(str(path), load_external_data=False))


def _blocks(kernels: Sequence[Node], optimised: Sequence[Node] | None) -> list[str]:
    """The block of every kernel. A node without a name is called by its operator and number in the profile; the first
    such kernel of an operator is the first such node of the graph, since both are in the order of execution."""
    if not optimised:
        return blocks_of(kernels)
    named: dict[str, str] = {}
    unnamed: dict[str, deque[str]] = defaultdict(deque)
    for node, block in zip(optimised, blocks_of(optimised), strict=True):
        if node.name:
            named[node.name] = block
        else:
            unnamed[node.kind].append(block)
    found = []
    for kernel in kernels:
        waiting = unnamed[kernel.kind]
        if kernel.name in named:
            found.append(named[kernel.name])
        else:
            found.append(waiting.popleft() if waiting else blocks_of([kernel])[0])
    return found


def _row(node: Node, block: str, events: Sequence[Event], runs: int, warm_up: int) -> Row:
    arguments = events[0]["args"]
    inputs, outputs = _tensors(arguments, "input_type_shape"), _tensors(arguments, "output_type_shape")
    product = is_product(node.kind)
    types = [tensor.dtype for tensor in inputs]
    precision = types[0] if types else "unknown"
    return Row(
        name=node.name,
        block=block,
        kind=node.kind,
        # The kernel multiplies in eight bits, with or without sign.
        precision="int8" if product and precision in INT8 else precision,
        seconds=_median(events, runs, warm_up),
        reformat=is_reformat(node.kind),
        product=product,
        operations=operations(node.kind, inputs, outputs),
        traffic=traffic([*inputs, *outputs]),
        parameters=float(arguments.get("parameter_size", 0)),
    )


def _median(events: Sequence[Event], runs: int, warm_up: int) -> float:
    """Seconds a run. A node inside a loop runs several times in each."""
    durations = [float(event["dur"]) for event in events]
    if len(durations) < runs or len(durations) % runs:
        return sum(durations) / runs / 1e6  # a branch that is not taken in every run
    each = len(durations) // runs
    sums = [sum(durations[start : start + each]) for start in range(0, len(durations), each)]
    return statistics.median(sums[warm_up:] or sums) / 1e6


def _tensors(arguments: Event, key: str) -> list[Tensor]:
    return [
        Tensor(_TYPES.get(dtype, dtype), tuple(shape))
        for entry in arguments.get(key, ())
        for dtype, shape in entry.items()
    ]


def _events(path: Path) -> list[Event]:
    try:
        events: list[Event] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise EdgeferError(
            f"the profile that onnxruntime wrote cannot be read: {error}",
            hint="free some space in the temporary folder, or point TMPDIR elsewhere",
        ) from error
    if not any(event.get("name") == "model_run" for event in events):
        raise EdgeferError("onnxruntime's profile names no run", hint="this release of it may write another form")
    return events
