"""How much a layer computes and moves, from its kind and the shapes of its tensors.

Operations are counted as is usual for networks: a multiply-add is two, an element-wise step one for each element of its
output, a reduction or a pool one for each element it reads; laying data out anew and changing its type count none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

BYTES = {
    "fp64": 8,
    "fp32": 4,
    "tf32": 4,
    "fp16": 2,
    "bf16": 2,
    "fp8": 1,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "uint16": 2,
    "int32": 4,
    "uint32": 4,
    "int64": 8,
    "uint64": 8,
    "bool": 1,
    "int4": 0.5,
}
"""Size of an element by type."""

INT8 = ("int8", "uint8")

# Which input holds the weights; in onnxruntime's quantised forms each operand is followed by its scale and zero point.
_CONVOLUTIONS = {
    "conv": 1,
    "fusedconv": 1,
    "nhwcfusedconv": 1,
    "nhwcconv": 1,
    "convinteger": 1,
    "convolution": 1,
    "qlinearconv": 3,
}
_GROUPED = "groupconvolution"  # OpenVINO's, whose weights are (groups, outputs, inputs, ...)
_TRANSPOSED = ("convtranspose", "qlinearconvtranspose", "deconvolution")
_GEMMS = ("gemm", "fusedgemm", "qgemm")
_PRODUCTS = (
    "matmul",
    "fusedmatmul",
    "matmulinteger",
    "matmulintegertofloat",
    "dynamicquantizematmul",
    "qlinearmatmul",
    "fullyconnected",
    "fullyconnectedcompressed",
    "fullyconnectedquantized",
    "fullyconnectedquantizedlegacy",
)
_READ = (
    "reducemean",
    "reducemax",
    "reducemin",
    "reducesum",
    "reduce",
    "globalaveragepool",
    "globalmaxpool",
    "qlinearglobalaveragepool",
    "averagepool",
    "maxpool",
    "avgpool",
    "pooling",
    "qlinearaveragepool",
)
_LAID_OUT = (
    "reshape",
    "flatten",
    "squeeze",
    "unsqueeze",
    "transpose",
    "concat",
    "qlinearconcat",
    "split",
    "slice",
    "gather",
    "identity",
    "constant",
    "shape",
    "expand",
    "pad",
    "result",
    "output",
)
REFORMATS = (
    "reorder",
    "reorderinput",
    "reorderoutput",
    "cast",
    "convert",
    "quantizelinear",
    "dequantizelinear",
    "fakequantize",
    "dynamicquantizelinear",
    "reformat",
)
"""Kinds that change only the layout or the type of the same numbers, in lower case."""


@dataclass(frozen=True)
class Tensor:
    """A tensor as a layer sees it: its type as in `BYTES`, and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> float | None:
        """None for an unknown type or an open axis."""
        size = BYTES.get(self.dtype)
        return None if size is None or any(axis < 0 for axis in self.shape) else self.elements * size


def is_product(kind: str) -> bool:
    """Whether a kind is a convolution or matrix product: what INT8 arithmetic can speed up."""
    kind = kind.lower()
    return kind in _CONVOLUTIONS or kind == _GROUPED or kind in _TRANSPOSED or kind in _GEMMS or kind in _PRODUCTS


def is_reformat(kind: str) -> bool:
    """Whether a kind changes only the layout or the type of the same numbers."""
    return kind.lower() in REFORMATS


def operations(kind: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> float:
    """Operations of one layer. An unknown kind counts one for each element of its output.

    Args:
        kind: an operator of ONNX or onnxruntime, or a layer type of OpenVINO.
        inputs: in the operator's order, weights included.
        outputs: likewise.
    """
    kind = kind.lower()
    if not outputs or kind in REFORMATS or kind in _LAID_OUT:
        return 0.0
    written = outputs[0].elements
    shape = outputs[0].shape
    if kind in _CONVOLUTIONS and len(inputs) > _CONVOLUTIONS[kind]:
        return 2.0 * written * math.prod(inputs[_CONVOLUTIONS[kind]].shape[1:])
    if kind == _GROUPED and len(inputs) > 1:
        return 2.0 * written * math.prod(inputs[1].shape[2:])
    if kind in _TRANSPOSED and len(inputs) > 1:
        return 2.0 * inputs[0].elements * math.prod(inputs[1].shape[1:])
    if kind in _GEMMS and inputs and shape and shape[0]:
        return 2.0 * written * inputs[0].elements / shape[0]  # the first operand has M × K elements, transposed or not
    if kind in _PRODUCTS and inputs and inputs[0].shape:
        return 2.0 * written * inputs[0].shape[-1]
    if kind in _READ and inputs:
        return float(inputs[0].elements)
    return float(written)


def traffic(tensors: Sequence[Tensor]) -> float | None:
    """Bytes that a layer reads and writes when nothing is left in a cache; None where a type or shape is not known."""
    sizes = [tensor.bytes for tensor in tensors]
    known = [size for size in sizes if size is not None]
    return float(sum(known)) if len(known) == len(sizes) else None
