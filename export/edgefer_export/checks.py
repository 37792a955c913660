"""Comparing two computations of the same network, and running an ONNX graph literally."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Feeds = dict[str, npt.NDArray[np.float32]]
Array = npt.NDArray[Any]

# onnxruntime would fold scales and biases of a float16 graph with Q/DQ, and then compute something else on the CPU.
_DISABLED_OPTIMIZERS = ["WeightBiasQuantization"]


def relative_error(found: Array, reference: Array) -> float:
    """max|found - reference| / max(1, max|reference|), in float64.

    Not a number or infinity in `found` gives infinity, so that no comparison with a bound lets it pass.

    Raises:
        ValueError: the shapes differ.
    """
    if found.shape != reference.shape:
        raise ValueError(f"shapes differ: {found.shape} and {reference.shape}")
    if found.size == 0:
        return 0.0
    exact = reference.astype(np.float64)
    difference = np.abs(found.astype(np.float64) - exact).max()
    error = float(difference / max(1.0, float(np.abs(exact).max())))
    return error if np.isfinite(error) else float("inf")


class Graph:
    """An ONNX model in onnxruntime on the CPU with optimisations off, so that it computes what is written.

    Raises:
        Exception: whatever onnxruntime raises for a model that it cannot load; the caller knows what it means.
    """

    def __init__(self, model: Any, *, threads: int = 0) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=_DISABLED_OPTIMIZERS,
        )
        self.outputs = tuple(output.name for output in self._session.get_outputs())

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name."""
        values = self._session.run(None, dict(feeds))
        return dict(zip(self.outputs, values, strict=True))


def random_feeds(model: Any, seed: int, *, batch: int = 1) -> dict[str, Array]:
    """Random values for every input of an ONNX model: uniform in 0..1, or 0 and 1 where they are whole numbers.

    An unknown first dimension becomes `batch`, any other unknown one 1.
    """
    from onnx import helper

    rng = np.random.default_rng(seed)
    feeds: dict[str, Array] = {}
    for value in model.graph.input:
        tensor = value.type.tensor_type
        shape = [dim.dim_value or (1 if index else batch) for index, dim in enumerate(tensor.shape.dim)]
        dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        uniform = rng.random(shape)
        feeds[value.name] = (uniform if np.issubdtype(dtype, np.floating) else uniform > 0.5).astype(dtype)
    return feeds
