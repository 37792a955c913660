"""What a plugin has to know of an operator: its tensors, and how its kernels are planned and handed their memory."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgefer.errors import CompileError
from edgefer.kernels.forms import Form
from edgefer.kernels.plan import Gpu, Plan
from edgefer.plugins.fields import NAMESPACE, NOT_SAID, PRESENT, Values

MAP_AXES = 4


@dataclass(frozen=True)
class Tensor:
    """A tensor as a kernel meets it. A weight or a vector is `linear`."""

    shape: tuple[int, ...]
    form: Form


@dataclass(frozen=True)
class Work:
    """One call of an operator: the values of its fields, and its tensors by name, those left out left out."""

    values: Values
    tensors: Mapping[str, Tensor]

    def shape(self, name: str) -> tuple[int, ...]:
        return self.tensors[name].shape

    def form(self, name: str) -> Form:
        return self.tensors[name].form

    def size(self, name: str, axis: int) -> int:
        """One size of a tensor; 0 where it has too few axes."""
        shape = self.shape(name)
        return shape[axis] if axis < len(shape) else 0

    def has(self, name: str) -> bool:
        return name in self.tensors

    def whole(self, name: str) -> int:
        """The value of an int32 field."""
        return int(self.values[name])

    def number(self, name: str) -> float:
        """The value of a float32 field."""
        return float(self.values[name])

    def text(self, name: str) -> str:
        """The value of a char field."""
        return str(self.values[name])

    def misfit(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        """Which of the tensors that are there has another shape than it must have; "" where none has."""
        for name, expected in shapes.items():
            if self.has(name) and self.shape(name) != expected:
                return f"{name} has the shape {list(self.shape(name))}, expected {list(expected)}"
        return ""


def map_shape(work: Work, name: str) -> tuple[int, int, int, int]:
    """The shape (N, C, H, W) of a map."""
    images, channels, height, width = work.shape(name)
    return images, channels, height, width


@dataclass(frozen=True)
class Operation:
    """One operator. `maps` gives each input of shape (N, C, H, W) the field that holds its scale as INT8; `per_image`
    are vectors (N, K), and all other inputs weights, of which all have the element type of `weight`. The output is a
    map like the first input, or joins the channels of `joined` as (N, C).

    The fields of `structure` that hold the tensors' addresses have their names. `unsupported` says why no kernel does
    a piece of work ("" where one does), whatever its batch; `plan` plans what is supported.
    """

    name: str
    inputs: tuple[str, ...]
    maps: Mapping[str, str]
    weight: str
    output: str
    structure: type[ctypes.Structure]
    unsupported: Callable[[Work], str]
    plan: Callable[[Work, Gpu], Plan]
    optional: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()
    per_image: tuple[str, ...] = ()

    @property
    def first(self) -> str:
        return self.inputs[0]

    @property
    def gives_map(self) -> bool:
        return not self.joined

    def given(self, values: Values, count: int) -> tuple[str, ...]:
        """The names of a node's `count` inputs in their order.

        Raises:
            CompileError: the field `present` and the number of inputs do not fit each other.
        """
        said = mask = int(values.get(PRESENT, NOT_SAID))
        if said == NOT_SAID:
            mask = (1 << len(self.optional)) - 1 if count == len(self.inputs) else 0
        absent = frozenset(name for bit, name in enumerate(self.optional) if not mask >> bit & 1)
        names = tuple(name for name in self.inputs if name not in absent)
        if len(names) != count:
            optional = f", {PRESENT}={said} for {', '.join(self.optional)}" if self.optional else ""
            raise CompileError(
                f"a node of {NAMESPACE}::{self.name} has {count} inputs{optional}; its inputs are "
                f"{', '.join(self.inputs)}",
                hint=f"leave out only {', '.join(self.optional) or 'none'}, and say in {PRESENT} which are there",
            )
        return names

    def output_shape(self, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
        """The output's shape from those of the maps."""
        first = shapes[self.first]
        return first if self.gives_map else (first[0], sum(shapes[name][1] for name in self.joined))
