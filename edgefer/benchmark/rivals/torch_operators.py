"""For each ONNX operator of the networks, the call of PyTorch that computes it.

An entry makes (function, keywords) from a node; the operands are handed to the function in the order of
`Arguments.operands`. Q/DQ are computed in floating point, as ONNX defines them: PyTorch has no INT8 kernels that take
them as they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgefer.errors import EdgeferError

Call = tuple[Callable[..., Any], Mapping[str, Any]]


class Unsupported(EdgeferError):
    """A graph holds something that cannot be said in PyTorch here."""


@dataclass
class Arguments:
    """Of a node: the names of its inputs, its attributes, and those inputs that are constant.

    `operands` are the inputs that the function is called with; an entry takes out those that become keywords.
    """

    inputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    constants: Mapping[str, Any]
    operands: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.operands = list(self.inputs)

    def get(self, name: str, default: Any) -> Any:
        """An attribute."""
        return self.attributes.get(name, default)

    def constant(self, index: int) -> Any:
        """The value of an input that must be constant, as a list; it is no operand any more. None where left out."""
        if index >= len(self.inputs) or not self.inputs[index]:
            return None
        name = self.inputs[index]
        if name not in self.constants:
            raise Unsupported(f"'{name}' is computed, expected a constant")
        self.operands[index] = ""
        return self.constants[name].tolist()

    def only(self, count: int) -> None:
        """Only the first inputs are operands."""
        del self.operands[count:]


def _plain(name: str) -> Callable[[Any, Arguments, int], Call]:
    def make(torch: Any, node: Arguments, outputs: int) -> Call:
        return getattr(torch, name), {}

    return make


def _convolution(torch: Any, node: Arguments, outputs: int) -> Call:
    if node.get("auto_pad", b"NOTSET") not in (b"NOTSET", "NOTSET"):
        raise Unsupported("Conv with auto_pad")
    words = {
        "stride": list(node.get("strides", [1, 1])),
        "padding": _symmetric(node.get("pads", [0, 0, 0, 0])),
        "dilation": list(node.get("dilations", [1, 1])),
        "groups": node.get("group", 1),
    }
    return torch.nn.functional.conv2d, words


def _max_pool(torch: Any, node: Arguments, outputs: int) -> Call:
    kernel = list(node.attributes["kernel_shape"])
    words = {
        "kernel_size": kernel,
        "stride": list(node.get("strides", [1] * len(kernel))),
        "padding": _symmetric(node.get("pads", [0] * 2 * len(kernel))),
        "dilation": list(node.get("dilations", [1] * len(kernel))),
        "ceil_mode": bool(node.get("ceil_mode", 0)),
    }
    return torch.nn.functional.max_pool2d, words


def _symmetric(pads: Any) -> list[int]:
    half = len(pads) // 2
    if list(pads[:half]) != list(pads[half:]):
        raise Unsupported(f"padding {list(pads)}, which is not the same on both sides")
    return list(pads[:half])


def _gemm(torch: Any, node: Arguments, outputs: int) -> Call:
    if node.get("transA", 0) or node.get("alpha", 1.0) != 1.0:
        raise Unsupported("Gemm with transA or alpha")
    beta, transposed = float(node.get("beta", 1.0)), bool(node.get("transB", 0))

    def gemm(x: Any, weight: Any, bias: Any = None) -> Any:
        weight = weight if transposed else weight.T
        if bias is None or beta == 1.0:
            return torch.nn.functional.linear(x, weight, bias)
        return torch.addmm(bias, x, weight.T, beta=beta)

    return gemm, {}


def _reduce(name: str) -> Callable[[Any, Arguments, int], Call]:
    def make(torch: Any, node: Arguments, outputs: int) -> Call:
        axes = node.constant(1) if len(node.inputs) > 1 else node.get("axes", None)
        node.only(1)
        if axes is None:
            raise Unsupported(f"{name} over all axes")
        return getattr(torch, name), {"dim": list(axes), "keepdim": bool(node.get("keepdims", 1))}

    return make


def _concatenate(torch: Any, node: Arguments, outputs: int) -> Call:
    axis = node.attributes["axis"]

    def concatenate(*values: Any) -> Any:
        return torch.cat(values, dim=axis)

    return concatenate, {}


def _unsqueeze(torch: Any, node: Arguments, outputs: int) -> Call:
    axes = node.constant(1)
    node.only(1)
    if min(axes) < 0:
        raise Unsupported("Unsqueeze with negative axes")

    def unsqueeze(x: Any) -> Any:
        for axis in sorted(axes):
            x = x.unsqueeze(axis)
        return x

    return unsqueeze, {}


def _flatten(torch: Any, node: Arguments, outputs: int) -> Call:
    if node.get("axis", 1) != 1:
        raise Unsupported(f"Flatten from axis {node.get('axis', 1)}")
    return torch.flatten, {"start_dim": 1}


def _batch_norm(torch: Any, node: Arguments, outputs: int) -> Call:
    # ONNX has scale and offset before mean and variance, PyTorch behind them.
    x, scale, offset, mean, variance = node.inputs
    node.operands = [x, mean, variance, scale, offset]
    return torch.nn.functional.batch_norm, {"eps": node.get("epsilon", 1e-5)}


def _global_average(torch: Any, node: Arguments, outputs: int) -> Call:
    return torch.mean, {"dim": [2, 3], "keepdim": True}


def _split(torch: Any, node: Arguments, outputs: int) -> Call:
    if len(node.inputs) > 1:
        raise Unsupported("Split into given sizes")
    return torch.chunk, {"chunks": outputs, "dim": node.get("axis", 0)}


def _cast(torch: Any, node: Arguments, outputs: int) -> Call:
    types = {1: torch.float32, 6: torch.int32, 7: torch.int64, 10: torch.float16, 11: torch.float64}
    wanted = node.attributes["to"]
    if wanted not in types:
        raise Unsupported(f"Cast to type {wanted}")
    return torch.Tensor.to, {"dtype": types[wanted]}


def _identity(torch: Any, node: Arguments, outputs: int) -> Call:
    node.only(1)

    def identity(x: Any) -> Any:
        return x

    return identity, {}


def _quantise(torch: Any, node: Arguments, outputs: int) -> Call:
    """saturate(round half to even(x / scale) + zero), kept in the type of x."""
    zero = node.constants.get(node.inputs[2]) if len(node.inputs) > 2 else None
    if zero is None or zero.dtype not in (torch.int8, torch.uint8):
        raise Unsupported("QuantizeLinear without a constant zero point of 8 bits")
    if zero.numel() != 1:
        raise Unsupported("QuantizeLinear of activations by channel")
    node.only(2)
    offset = int(zero)
    low, high = (-128, 127) if zero.dtype == torch.int8 else (0, 255)

    def quantise(x: Any, scale: Any) -> Any:
        return torch.clamp(torch.round(x / scale) + offset, low, high)

    return quantise, {}


def _dequantise(torch: Any, node: Arguments, outputs: int) -> Call:
    """(q - zero) * scale, along `axis` where there is a scale for each channel."""
    axis = node.get("axis", 1)

    def shaped(value: Any, rank: int) -> Any:
        return value if value.dim() == 0 else value.reshape([-1 if i == axis else 1 for i in range(rank)])

    def dequantise(q: Any, scale: Any, zero: Any = None) -> Any:
        q = q.to(scale.dtype)
        if zero is not None:
            q = q - shaped(zero.to(scale.dtype), q.dim())
        return q * shaped(scale, q.dim())

    return dequantise, {}


CALLS: Mapping[str, Callable[[Any, Arguments, int], Call]] = {
    "Add": _plain("add"),
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Concat": _concatenate,
    "Constant": _identity,
    "Conv": _convolution,
    "DequantizeLinear": _dequantise,
    "Div": _plain("div"),
    "Flatten": _flatten,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average,
    "Identity": _identity,
    "MatMul": _plain("matmul"),
    "MaxPool": _max_pool,
    "Mul": _plain("mul"),
    "QuantizeLinear": _quantise,
    "ReduceMax": _reduce("amax"),
    "ReduceMean": _reduce("mean"),
    "Relu": _plain("relu"),
    "Sigmoid": _plain("sigmoid"),
    "Split": _split,
    "Sub": _plain("sub"),
    "Tanh": _plain("tanh"),
    "Unsqueeze": _unsqueeze,
}
"""Operators of the default domain. `HardSigmoid` and others of other networks are named as missing."""
