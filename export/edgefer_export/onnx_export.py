"""From a PyTorch network to ONNX that is proven to compute the same.

Opset 19 and IR version 9 whatever the installed tools default to. The proof is numeric: onnxruntime with optimisations
off against a float64 copy of the network, on fresh random inputs and on data.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import nn

from edgefer.bundle.manifest import InputSpec, OutputSpec
from edgefer.errors import BundleError, ExportError, InputError
from edgefer_export.checks import Feeds, literal_graph, relative_error
from edgefer_export.networks.forward import LOGITS, forward
from edgefer_export.networks.registry import LoadedNetwork
from edgefer_export.operators import IR_VERSION, OPSET, attach_functions
from edgefer_export.torchscript import TorchScriptExporter

TOLERANCE = 1e-4
_SEEDS = (11, 12, 13)


@dataclass(frozen=True)
class ExportedGraph:
    """An exported network. `max_error` is the largest max|a-b| / max(1, max|ref|) of any output on any input tried;
    `seconds` is the time of export and check."""

    model: onnx.ModelProto
    outputs: tuple[OutputSpec, ...]
    max_error: float
    seconds: float
    notes: tuple[str, ...] = ()


def export_onnx(
    network: LoadedNetwork, feeds: Iterable[Feeds] | None = None, *, batches: tuple[int, ...] = (1,)
) -> ExportedGraph:
    """Export `network` and check the result.

    The network itself is left as it is, its training mode included.

    Args:
        feeds: data to check on besides random inputs: input name to float32 array (N, C, H, W).
        batches: batch sizes; one gives a static shape, several a batch that is free.

    Raises:
        InputError: a feed has not the inputs, shapes or values that the network takes.
        ExportError: torch cannot export the network, or the ONNX does not compute what the network computes.
    """
    begun = time.perf_counter()
    if not batches or min(batches) < 1:
        raise InputError(f"batches are {list(batches)}, expected positive sizes", hint="leave them out for batch 1")
    batches = tuple(sorted(set(batches)))
    module = _frozen_copy(network)
    sample = _tensors(random_inputs(network.inputs, seed=0, batch=batches[0]), torch.float32)
    outputs = _outputs(network, module, sample)
    exporter = TorchScriptExporter()
    exported = exporter.export(module, sample, tuple(outputs), dynamic_batch=len(batches) > 1)
    attached = attach_functions(exported)
    model = _finished(attached.model)
    checked = chain(
        (random_inputs(network.inputs, seed, batch) for batch in batches for seed in _SEEDS),
        _checked_feeds(network.inputs, feeds or (), batches),
    )
    reference = _Reference(module)
    error = _largest_error(model, reference, checked)
    specs = tuple(
        OutputSpec(name=name, role=LOGITS if name == LOGITS else "other", shape=tuple(value.shape))
        for name, value in outputs.items()
    )
    return ExportedGraph(
        model, specs, error, time.perf_counter() - begun, (*exporter.notes, *attached.notes, *reference.notes)
    )


def random_inputs(inputs: tuple[InputSpec, ...], seed: int, batch: int = 1) -> Feeds:
    """Uniform random values inside each input's range; a modality mask holds whole rows of both, one or the other."""
    rng = np.random.default_rng(seed)
    feeds: Feeds = {}
    for spec in inputs:
        shape = (batch, *spec.shape[1:])
        if spec.role == "present":
            masks = np.array([[1, 1], [1, 0], [0, 1]], np.float32)
            feeds[spec.name] = masks[(rng.integers(3) + np.arange(batch)) % 3]
        else:
            low, high = spec.image.range if spec.image is not None else (0.0, 1.0)
            feeds[spec.name] = (low + (high - low) * rng.random(shape)).astype(np.float32)
    return feeds


def _frozen_copy(network: LoadedNetwork) -> nn.Module:
    try:
        module = copy.deepcopy(network.module)
    except Exception as error:  # whatever the user's module raises
        raise ExportError(
            f"{network.name} cannot be copied: {error}", hint="the export works on a copy; keep no graph tensors in it"
        ) from error
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module.cpu().float().eval()


def _outputs(network: LoadedNetwork, module: nn.Module, sample: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What the network returns for `sample`, after checking that it takes its inputs and returns its classes."""
    try:
        with torch.no_grad():
            outputs = forward(module, sample)
    except ExportError:
        raise
    except Exception as error:  # whatever the user's module raises
        shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in sample.items())
        raise ExportError(
            f"{network.name} does not take its inputs {shapes}",
            details=_reason(error),
            hint="--input NAME=CxHxW states the shape of an input; names or their order are those of forward",
        ) from error
    logits = outputs[LOGITS]
    expected = (next(iter(sample.values())).shape[0], len(network.labels))
    if tuple(logits.shape) != expected:
        raise ExportError(
            f"{network.name} gives logits of shape {tuple(logits.shape)}, expected {expected}",
            hint=f"there are {len(network.labels)} labels: {', '.join(network.labels)}",
        )
    return outputs


def _finished(model: onnx.ModelProto) -> onnx.ModelProto:
    model.ir_version = IR_VERSION
    try:
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError("the exported graph is not valid ONNX", details=_reason(error)) from error
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    if opsets.get("") != OPSET or model.ir_version != IR_VERSION:
        raise ExportError(
            f"the exported graph is of opset {opsets.get('')} and IR version {model.ir_version}",
            hint=f"expected opset {OPSET} and IR version {IR_VERSION}",
        )
    return model


def _checked_feeds(inputs: tuple[InputSpec, ...], feeds: Iterable[Feeds], batches: tuple[int, ...]) -> Iterator[Feeds]:
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


def _largest_error(model: onnx.ModelProto, reference: _Reference, feeds: Iterable[Feeds]) -> float:
    """The largest error of any output on any feed.

    Raises:
        ExportError: an output is off by more than the tolerance, or onnxruntime cannot run the graph.
    """
    try:
        graph = literal_graph(model)
    except BundleError as problem:
        raise ExportError("onnxruntime cannot load the exported graph", details=problem.details) from problem
    worst = 0.0
    for feed in feeds:
        expected = reference.run(feed)
        found = graph.run(feed)
        for name, value in expected.items():
            if not np.isfinite(value).all():
                raise ExportError(
                    f"output {name} of the network itself holds NaN or infinity",
                    hint="check its weights, and its divisions and logarithms",
                )
            error = relative_error(found[name], value)
            if not error <= TOLERANCE:
                raise ExportError(
                    f"output {name} of the exported graph is off by {error:.2e}, expected at most {TOLERANCE:.0e}",
                    hint="a trace keeps neither randomness nor Python branches on data; look for them in the network",
                )
            worst = max(worst, error)
    return worst


class _Reference:
    """The network in float64, or in float32 where it makes float32 tensors itself and cannot run in float64."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module.double()
        self._dtype = torch.float64
        self.notes: tuple[str, ...] = ()

    def run(self, feed: Feeds) -> dict[str, npt.NDArray[Any]]:
        try:
            return self._run(feed)
        except RuntimeError:
            if self._dtype == torch.float32:
                raise
            self._dtype, self._module = torch.float32, self._module.float()
            self.notes = ("checked against float32: the network does not run in float64",)
            return self._run(feed)

    def _run(self, feed: Feeds) -> dict[str, npt.NDArray[Any]]:
        with torch.no_grad():
            outputs = forward(self._module, _tensors(feed, self._dtype))
        return {name: value.numpy() for name, value in outputs.items()}


def _tensors(feeds: Mapping[str, npt.NDArray[Any]], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.array(array)).to(dtype) for name, array in feeds.items()}


def _reason(error: Exception) -> str:
    """The first lines of what was raised: torch and onnx append whole traces and graphs."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return "\n".join([f"{type(error).__name__}: {lines[0] if lines else ''}", *lines[1:4]])
