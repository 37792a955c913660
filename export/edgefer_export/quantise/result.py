"""What the quantiser gives back: the graph, and everything a report says about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import onnx

from edgefer_export.quantise.spec import Method

LayerPrecision = Literal["int8", "float"]


@dataclass(frozen=True)
class Range:
    """The calibrated range of one activation tensor, in the units of that tensor.

    Attributes:
        method: how `threshold` was chosen.
        minimum, maximum: of all values seen.
        threshold: the magnitude that maps to 127; larger ones saturate.
        scale: threshold / 127, the step between two integers, as float32 holds it.
        clipped: share (0 to 1) of the values seen whose magnitude exceeds `threshold`, to the width of a bin.
    """

    method: Method
    minimum: float
    maximum: float
    threshold: float
    scale: float
    clipped: float

    @property
    def amax(self) -> float:
        """The largest magnitude seen."""
        return max(abs(self.minimum), abs(self.maximum))


@dataclass(frozen=True)
class Layer:
    """One node that could have been computed in INT8, or is an operator of domain `edgefer`.

    `reason` says why a node stayed in floating point; it is empty for INT8.
    """

    name: str
    op_type: str
    precision: LayerPrecision
    reason: str = ""


@dataclass(frozen=True)
class QuantisedGraph:
    """A graph with explicit Q/DQ and how it came about.

    Attributes:
        model: opset 19, IR 9, checked by onnx and run once by onnxruntime with optimisations off.
        ranges: by activation tensor, in the order of the graph.
        layers: in the order of the graph.
        notes: what a user should know, such as operators that were left out.
        count: calibration samples seen.
        seconds: duration of the whole step.
    """

    model: onnx.ModelProto
    ranges: dict[str, Range]
    layers: tuple[Layer, ...]
    notes: tuple[str, ...]
    count: int
    seconds: float

    @property
    def quantised(self) -> list[str]:
        """Names of the nodes computed in INT8."""
        return [layer.name for layer in self.layers if layer.precision == "int8"]

    @property
    def excluded(self) -> list[str]:
        """Names of the nodes left in floating point; `layers` has the reasons."""
        return [layer.name for layer in self.layers if layer.precision == "float"]
