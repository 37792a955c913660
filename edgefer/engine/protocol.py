"""What the compiling parent and its worker say to each other: files of one private folder.

The parent writes `request.json` and `graph.onnx`; the worker adds `engine.plan`, `parsed.onnx` and `report.json`, or
`failure.json`. Report and failure appear whole or not at all, and last: where one of them is, the rest is there.
`worker.log` is the worker's standard output and error, `progress.json` how far it is, where TensorRT tells.
`timing.cache` is TensorRT's timing cache after the build, and `timing.stage` is there while TensorRT is busy with it.
"""

from __future__ import annotations

import msgspec

from edgefer.engine.decision import Way
from edgefer.engine.flavours import FlavourName

REQUEST, GRAPH, LOG, PROGRESS = "request.json", "graph.onnx", "worker.log", "progress.json"
TIMING, TIMING_STAGE = "timing.cache", "timing.stage"
PLAN, PARSED, REPORT, FAILURE = "engine.plan", "parsed.onnx", "report.json", "failure.json"


class WorkerRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the parent asks for. `way` is whether plugins are registered and take what they can. `parent` is its
    process id: the worker does not outlive it. `timing` is the folder of TensorRT's timing caches, None for none."""

    flavour: FlavourName
    batches: tuple[int, ...]
    workspace_bytes: int
    way: Way = "inline"
    parent: int = 0
    timing: str | None = None


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a worker gave no plan. `kind` is the name of the error class to raise for it."""

    kind: str
    message: str
    hint: str = ""
    details: str = ""
