"""From signed to unsigned activations: the same integers, 128 further up.

q in -128..127 with zero point 0 and q + 128 in 0..255 with zero point 128 stand for the same number, exactly, at the
same scale. Weights stay signed, with zero point 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgefer.runtime.cpu_form.model import Model

ZERO_POINT = 128


@dataclass(frozen=True)
class Quantised:
    """A quantised activation: the tensor that Q reads, its integers, and their scale."""

    source: str
    integers: str
    scale: np.float32


def to_unsigned(model: Model) -> dict[str, Quantised]:
    """Give every symmetric signed activation the type uint8 and zero point 128; what each DQ reads, by its output.

    Left as they are: integers that something else than a DQ reads or that leave the graph, and those with zero points
    or scales of their own for each channel.
    """
    found: dict[str, Quantised] = {}
    zero = model.constant("zero_point_128", np.array(ZERO_POINT, np.uint8))
    for node in list(model.graph.node):
        if node.op_type != "QuantizeLinear" or not is_symmetric(model, node) or node.output[0] in model.outputs:
            continue
        readers = model.readers(node.output[0])
        if not all(reader.op_type == "DequantizeLinear" and is_symmetric(model, reader) for reader in readers):
            continue
        node.input[2] = zero
        for reader in readers:
            reader.input[2] = zero
            scale = np.float32(model.array(reader.input[1]).reshape(()))
            found[reader.output[0]] = Quantised(node.input[0], node.output[0], scale)
    model.refresh()
    return found


def is_symmetric(model: Model, node: Any) -> bool:
    """Whether a Q or DQ has one constant scale and the constant zero point 0 of type int8."""
    if len(node.input) < 3 or not (model.is_constant(node.input[1]) and model.is_constant(node.input[2])):
        return False
    zero = model.array(node.input[2])
    return zero.dtype == np.int8 and not zero.any() and zero.size == 1 and model.array(node.input[1]).size == 1
