"""Simplifying a graph with onnxsim, in a child process, with its result checked; or not at all.

A graph that is not simplified is larger and just as right: every failure ends with the graph that came in and a note.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from edgefer_export.checks import literal_graph, random_feeds, relative_error
from edgefer_export.child import run_child
from edgefer_export.operators import IR_VERSION, OPSET, attach_functions, operator_counts

TOLERANCE = 1e-4
_SEEDS = (21, 22, 23)
_WORKER = (sys.executable, "-m", "edgefer_export.simplify_worker")


@dataclass(frozen=True)
class SimplifyResult:
    """The graph to go on with, whether it was simplified, and what happened in a sentence."""

    model: onnx.ModelProto
    simplified: bool
    note: str


def simplify(model: onnx.ModelProto, *, timeout: float = 180.0, worker: Sequence[str] = _WORKER) -> SimplifyResult:
    """Simplify `model`; its operators, functions, inputs, outputs, opset and IR version stay.

    Args:
        timeout: seconds for the child.
        worker: the command that is called with the paths of the source and of the result.
    """
    if importlib.util.find_spec("onnxsim") is None:
        return SimplifyResult(model, False, "not simplified: onnxsim is not installed (it comes with edgefer[export])")
    with tempfile.TemporaryDirectory(prefix="edgefer-simplify-") as name:
        folder = Path(name)
        source, target = folder / "source.onnx", folder / "simplified.onnx"
        source.write_bytes(model.SerializeToString())
        try:
            end = run_child(
                (*worker, str(source), str(target)), timeout=timeout, folder=folder, environment=_environment()
            )
        except OSError as error:
            return SimplifyResult(model, False, f"not simplified: the child cannot be started: {error}")
        if end.explanation:
            return SimplifyResult(model, False, f"not simplified: the child {end.explanation}")
        try:
            result = attach_functions(onnx.load(target)).model
            result.ir_version = IR_VERSION
            problem = _difference(model, result)
        except Exception as error:  # a file of any content may have come back
            problem = f"the child's result cannot be used: {type(error).__name__}: {_first_line(error)}"
    if problem:
        return SimplifyResult(model, False, f"not simplified: {problem}")
    return SimplifyResult(result, True, f"{len(model.graph.node)} nodes became {len(result.graph.node)}")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")


def _environment() -> dict[str, str]:
    # The child starts in an empty folder and must find what this process found, installed or not.
    paths = [path for path in sys.path if path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _difference(before: onnx.ModelProto, after: onnx.ModelProto) -> str:
    """Why `after` may not take the place of `before`; empty where it may."""
    if not after.graph.node:
        return "its outputs are constants, and a graph without nodes is one that no parser takes"
    onnx.checker.check_model(after, full_check=True)
    opsets = [{entry.domain: entry.version for entry in model.opset_import}.get("") for model in (before, after)]
    if opsets != [OPSET, OPSET]:
        return f"the opset went from {opsets[0]} to {opsets[1]}, expected {OPSET}"
    for kind in ("input", "output"):
        values = [[_signature(value) for value in getattr(model.graph, kind)] for model in (before, after)]
        if values[0] != values[1]:
            return f"the graph's {kind}s went from {values[0]} to {values[1]}"
    counts = operator_counts(before), operator_counts(after)
    if counts[0] != counts[1]:
        return f"the operators of the attention went from {counts[0]} to {counts[1]}"
    return _numeric_difference(before, after)


def _signature(value: onnx.ValueInfoProto) -> tuple[str, int, tuple[int | str, ...]]:
    tensor = value.type.tensor_type
    return value.name, tensor.elem_type, tuple(dim.dim_value or dim.dim_param for dim in tensor.shape.dim)


def _numeric_difference(before: onnx.ModelProto, after: onnx.ModelProto) -> str:
    graphs = literal_graph(before), literal_graph(after)
    for seed in _SEEDS:
        feeds = random_feeds(before, seed, batch=2)
        reference, found = (graph.run(feeds) for graph in graphs)
        for name, value in reference.items():
            error = relative_error(found[name], value)
            if not error <= TOLERANCE:
                return f"output {name} of the simplified graph is off by {error:.2e}, expected at most {TOLERANCE:.0e}"
    return ""
