"""A graph as the checks see it: each node with the types, shapes and constants of its inputs, nested graphs too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from edgefer.engine.support.element_types import short_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Dimension = int | str | None
Shape = tuple[Dimension, ...]
Origin = Literal["constant", "folded", "shape", "data"]
"""Where a value comes from: stored; computed from stored values; from sizes of tensors; from the network's inputs."""

_WORST: tuple[Origin, ...] = ("constant", "folded", "shape", "data")


@dataclass(frozen=True)
class Tensor:
    """What is known of a tensor; a dimension is its size, its name, or None. No shape is an unknown rank."""

    type: str | None = None
    shape: Shape | None = None


@dataclass
class Scope:
    """The names that nodes of one graph can use: its own first, then those around it."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    outputs: frozenset[str] = frozenset()
    outer: Scope | None = None

    def tensor(self, name: str) -> Tensor:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.tensors:
                return scope.tensors[name]
            scope = scope.outer
        return Tensor()

    def origin(self, name: str) -> Origin:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.origins:
                return scope.origins[name]
            scope = scope.outer
        return "data"

    def constant(self, name: str) -> NDArray[np.generic] | None:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.constants:
                return _array(scope.constants[name])
            scope = scope.outer
        return None


@dataclass(frozen=True)
class Node:
    """One node with what is known around it; `path` is its name with those of the nodes that its graph lies in."""

    path: str
    proto: Any
    scope: Scope
    opset: int

    @property
    def operator(self) -> str:
        return str(self.proto.op_type)

    @property
    def domain(self) -> str:
        return "" if self.proto.domain == "ai.onnx" else str(self.proto.domain)

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Values of the attributes that are given, text as `str`."""
        from onnx import helper

        values = ((each.name, helper.get_attribute_value(each)) for each in self.proto.attribute)
        return {name: each.decode(errors="replace") if isinstance(each, bytes) else each for name, each in values}

    def input_name(self, index: int) -> str:
        """The tensor at an input, empty where there is none."""
        return self.proto.input[index] if index < len(self.proto.input) else ""

    def input(self, index: int) -> Tensor:
        name = self.input_name(index)
        return self.scope.tensor(name) if name else Tensor()

    def output(self, index: int = 0) -> Tensor:
        return self.scope.tensor(self.proto.output[index]) if index < len(self.proto.output) else Tensor()

    def is_output(self, name: str) -> bool:
        """Whether a tensor is an output of the graph that the node lies in."""
        return name in self.scope.outputs

    def origin(self, index: int) -> Origin:
        return self.scope.origin(self.input_name(index))

    def constant(self, index: int) -> NDArray[np.generic] | None:
        """The stored value of an input; None where it is computed or left out."""
        name = self.input_name(index)
        return self.scope.constant(name) if name else None


def default_opset(model: Any) -> int:
    """The version of the default domain that a model imports, 0 where it imports none."""
    return max((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), default=0)


def nodes_of(model: Any) -> Iterator[Node]:
    """Every node of a model without functions, those of nested graphs after the node that holds them.

    Types and shapes are those of ONNX's own inference; where it gives up, what the file itself says remains.
    """
    yield from _nodes(_inferred(model).graph, default_opset(model), "", None)


def inputs_of(graph: Any) -> dict[str, Tensor]:
    """The inputs that a user has to give: those that no initialiser fills."""
    filled = {each.name for each in graph.initializer}
    return {each.name: _described(each) for each in graph.input if each.name not in filled}


def _inferred(model: Any) -> Any:
    from onnx import shape_inference

    try:
        return shape_inference.infer_shapes(model, data_prop=True)
    except (shape_inference.InferenceError, ValueError, RuntimeError):
        return model


def _nodes(graph: Any, opset: int, path: str, outer: Scope | None) -> Iterator[Node]:
    scope = _scope(graph, outer, opset)
    for index, proto in enumerate(graph.node):
        name = proto.name or next((output for output in proto.output if output), f"#{index}")
        node = Node(path=f"{path}{name}", proto=proto, scope=scope, opset=opset)
        yield node
        for inner in _subgraphs(proto):
            yield from _nodes(inner, opset, f"{node.path}/", scope)


def _subgraphs(proto: Any) -> Iterator[Any]:
    from onnx import AttributeProto

    for attribute in proto.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == AttributeProto.GRAPHS:
            yield from attribute.graphs


def _scope(graph: Any, outer: Scope | None, opset: int) -> Scope:
    scope = Scope(outer=outer, outputs=frozenset(each.name for each in graph.output))
    for value in (*graph.value_info, *graph.input, *graph.output):
        scope.tensors[value.name] = _described(value)
    for initialiser in graph.initializer:
        scope.tensors[initialiser.name] = Tensor(short_name(initialiser.data_type), tuple(initialiser.dims))
        scope.constants[initialiser.name] = initialiser
        scope.origins[initialiser.name] = "constant"
    own = {name for proto in graph.node for name in proto.output}
    pending = list(graph.node)
    while pending:  # once where the nodes are sorted, which a file need not have them
        waiting = [proto for proto in pending if not _settle(proto, scope, own)]
        if len(waiting) == len(pending):  # a cycle
            break
        pending = waiting
    return scope


def _settle(proto: Any, scope: Scope, own: set[str]) -> bool:
    """Record where a node's outputs come from; False where an input made in this graph is not known yet."""
    if any(name in own and name not in scope.origins for name in proto.input):
        return False
    origin = _origin(proto, scope)
    if proto.op_type == "Constant":
        for attribute in proto.attribute:
            value = _stored(attribute)
            if value is not None:
                scope.constants[proto.output[0]] = value
    for name in proto.output:
        if name:
            scope.origins[name] = origin
    return True


def _origin(proto: Any, scope: Scope) -> Origin:
    if proto.op_type == "Constant":
        return "constant"
    if proto.op_type in ("Shape", "Size"):
        return "shape"
    if proto.op_type in ("RandomNormal", "RandomUniform") or any(True for _ in _subgraphs(proto)):
        return "data"
    origins = [scope.origin(name) for name in proto.input if name]
    worst: Origin = max(origins, key=_WORST.index, default=_WORST[0])
    return "folded" if worst == "constant" else worst


def _stored(attribute: Any) -> Any:
    """The value that an attribute of `Constant` stores: a tensor, or numbers; None for text and sparse tensors."""
    from onnx import AttributeProto, helper

    if attribute.type == AttributeProto.TENSOR:
        return attribute.t
    types = (AttributeProto.FLOAT, AttributeProto.INT, AttributeProto.FLOATS, AttributeProto.INTS)
    return helper.get_attribute_value(attribute) if attribute.type in types else None


def _array(value: Any) -> NDArray[np.generic]:
    import numpy as np
    from onnx import TensorProto, numpy_helper

    array: NDArray[np.generic] = numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)
    return array


def _described(value: Any) -> Tensor:
    """Type and shape of a ValueInfoProto; a sequence or an optional is of an element type of its own."""
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        return Tensor(type=kind.removesuffix("_type") if kind else None)
    tensor = value.type.tensor_type
    shape: Shape | None = None
    if tensor.HasField("shape"):
        shape = tuple(_dimension(each) for each in tensor.shape.dim)
    return Tensor(short_name(tensor.elem_type), shape)


def _dimension(dimension: Any) -> Dimension:
    if dimension.HasField("dim_value"):
        return int(dimension.dim_value)
    return dimension.dim_param or None
