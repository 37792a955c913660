"""From the deployed graph to the form for a CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from edgefer.engine.portable import for_parser
from edgefer.runtime.cpu_form.layers import find_layers, float_weights
from edgefer.runtime.cpu_form.model import Model
from edgefer.runtime.cpu_form.products import to_products
from edgefer.runtime.cpu_form.single import to_single
from edgefer.runtime.cpu_form.unsigned import to_unsigned

RULES_VERSION = 1
"""Raised when the same graph would give another form, so that cached ones are made again."""

Variant = Literal["fast", "reduced", "single", "zero_point_128"]


@dataclass(frozen=True)
class Derived:
    """A form of a graph: its bytes, and how many layers it computes in integers (of how many quantised ones)."""

    onnx: bytes
    integer_layers: int
    quantised_layers: int


def derive(onnx: bytes, variant: Variant = "fast") -> Derived:
    """The form of a deployed graph for onnxruntime on a CPU. Needs the package `onnx`.

    Inputs, outputs and scales are those of the graph; nothing is calibrated. Functions are inlined, and casts to FP16
    dropped: weights keep the values that FP16 gave them, and what lies between is computed in float32.

    * `fast`: quantised layers as products of integer matrices, with unsigned activations: zero point 0 where a Q takes
      in the ReLU before it, 128 elsewhere. It differs from the graph in the rounding of sums alone.
    * `reduced`: the same with 7-bit weights, for CPUs whose kernels add in 16 bits; they lose their last bit.
    * `single`: without casts and otherwise as it was.
    * `zero_point_128`: Q and DQ stay, with unsigned activations. Evaluated literally it is bit-equal to a graph without
      casts, which proves the change of sign that `fast` rests on.

    Raises:
        EnvironmentMismatch: `onnx` is not installed.
        BundleError: the bytes are not an ONNX model, or use half precision in a way that float32 cannot stand for.
        CompileError: a function cannot be inlined.
    """
    model = Model(to_single(_inferred(for_parser(onnx))))
    if variant == "single":
        model.prune()
        return Derived(model.serialised(), 0, 0)
    activations = to_unsigned(model)
    if variant == "zero_point_128":
        return Derived(model.serialised(), 0, 0)
    layers = find_layers(model, activations, reduce_range=variant == "reduced")
    written = to_products(model, layers, activations)
    float_weights(model)
    model.prune()
    return Derived(model.serialised(), written, len(layers))


def _inferred(onnx: bytes) -> Any:
    from onnx import ModelProto, shape_inference

    return shape_inference.infer_shapes(ModelProto.FromString(onnx), data_prop=True)
