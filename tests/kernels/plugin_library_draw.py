"""What is said to plugin_probe.cpp: creations with fields, tensors, and random nodes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgefer.kernels.forms import FORMS, Form
from edgefer.plugins.fields import FIELDS, FieldValue, defaults
from edgefer.plugins.operations import OPERATIONS

sys.path.append(str(Path(__file__).parents[1] / "edgefer" / "plugins"))
from plugin_fakes import DataType, Desc, TensorFormat, describe

_LETTERS = {"int32": "i", "float32": "f", "char": "c"}


def create(operator: str, values: Mapping[str, FieldValue], phase: str = "build") -> list[str]:
    types = {field.name: field.type for field in FIELDS[operator]}
    lines = [f"{_LETTERS[types[name]]} {name} 1 {_text(value)}" for name, value in values.items()]
    return [f"create {operator} {phase} {len(lines)}", *lines]


def _text(value: FieldValue) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def tensor(description: Desc) -> str:
    return " ".join([description.type.name, description.format.name, *map(str, description.dims)])


def tensors(described: list[Desc]) -> list[str]:
    return [f"tensors {len(described) - 1}", *map(tensor, described)]


class Draw:
    """Nodes with tensors that fit more often than not."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def of(self, *values: Any) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def rarely(self) -> bool:
        return bool(self.rng.random() < 0.04)

    def node(self, operator: str) -> tuple[dict[str, FieldValue], list[Desc]]:
        operation, form = OPERATIONS[operator], self.of(*FORMS)
        values = {**defaults(operator), **self._attributes(operator)}
        given = [name for name in operation.inputs if name not in operation.optional or self.rng.random() < 0.7]
        if operation.optional:
            bits = (1 << bit for bit, name in enumerate(operation.optional) if name in given)
            values["present"] = sum(bits) if not self.rarely() else self.of(-1, 0, 1, 3)
        batch, channels, hidden = self.of(1, 2, 5), 32 * self.of(1, 2, 8), self.of(1, 4, 16)
        if self.rarely():
            channels = self.of(6, 8, 12, 2048)
        weights = self.of("f32", "f16") if form.element == "i8" else form.element
        kernel = int(values.get("spatial_kernel", 7))
        shapes: dict[str, tuple[int, ...]] = {"Ws": (1, 2, kernel, kernel), "bs": (1,), "P": (batch, 2)}
        square = dict.fromkeys(("W", "Wv", "Wi"), (channels, channels))
        shapes |= {"W1": (hidden, channels), "b1": (hidden,), "W2": (channels, hidden), "b2": (channels,), **square}
        shapes |= dict.fromkeys(("b", "bv", "bi"), (channels,))
        shapes |= {name: (batch, channels, self.of(1, 7, 14), self.of(1, 7, 28)) for name in operation.maps}
        shapes |= {"R": shapes["X"]} if "R" in operation.maps else {}
        for name in operation.maps:
            if form.element == "i8" and not self.rarely():
                values[operation.maps[name]] = 0.5
        output = form if operation.gives_map else Form(weights, "linear")
        if operation.gives_map and (self.rng.random() < 0.2 or form.element == "i8"):
            output, values["y_scale"] = Form("i8", "chw32"), 0.25
        descriptions = [
            describe(shapes[name], form if name in operation.maps else Form(weights, "linear")) for name in given
        ]
        shape = operation.output_shape({name: shapes[name] for name in operation.maps if name in given})
        return values, [self._changed(each) for each in (*descriptions, describe(shape, output))]

    def _attributes(self, operator: str) -> dict[str, FieldValue]:
        whole = {name: self.of(0, 1) for name in ("relu", "square", "square_visible", "square_infrared", "interleave")}
        gate = {"gate": self.of("sigmoid", "hard_sigmoid"), "spatial_kernel": self.of(3, 5, 7, 7, 9)}
        names = {field.name for field in FIELDS[operator]}
        return {name: value for name, value in {**whole, **gate}.items() if name in names}

    def _changed(self, description: Desc) -> Desc:
        kind, layout, shape = description.type, description.format, description.dims
        if layout == TensorFormat.HWC8 and self.rng.random() < 0.3:
            layout = TensorFormat.HWC
        if self.rarely():
            layout = self.of(
                TensorFormat.LINEAR, TensorFormat.HWC, TensorFormat.HWC8, TensorFormat.CHW32, TensorFormat.CHW4
            )
        if self.rarely():
            kind = DataType[self.of("FLOAT", "HALF", "INT8", "INT32")]
        if self.rarely():
            shape = (*shape[:-1], shape[-1] + 1)
        return Desc(shape, kind, layout)
