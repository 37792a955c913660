"""The numeric check of an export: onnxruntime with optimisations off against a float64 copy of the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from edgefer.bundle.manifest import InputSpec
from edgefer.errors import BundleError, EdgeferError, ExportError, InputError
from edgefer.runtime.onnxruntime_runner import OnnxRuntimeRunner
from edgefer_export.checks import Feeds, literal_graph, relative_error
from edgefer_export.exporters import Attempt, ExporterName
from edgefer_export.networks.forward import forward
from edgefer_export.networks.network import Tensors

TOLERANCE = 1e-4


def checked(attempts: Sequence[Attempt], reference: Reference, feeds: Iterable[Tensors]) -> list[Attempt]:
    """The attempts, each with its largest error on any output and feed; without its graph where that is too large.

    Raises:
        ExportError: the network itself answers with NaN, or with other outputs from one feed to the next.
    """
    graphs: dict[ExporterName, OnnxRuntimeRunner] = {}
    results = {each.exporter: each for each in attempts}
    for name, each in results.items():
        if each.model is not None:
            try:
                graphs[name] = literal_graph(each.model)
            except BundleError as problem:
                results[name] = each.refused(
                    ExportError("onnxruntime cannot load the exported graph", details=problem.details)
                )
    for feed in feeds:
        if not graphs:
            break
        expected = reference.run(feed)
        for name, graph in list(graphs.items()):
            try:
                error = _largest_error(graph.run(feed), expected)
                results[name] = replace(results[name], max_error=max(results[name].max_error, error))
            except EdgeferError as problem:
                del graphs[name]
                results[name] = results[name].refused(
                    problem if isinstance(problem, ExportError) else _unrunnable(problem)
                )
    return [results[each.exporter] for each in attempts]


def _unrunnable(problem: EdgeferError) -> ExportError:
    return ExportError("onnxruntime cannot run the exported graph", details=problem.message)


def _largest_error(found: Mapping[str, npt.NDArray[Any]], expected: Mapping[str, npt.NDArray[Any]]) -> float:
    worst = 0.0
    for name, value in expected.items():
        if found[name].shape != value.shape:
            raise ExportError(
                f"output {name} of the exported graph has the shape {found[name].shape}, expected {value.shape}",
                hint="its shape follows the data, and the graph kept that of another input",
            )
        error = relative_error(found[name], value)
        if not error <= TOLERANCE:
            raise ExportError(
                f"output {name} of the exported graph is off by {error:.2e}, expected at most {TOLERANCE:.0e}",
                hint="a trace keeps neither randomness nor Python branches on data; look for them in the network",
            )
        worst = max(worst, error)
    return worst


class Reference:
    """The network in float64, or in float32 where it makes float32 tensors itself and cannot run in float64.

    `outputs` are the names and shapes that it gave for the sample: it has to give the same for every feed.
    """

    def __init__(self, module: nn.Module, outputs: Mapping[str, torch.Tensor]) -> None:
        self._module = module.double()
        self._dtype = torch.float64
        self._shapes = {name: tuple(value.shape[1:]) for name, value in outputs.items()}
        self.notes: tuple[str, ...] = ()

    def run(self, feed: Tensors) -> dict[str, npt.NDArray[Any]]:
        """The outputs for one feed.

        Raises:
            ExportError: they are not finite, or not those of the sample.
        """
        try:
            answers = self._run(feed)
        except RuntimeError:
            if self._dtype == torch.float32:
                raise
            self._dtype, self._module = torch.float32, self._module.float()
            self.notes = ("checked against float32: the network does not run in float64",)
            answers = self._run(feed)
        check_same(self._shapes, {name: value.shape[1:] for name, value in answers.items()})
        for name, value in answers.items():
            if not np.isfinite(value).all():
                raise ExportError(
                    f"output {name} of the network itself holds NaN or infinity",
                    hint="check its weights, and its divisions and logarithms",
                )
        return answers

    def _run(self, feed: Tensors) -> dict[str, npt.NDArray[Any]]:
        with torch.no_grad():
            outputs = forward(self._module, tensors(feed, self._dtype))
        return {name: value.numpy() for name, value in outputs.items()}


def check_same(before: Mapping[str, tuple[int, ...]], after: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse a network that answers differently from call to call; shapes are without the batch.

    Raises:
        ExportError: it gives other outputs for one input than for another, or of another shape.
    """
    if list(before) != list(after):
        raise ExportError(
            f"the network gives the outputs {', '.join(before)} for one input and {', '.join(after)} for another",
            hint="a graph has the same outputs for every input: return all of them every time",
        )
    for name, shape in before.items():
        if shape != after[name]:
            raise ExportError(
                f"output {name} of the network has the shape (N, {_joined(shape)}) for one input and "
                f"(N, {_joined(after[name])}) for another",
                hint="a graph has outputs of one shape: return scores and leave choosing among them to the caller",
            )


def _joined(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))


def checked_feeds(inputs: tuple[InputSpec, ...], feeds: Iterable[Tensors], batches: tuple[int, ...]) -> Iterator[Feeds]:
    """The feeds, in the order of `inputs`.

    Raises:
        InputError: a feed has not the inputs, shapes or values that the network takes.
    """
    for feed in feeds:
        unknown = sorted(set(feed) - {spec.name for spec in inputs})
        if unknown:
            raise InputError(
                f"the network has no input {', '.join(unknown)}",
                hint=f"it has {', '.join(spec.name for spec in inputs)}",
            )
        for spec in inputs:
            _check_feed(spec, feed, batches)
        yield {spec.name: feed[spec.name] for spec in inputs}


def _check_feed(spec: InputSpec, feed: Mapping[str, npt.NDArray[Any]], batches: tuple[int, ...]) -> None:
    if spec.name not in feed:
        raise InputError(f"input {spec.name} is missing", hint=f"found {', '.join(feed) or 'none'}")
    array = feed[spec.name]
    batch = array.shape[0] if array.ndim else 0
    fits = array.shape[1:] == spec.shape[1:] and (batch in batches if len(batches) == 1 else batch > 0)
    if array.dtype != np.float32 or not fits:
        expected = (batches[0] if len(batches) == 1 else "N", *spec.shape[1:])
        raise InputError(
            f"input {spec.name} is {array.dtype} {array.shape}, expected float32 {expected}",
            hint="feed the tensors that the pre-processing gives",
        )
    if not np.isfinite(array).all():
        raise InputError(f"input {spec.name} holds NaN or infinity", hint="check the image it was made from")


def tensors(feeds: Mapping[str, npt.NDArray[Any]], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """A feed as tensors of its own memory."""
    return {name: torch.from_numpy(np.array(array)).to(dtype) for name, array in feeds.items()}
