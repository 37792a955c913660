"""One plugin node apart from TensorRT's classes: which formats it takes, its memory, and what its enqueue launches.

Descriptions are TensorRT's `PluginTensorDesc`, inputs in their order and then the output. Only the batch may be open.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from edgefer.errors import CompileError
from edgefer.kernels.forms import Element, Form
from edgefer.kernels.plan import Gpu, Plan
from edgefer.plugins.fields import NAMESPACE, Values
from edgefer.plugins.formats import Offered, element_of, form_of, is_linear, offers
from edgefer.plugins.operations.description import MAP_AXES, Operation, Tensor, Work

_UNKNOWN = "a type, a format or an open size that no kernel takes"


class Launcher(Protocol):
    """What runs plans on a GPU: `edgefer.kernels.launch.Kernels`."""

    @property
    def gpu(self) -> Gpu: ...

    def launch(self, plan: Plan, parameters: ctypes.Structure, stream: Any) -> None: ...


@dataclass(frozen=True)
class Prepared:
    """All that can be known before addresses are: `fields` are those of the inputs and of the output, in order."""

    plan: Plan
    parameters: ctypes.Structure
    fields: tuple[str, ...]

    def launch(self, launcher: Launcher, addresses: Sequence[int], workspace: int, stream: int) -> None:
        """Put the addresses in, inputs first and then the output, and launch. Nothing is allocated."""
        for name, address in zip(self.fields, addresses, strict=True):
            setattr(self.parameters, name, address)
        if self.plan.workspace_bytes:
            self.parameters.workspace = workspace
        launcher.launch(self.plan, self.parameters, stream)


@dataclass(frozen=True)
class Node:
    """An operator with its values. `offered` are the formats for maps that the TensorRT at hand is offered."""

    operation: Operation
    values: Values
    offered: Offered

    def output_element(self, elements: Sequence[Element | None]) -> Element | None:
        """The element type of the output, given those of the inputs; None where no kernel takes them."""
        names = self.operation.given(self.values, len(elements))
        if self._scale_of_output():
            return "i8"
        first = elements[0]
        return elements[names.index(self.operation.weight)] if first == "i8" else first

    def supports(self, position: int, descriptions: Sequence[Any], count: int) -> bool:
        """Whether the tensor at `position` may be as described, given those before it. `count` inputs come first."""
        names = self.operation.given(self.values, count)
        description = descriptions[position]
        if position == count:
            return self._takes_output(description, descriptions[:count], names)
        name = names[position]
        if name in self.operation.maps:
            return self._takes_map(name, description, descriptions[0])
        return self._takes_weight(name, description, descriptions[:position], names)

    def problem(self, inputs: Sequence[Any], output: Any) -> str:
        """Why no kernel does this, or "". A batch that is not known does not matter."""
        work = self._work([*inputs, output], batch=1)
        return _UNKNOWN if work is None else self.operation.unsupported(work)

    def workspace(self, inputs: Sequence[Any], output: Any, batches: Iterable[int], gpus: Sequence[Gpu]) -> int:
        """Bytes that are enough for each of the batches on each of the GPUs."""
        works = [self._demanded([*inputs, output], batch) for batch in batches]
        return max(self.operation.plan(work, gpu).workspace_bytes for work in works for gpu in gpus)

    def prepare(self, inputs: Sequence[Any], output: Any, gpu: Gpu) -> Prepared:
        """The plan for these shapes and formats, and parameters without addresses.

        Raises:
            CompileError: there is no kernel for them.
        """
        work = self._demanded([*inputs, output], batch=None)
        plan = self.operation.plan(work, gpu)
        parameters = self.operation.structure()
        for name, value in plan.parameters.items():
            setattr(parameters, name, value)
        names = (*self.operation.given(self.values, len(inputs)), self.operation.output)
        return Prepared(plan, parameters, names)

    def _takes_map(self, name: str, description: Any, first: Any) -> bool:
        form, sizes = form_of(description), tuple(description.dims)
        if form is None or len(sizes) != MAP_AXES or (form.element == "i8") != self._is_int8(name):
            return False
        # All maps lie in memory in one way; kernels know no other.
        return offers(self.offered, description, int(sizes[1])) and form == form_of(first)

    def _takes_weight(self, name: str, description: Any, before: Sequence[Any], names: Sequence[str]) -> bool:
        element, first = element_of(description.type), element_of(before[0].type)
        if not is_linear(description) or element not in ("f32", "f16"):
            return False
        if first != "i8":
            return element == first
        weight = self.operation.weight
        return (
            name == weight
            or weight not in names[: len(before)]
            or element == element_of(before[names.index(weight)].type)
        )

    def _takes_output(self, description: Any, inputs: Sequence[Any], names: Sequence[str]) -> bool:
        element, form = element_of(description.type), form_of(description)
        if form is None or element != self.output_element([element_of(each.type) for each in inputs]):
            return False
        if not self.operation.gives_map:
            agrees = is_linear(description)
        else:
            first = form_of(inputs[0])
            same = first is not None and element == first.element
            # One layout has several names; only those that are offered are neighbours' own.
            agrees = offers(self.offered, description, int(description.dims[1])) and (form == first or not same)
        return agrees and not self.problem(inputs, description)

    def _demanded(self, descriptions: Sequence[Any], batch: int | None) -> Work:
        work = self._work(descriptions, batch)
        reason = _UNKNOWN if work is None else self.operation.unsupported(work)
        if work is None or reason:
            raise CompileError(
                f"no kernel of {NAMESPACE}::{self.operation.name} does this: {reason}",
                hint="compile with the operator written out in standard operators (--plugins inline)",
            )
        return work

    def _work(self, descriptions: Sequence[Any], batch: int | None) -> Work | None:
        """The work that the descriptions ask for, with this batch where one is given."""
        names = (*self.operation.given(self.values, len(descriptions) - 1), self.operation.output)
        tensors = {}
        for name, description in zip(names, descriptions, strict=True):
            form = self._form(name, description)
            if form is None:
                return None
            shape = tuple(int(size) for size in description.dims)
            if batch is not None and self._has_batch(name):
                shape = (batch, *shape[1:])
            if any(size < 1 for size in shape):
                return None
            tensors[name] = Tensor(shape, form)
        return Work(self.values, tensors)

    def _form(self, name: str, description: Any) -> Form | None:
        is_map = name in self.operation.maps or (name == self.operation.output and self.operation.gives_map)
        if is_map or is_linear(description):
            return form_of(description)
        return None

    def _has_batch(self, name: str) -> bool:
        return name in self.operation.maps or name == self.operation.output or name in self.operation.per_image

    def _is_int8(self, name: str) -> bool:
        return float(self.values[self.operation.maps[name]]) > 0

    def _scale_of_output(self) -> float:
        return float(self.values.get("y_scale", 0.0))
