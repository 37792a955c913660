"""Whether a compiled graph answers what its bundle says, before anything is asked of it.

A compiler for the CPU at hand rewrites a graph, and what it makes of it nobody has seen before: the golden inputs are
run once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefer.bundle.container import Bundle
from edgefer.bundle.golden import decode
from edgefer.bundle.manifest import GoldenSpec, GraphSpec, InputSpec
from edgefer.errors import BundleError
from edgefer.numeric_error import relative_error

COUNT = 4
"""Golden inputs that are run: what is wrong with a graph is wrong with each of them."""

Run = Callable[[Mapping[str, npt.NDArray[Any]]], Mapping[str, npt.NDArray[Any]]]


def check_answers(bundle: Bundle, graph: GraphSpec, run: Run) -> None:
    """Compare the first golden inputs with what the bundle expects.

    They may be off by the tolerance of the bundle, or by as much as quantising has changed them, whichever is more: an
    INT8 graph computed in another order moves by steps, which a network multiplies that quantises badly.

    Raises:
        BundleError: an answer is off by more, and the graph must not be used like this.
    """
    golden, batch = bundle.manifest.golden, min(graph.batches)
    expected = {} if golden is None else {spec.name for spec in graph.outputs} & golden.expected.keys()
    if golden is None or not expected:
        return
    count = batch * max(1, min(COUNT, golden.count) // batch)
    rows = np.minimum(np.arange(count), golden.count - 1)
    feeds = {spec.name: _feed(bundle, golden, spec, rows) for spec in graph.inputs}
    if any(feeds[spec.name].shape != (count, *spec.shape[1:]) for spec in graph.inputs):
        return  # Golden inputs that do not fit the graph are for `edgefer verify` to report.
    pieces = [
        run({name: values[start : start + batch] for name, values in feeds.items()}) for start in range(0, count, batch)
    ]
    for name in sorted(expected):
        found = np.concatenate([piece[name] for piece in pieces])
        wanted = bundle.array(golden.expected[name])
        if wanted.shape != (golden.count, *found.shape[1:]):
            continue
        allowed = max(golden.tolerance_of(name), _moved(bundle, golden, name))
        error = relative_error(found, wanted[rows])
        if not error <= allowed:
            raise BundleError(
                f"output '{name}' differs from the expected by {error:.3g} on golden inputs, more than {allowed:.3g}",
                hint="use device='onnxruntime'; if that differs as well, the bundle is not what it was",
            )


def _feed(bundle: Bundle, golden: GoldenSpec, spec: InputSpec, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
    """Some golden inputs; without any for an input, that every camera is there."""
    if spec.name not in golden.inputs:
        return np.ones((len(rows), *spec.shape[1:]), np.float32)
    stored = bundle.array(golden.inputs[spec.name])
    if not stored.ndim or not len(stored):
        return np.empty(0, np.float32)
    return decode(stored[np.minimum(rows, len(stored) - 1)], spec)


def _moved(bundle: Bundle, golden: GoldenSpec, name: str) -> float:
    """How far the deployed graph's answers are from those of the FP32 network; 0 where that is not known."""
    if name not in golden.reference:
        return 0.0
    expected, reference = bundle.array(golden.expected[name]), bundle.array(golden.reference[name])
    error = relative_error(expected, reference) if expected.shape == reference.shape else 0.0
    return error if math.isfinite(error) else 0.0
