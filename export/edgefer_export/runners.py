"""The forms of a network as functions from tensors to logits, so that they can be judged side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import onnx
import torch

from edgefer.bundle.manifest import InputSpec
from edgefer.runtime.onnxruntime_runner import OnnxRuntimeRunner
from edgefer_export.checks import literal_graph
from edgefer_export.networks.forward import LOGITS, forward
from edgefer_export.networks.loaded import LoadedNetwork

Tensors = Mapping[str, npt.NDArray[np.float32]]
Outputs = dict[str, npt.NDArray[np.float32]]


def network_function(network: LoadedNetwork) -> Callable[[Tensors], Outputs]:
    """The PyTorch network in FP32: outputs by name, for tensors (N, C, H, W) by input name."""

    def run(tensors: Tensors) -> Outputs:
        with torch.inference_mode():
            # A copy: a network may change its input in place, and the other forms are to answer for the same tensors.
            given = {spec.name: torch.from_numpy(np.array(tensors[spec.name])) for spec in network.inputs}
            return {name: value.numpy() for name, value in forward(network.module, given).items()}

    return run


def graph_function(model: onnx.ModelProto, *, threads: int = 1) -> Callable[[Tensors], Outputs]:
    """An ONNX graph in onnxruntime, evaluated as it is written where that matters.

    With Q/DQ or casts in the graph, optimisations are off: they replace what is to be judged by kernels of the CPU at
    hand. A graph in FP32 alone is only summed in another order by them, and answers three times as fast.
    """
    literal = any(node.op_type in {"QuantizeLinear", "DequantizeLinear", "Cast"} for node in model.graph.node)
    if literal:
        return literal_graph(model, threads=threads).run
    return OnnxRuntimeRunner(model.SerializeToString(), threads=threads).run


def logits_of(
    function: Callable[[Tensors], Outputs], name: str = LOGITS
) -> Callable[[Tensors], npt.NDArray[np.float32]]:
    """The same function, the output `name` only."""
    return lambda tensors: function(tensors)[name]


def one_by_one(
    function: Callable[[Tensors], Outputs], tensors: Tensors, inputs: tuple[InputSpec, ...], batch: int
) -> Outputs:
    """Outputs for arrays (count, ...), fed in pieces of the smallest batch that the graph takes."""
    if not inputs:
        return function({})
    count = len(tensors[inputs[0].name])
    pieces = [
        function({spec.name: tensors[spec.name][start : start + batch] for spec in inputs})
        for start in range(0, count - count % batch, batch)
    ]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
