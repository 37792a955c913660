"""Whether a session answers the golden inputs of its bundle as the manifest says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgefer.bundle.container import Bundle
from edgefer.bundle.golden import golden_feeds
from edgefer.bundle.manifest import GoldenSpec, GraphSpec
from edgefer.errors import BundleError
from edgefer.numeric_error import relative_error

Arrays = Mapping[str, npt.NDArray[Any]]


class Answering(Protocol):
    """What is checked: a `Session`, or whatever else runs a graph."""

    @property
    def graph(self) -> GraphSpec:
        """The graph that it runs."""

    def run(self, feeds: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Every output by name, for feeds by input name in the smallest batch of the graph."""


def check_golden(bundle: Bundle, golden: GoldenSpec, session: Answering) -> str:
    """Run the golden inputs and compare with `expected`; a sentence with the largest error max|a-b| / max(1, max|ref|).

    Raises:
        BundleError: an array is not of the shape that the count and the graph say, or is not finite, or an output is
            off by more than the tolerance.
    """
    graph = session.graph
    feeds = _feeds(bundle, golden, graph)
    outputs = [spec.name for spec in graph.outputs]
    expected = {name: bundle.array(golden.expected[name]) for name in outputs if name in golden.expected}
    reference = {name: bundle.array(golden.reference[name]) for name in outputs if name in golden.reference}
    shapes = {spec.name: spec.shape[1:] for spec in graph.inputs} | {
        spec.name: spec.shape[1:] for spec in graph.outputs
    }
    for kind, arrays in (("input", feeds), ("expected", expected), ("reference", reference)):
        for name, array in arrays.items():
            _check_array(f"golden {kind} '{name}'", array, (golden.count, *shapes[name]))
    answers = _answers(session, feeds, golden.count)
    errors = {name: relative_error(answers[name], values) for name, values in expected.items()}
    for name, error in errors.items():
        if not error <= golden.tolerance_of(name):
            raise BundleError(
                f"output '{name}' differs from the expected by {error:.3g}, more than the tolerance "
                f"{golden.tolerance_of(name):g}",
                hint="the graph does not compute on this machine what it computed where it was built",
            )
    worst = max(errors, key=lambda name: errors[name])
    return (
        f"{golden.count} inputs answered, largest error {errors[worst]:.2g} of {golden.tolerance_of(worst):g} allowed"
    )


def _feeds(bundle: Bundle, golden: GoldenSpec, graph: GraphSpec) -> dict[str, npt.NDArray[np.float32]]:
    """The golden inputs of the graph, (count, ...) each; a mask that is not among them says that all cameras are there.

    Raises:
        BundleError: an input has none.
    """
    feeds = golden_feeds(bundle, graph.inputs)
    for spec in graph.inputs:
        if spec.name in feeds:
            continue
        if spec.role != "present":
            raise BundleError(f"the golden inputs lack '{spec.name}' of graph '{graph.role}'", hint="build it again")
        feeds[spec.name] = np.ones((golden.count, *spec.shape[1:]), np.float32)
    return feeds


def _check_array(what: str, array: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise BundleError(f"the {what} has the shape {array.shape}, expected {shape}", hint="build the bundle again")
    if not np.isfinite(array).all():
        raise BundleError(f"the {what} holds values that are not finite", hint="build the bundle again")


def _answers(session: Answering, feeds: Arrays, count: int) -> dict[str, npt.NDArray[Any]]:
    """Every output for all golden inputs, in the smallest batch of the graph; the last input fills the last batch."""
    batch = min(session.graph.batches)
    pieces = []
    for start in range(0, count, batch):
        rows = np.minimum(np.arange(start, start + batch), count - 1)
        pieces.append(session.run({name: values[rows] for name, values in feeds.items()}))
    return {name: np.concatenate([piece[name] for piece in pieces])[:count] for name in pieces[0]}
