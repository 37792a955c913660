"""Comparing two computations of the same network, and running an ONNX graph literally."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edgefer.numeric_error import Array, relative_error
from edgefer.runtime.onnxruntime_runner import OnnxRuntimeRunner

__all__ = ["Array", "Feeds", "literal_graph", "random_feeds", "relative_error"]

Feeds = dict[str, npt.NDArray[np.float32]]

# onnxruntime would fold scales and biases of a float16 graph with Q/DQ, and then compute something else on the CPU.
_DISABLED = ("WeightBiasQuantization",)


def literal_graph(model: Any, *, threads: int | None = None) -> OnnxRuntimeRunner:
    """An ONNX model in onnxruntime on the CPU with optimisations off, so that it computes what is written.

    Raises:
        BundleError: onnxruntime cannot load the model.
    """
    return OnnxRuntimeRunner(model.SerializeToString(), threads=threads, optimise=False, disabled=_DISABLED)


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
