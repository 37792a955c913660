"""From a PyTorch network to ONNX that is proven to compute the same.

Opset 19 and IR version 9 whatever the installed tools default to. The proof is numeric: onnxruntime with optimisations
off against a float64 copy of the network, on fresh random inputs and on data.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterable
from itertools import chain, islice

import numpy as np
import torch
from torch import nn

from edgefer.bundle.golden import normalised
from edgefer.bundle.manifest import InputSpec, OutputSpec
from edgefer.errors import ExportError, InputError
from edgefer_export.checks import Feeds
from edgefer_export.export_check import Reference, check_same, checked, checked_feeds, tensors
from edgefer_export.exporters import attempt, best, names_of
from edgefer_export.networks.forward import LOGITS, forward, no_logits
from edgefer_export.networks.loaded import LoadedNetwork
from edgefer_export.networks.network import ExportedGraph, Tensors

LARGEST_BYTES = 2**31 - 1
"""Of a protobuf, and so of an ONNX file that holds its weights."""

_SEEDS = (11, 12, 13)
_LARGE = 3 * 3 * 224 * 224
"""Values of one example above which one of them tells as much as three usual ones, and costs as much."""
_LISTED = 10


def export_onnx(
    network: LoadedNetwork, feeds: Iterable[Tensors] | None = None, *, batches: tuple[int, ...] = (1,)
) -> ExportedGraph:
    """Export `network` with the exporter it names, or with both and keep the better graph, and check the result.

    The network itself is left as it is, its training mode included.

    Args:
        feeds: data to check on besides random inputs: input name to float32 array (N, C, H, W); of a network with
            large inputs the first one alone.
        batches: batch sizes; one gives a static shape, several a batch that is free.

    Raises:
        InputError: a feed has not the inputs, shapes or values that the network takes.
        ExportError: torch cannot export the network, the ONNX does not compute what the network computes, its weights
            are not finite or are more than 2 GiB, or its outputs change from call to call.
    """
    begun = time.perf_counter()
    if not batches or min(batches) < 1:
        raise InputError(f"batches are {list(batches)}, expected positive sizes", hint="leave them out for batch 1")
    batches = tuple(sorted(set(batches)))
    module = _frozen_copy(network)
    _check_weights(network, module)
    sample, another = (
        tensors(random_inputs(network.inputs, seed, batches[0]), torch.float32) for seed in (0, _SEEDS[0])
    )
    outputs = _outputs(network, module, sample)
    check_same(_shapes(outputs), _shapes(_outputs(network, module, another)))
    attempts = [
        attempt(name, module, sample, tuple(outputs), dynamic_batch=len(batches) > 1)
        for name in names_of(network.exporter, module)
    ]
    reference = Reference(module, outputs)
    large = sum(math.prod(spec.shape[1:]) for spec in network.inputs) > _LARGE
    seeds, samples = (_SEEDS[:1], islice(feeds or (), 1)) if large else (_SEEDS, feeds or ())
    tried = chain(
        (random_inputs(network.inputs, seed, batch) for batch in batches for seed in seeds),
        checked_feeds(network.inputs, samples, batches),
    )
    chosen = best(checked(attempts, reference, tried), network.name)
    specs = tuple(
        OutputSpec(name=name, role=LOGITS if name == network.logits else "other", shape=tuple(value.shape))
        for name, value in outputs.items()
    )
    notes = [*chosen.notes, *reference.notes]
    if network.logits is None:
        notes.append(f"no output is called {LOGITS} ({', '.join(outputs)}): the network has no classes")
    seconds = time.perf_counter() - begun
    return ExportedGraph(chosen.graph, specs, chosen.max_error, seconds, tuple(notes), chosen.simplified)


def random_inputs(inputs: tuple[InputSpec, ...], seed: int, batch: int = 1) -> Feeds:
    """Uniform random values of each input's range, normalised as images are; a modality mask holds whole rows of both,
    one or the other."""
    rng = np.random.default_rng(seed)
    feeds: Feeds = {}
    for spec in inputs:
        shape = (batch, *spec.shape[1:])
        if spec.role == "present":
            masks = np.array([[1, 1], [1, 0], [0, 1]], np.float32)
            feeds[spec.name] = masks[(rng.integers(3) + np.arange(batch)) % 3]
        else:
            low, high = spec.image.range if spec.image is not None else (0.0, 1.0)
            feeds[spec.name] = normalised((low + (high - low) * rng.random(shape)).astype(np.float32), spec)
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
    if network.logits is None:
        return outputs
    if network.logits not in outputs:
        raise no_logits(f"a dict of {', '.join(outputs)}")
    logits = outputs[network.logits]
    expected = (next(iter(sample.values())).shape[0], len(network.labels))
    if tuple(logits.shape) != expected:
        raise ExportError(
            f"{network.name} gives logits of shape {tuple(logits.shape)}, expected {expected}",
            hint=f"there are {len(network.labels)} labels: {', '.join(network.labels)}",
        )
    return outputs


def _shapes(outputs: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape[1:]) for name, value in outputs.items()}


def _check_weights(network: LoadedNetwork, module: nn.Module) -> None:
    """Refuse weights that no graph can hold, or that make no answer. An infinity in a buffer can be a mask."""
    size = sum(tensor.numel() * tensor.element_size() for tensor in (*module.parameters(), *module.buffers()))
    if size > LARGEST_BYTES:
        raise ExportError(
            f"{network.name} holds {size / 2**30:.1f} GiB of weights, expected at most {LARGEST_BYTES / 2**30:.1f}",
            hint="an ONNX file in one piece holds no more; a smaller network is needed",
        )
    bad = [name for name, parameter in module.named_parameters() if not torch.isfinite(parameter).all()]
    bad += [name for name, buffer in module.named_buffers() if torch.isnan(buffer).any()]
    if bad:
        others = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise ExportError(
            f"{network.name} holds NaN or infinity in {bad[0]}{others}",
            details="\n".join(bad[:_LISTED]),
            hint="train again, or give other --weights",
        )


def _reason(error: Exception) -> str:
    """The first lines of what was raised: torch appends whole traces."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return "\n".join([f"{type(error).__name__}: {lines[0] if lines else ''}", *lines[1:4]])
