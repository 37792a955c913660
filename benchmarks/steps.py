"""The steps of a build of full-width `viri-fusion`, each made once for all benchmarks of a run that need it."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch

from edgefer.progress import Silent
from edgefer_export.data import open_dataset
from edgefer_export.data.feeds import Feeds
from edgefer_export.networks import registry
from edgefer_export.networks.loaded import LoadedNetwork
from edgefer_export.onnx_export import export_onnx
from edgefer_export.quantise import QuantiseSpec, quantise
from edgefer_export.simplify import simplify

Tensors = dict[str, np.ndarray[Any, np.dtype[np.float32]]]


@cache
def network() -> LoadedNetwork:
    """The network, untrained: no time depends on the values of its weights."""
    torch.manual_seed(0)
    return registry.create("viri-fusion")


@cache
def exported() -> Any:
    """Its ONNX model; batch norms are left to the export to fold."""
    return export_onnx(network()).model


@cache
def simplified() -> Any:
    return simplify(exported()).model


@cache
def int8() -> Any:
    """The simplified graph with Q/DQ, ranges from eight synthetic pairs."""
    return quantise(simplified(), lambda: iter(tensors(8)), QuantiseSpec(method="max"), Silent()).model


@cache
def tensors(count: int) -> tuple[Tensors, ...]:
    """Synthetic pairs as the network's inputs, kept: drawing them is no part of what is measured."""
    return tuple(Feeds(open_dataset(f"synthetic:{count}:101"), network().inputs))


def traced() -> Any:
    """The network as TorchScript: the attention operators come out of its export as the standard operators that every
    tool knows."""
    samples = tuple(torch.zeros(spec.shape) for spec in network().inputs)
    return torch.jit.trace(network().module.eval(), samples)
