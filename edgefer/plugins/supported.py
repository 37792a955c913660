"""Whether the kernels take a node of a graph, by what is known before any TensorRT is asked."""

from __future__ import annotations

from collections.abc import Mapping

from edgefer.kernels.forms import ELEMENTS, Element, Form, Layout
from edgefer.plugins.fields import FIELDS, NAMESPACE, FieldValue, defaults
from edgefer.plugins.operations import OPERATIONS
from edgefer.plugins.operations.description import MAP_AXES, Operation, Tensor, Work

_FROM_THE_NODE = ("plugin_version", "plugin_namespace")
_BY_NAME: dict[str, Element] = {element: element for element in ELEMENTS}
_LAYOUTS: tuple[Layout, ...] = ("hwc", "linear")
"""Those of floating-point maps; INT8 has one of its own."""


def unsupported(
    operator: str,
    attributes: Mapping[str, FieldValue],
    shapes: Mapping[str, tuple[int, ...]],
    types: Mapping[str, str],
) -> str:
    """Why no kernel does a node, or "" where one does on every GPU that there are kernels for.

    Args:
        operator: its name in domain `edgefer`.
        attributes: of the node, scales of INT8 tensors among them; those left out have their defaults.
        shapes: of the inputs that are given, by their names in the operator's signature. The first axis of a map may be
            anything; a size below 1 is one that is not known.
        types: of the same inputs: "f32", "f16" or "i8".
    """
    operation = OPERATIONS.get(operator)
    if operation is None:
        return f"there is no plugin for {NAMESPACE}::{operator}, only for {', '.join(OPERATIONS)}"
    given = {name: value for name, value in attributes.items() if name not in _FROM_THE_NODE}
    unknown = sorted(set(given) - {field.name for field in FIELDS[operator]})
    if unknown:
        return f"the plugin has no field for the attribute {', '.join(unknown)}"
    values = {**defaults(operator), **given}
    return _inputs_problem(operation, shapes, types) or _work_problem(operation, values, shapes, types)


def _inputs_problem(operation: Operation, shapes: Mapping[str, tuple[int, ...]], types: Mapping[str, str]) -> str:
    missing = [name for name in operation.inputs if name not in operation.optional and name not in shapes]
    if missing or set(shapes) - set(operation.inputs):
        return f"it has the inputs {', '.join(shapes)}, expected {', '.join(operation.inputs)}"
    for name, shape in shapes.items():
        if types.get(name) not in ELEMENTS:
            return f"{name} is of type {types.get(name, 'unknown')}, expected {', '.join(ELEMENTS)}"
        if name in operation.maps and len(shape) != MAP_AXES:
            return f"{name} has {len(shape)} axes, expected {MAP_AXES}"
        has_batch = name in operation.maps or name in operation.per_image
        if any(size < 1 for size in (shape[1:] if has_batch else shape)):
            return f"{name} has the shape {list(shape)}, of which only the batch may be open"
        if has_batch and shape[:1] != shapes[operation.first][:1]:
            return f"{name} has the batch {list(shape[:1])}, {operation.first} {list(shapes[operation.first][:1])}"
    return ""


def _work_problem(
    operation: Operation,
    values: Mapping[str, FieldValue],
    shapes: Mapping[str, tuple[int, ...]],
    types: Mapping[str, str],
) -> str:
    elements = {name: _BY_NAME[types[name]] for name in shapes}
    first, weight = elements[operation.first], elements[operation.weight]
    for name, element in elements.items():
        if name in operation.maps:
            scale = float(values[operation.maps[name]])
            if (element == "i8") != (scale > 0):
                return f"{name} is {element} and {operation.maps[name]} is {scale:g}: both or neither say INT8"
        elif element != (weight if first == "i8" else first) or element == "i8":
            return f"{name} is {element} beside {operation.first} of {first} and {operation.weight} of {weight}"
    batched = {*operation.maps, *operation.per_image}
    sizes = {name: (1, *shape[1:]) if name in batched else shape for name, shape in shapes.items()}
    elements[operation.output] = "i8" if float(values.get("y_scale", 0.0)) > 0 else weight if first == "i8" else first
    sizes[operation.output] = operation.output_shape({name: sizes[name] for name in operation.maps if name in sizes})
    reasons = []
    for layout in _LAYOUTS:
        tensors = {}
        for name, size in sizes.items():
            is_map = name in operation.maps or (name == operation.output and operation.gives_map)
            tensors[name] = Tensor(size, _form(elements[name], layout if is_map else "linear"))
        reasons.append(operation.unsupported(Work(values, tensors)))
    # That of the layout which takes any number of channels matters, where it can be had.
    return "" if "" in reasons else reasons[0 if elements[operation.output] == "i8" else -1]


def _form(element: Element, layout: Layout) -> Form:
    return Form(element, "chw32" if element == "i8" else layout)
