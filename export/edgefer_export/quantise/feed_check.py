"""Calibration samples are checked against the graph's inputs before they reach onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import GraphProto, ValueInfoProto, helper

from edgefer.errors import InputError
from edgefer_export.quantise.graph_index import required_inputs


class FeedCheck:
    """The names, types and shapes that a sample must have."""

    def __init__(self, graph: GraphProto) -> None:
        self._inputs = {value.name: value for value in required_inputs(graph)}

    def __call__(self, feed: Mapping[str, np.ndarray], index: int) -> None:
        """Check sample number `index`.

        Raises:
            InputError: names, type, shape or values do not fit; the message names the sample and the input.
        """
        missing = [name for name in self._inputs if name not in feed]
        unknown = [name for name in feed if name not in self._inputs]
        if missing or unknown:
            raise InputError(
                f"calibration sample {index} has the inputs {', '.join(map(repr, feed)) or 'none'}, "
                f"the graph takes {', '.join(map(repr, self._inputs))}",
                hint="feed every input of the graph by its name, and nothing else",
            )
        for name, value in self._inputs.items():
            _check(value, np.asarray(feed[name]), index)


def _check(value: ValueInfoProto, array: np.ndarray, index: int) -> None:
    where = f"calibration sample {index}, input '{value.name}'"
    tensor = value.type.tensor_type
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    if array.dtype != dtype:
        raise InputError(f"{where}: found {array.dtype}, expected {dtype}", hint=f"convert it with .astype('{dtype}')")
    if tensor.HasField("shape"):
        expected = [_size(dimension) for dimension in tensor.shape.dim]
        fits = len(expected) == array.ndim and all(
            size is None or size == actual for size, actual in zip(expected, array.shape, strict=True)
        )
        if not fits:
            wanted = "x".join("?" if size is None else str(size) for size in expected)
            found = "x".join(map(str, array.shape))
            raise InputError(f"{where}: found shape {found}, expected {wanted}", hint="feed one sample at a time")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(f"{where} holds NaN or infinity", hint="look at the image this sample was read from")


def _size(dimension: onnx.TensorShapeProto.Dimension) -> int | None:
    return dimension.dim_value if dimension.HasField("dim_value") else None
