"""An ONNX model being rewritten: constants, producers, readers, shapes, and new names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Model:
    """A view of `proto` (onnx.ModelProto, functions inlined) that passes rewrite. Node lists are replaced whole.

    `shapes` holds what is statically known when the view is made: name to lengths, None for an axis of any length.
    """

    def __init__(self, proto: Any) -> None:
        from onnx import helper, numpy_helper

        self.proto = proto
        self.graph = proto.graph
        self._helper, self._numpy = helper, numpy_helper
        self._shared: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._arrays: dict[str, Array] = {}
        overridable = {value.name for value in self.graph.input}
        self._tensors = {each.name: each for each in self.graph.initializer if each.name not in overridable}
        for node in self.graph.node:
            if node.op_type == "Constant" and not node.domain:
                values = [attribute.t for attribute in node.attribute if attribute.name == "value"]
                self._tensors.update(dict.fromkeys(node.output, values[0]) if values else {})
        self.outputs = {value.name for value in self.graph.output}
        self.shapes = _shapes(self.graph)
        self._names = {each.name for each in self.graph.initializer} | overridable | self.outputs
        for node in self.graph.node:
            self._names.update((node.name, *node.input, *node.output))
        self.refresh()

    def refresh(self) -> None:
        """Find producers and readers anew, after nodes have changed."""
        self.producer = {name: node for node in self.graph.node for name in node.output if name}
        self._readers: dict[str, list[Any]] = {}
        for node in self.graph.node:
            for name in dict.fromkeys(read_by(node)):
                self._readers.setdefault(name, []).append(node)

    def replace(self, nodes: Sequence[Any]) -> None:
        """Take `nodes`, in topological order, for those of the graph."""
        kept = list(nodes)
        del self.graph.node[:]
        self.graph.node.extend(kept)
        self.refresh()

    def readers(self, name: str) -> list[Any]:
        """The nodes that read a tensor."""
        return self._readers.get(name, [])

    def only_reader(self, name: str) -> Any | None:
        """The one node that reads a tensor that is no output of the graph; None where there is none, or more."""
        readers = self.readers(name)
        return readers[0] if len(readers) == 1 and name not in self.outputs else None

    def is_constant(self, name: str) -> bool:
        """Whether a tensor is known before any input is."""
        return name in self._tensors

    def array(self, name: str) -> Array:
        """The values of a constant."""
        if name not in self._arrays:
            self._arrays[name] = self._numpy.to_array(self._tensors[name])
        return self._arrays[name]

    def constant(self, wanted: str, array: Array) -> str:
        """The name of a constant of these values; equal ones are stored once."""
        key = (array.dtype.str, array.shape, hashlib.sha256(array.tobytes()).digest())
        if key not in self._shared:
            name = self.fresh(wanted)
            tensor = self._numpy.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
            self.graph.initializer.append(tensor)
            self._tensors[name], self._arrays[name] = tensor, array
            self._shared[key] = name
        return self._shared[key]

    def fresh(self, wanted: str) -> str:
        """`wanted`, or the first of `wanted_1`, `wanted_2`, ... that is free."""
        name, number = wanted, 0
        while name in self._names:
            number += 1
            name = f"{wanted}_{number}"
        self._names.add(name)
        return name

    def node(self, op_type: str, inputs: Sequence[str], output: str, **attributes: Any) -> Any:
        """A node that is named after what it gives."""
        return self._helper.make_node(op_type, list(inputs), [output], name=self.fresh(output), **attributes)

    def attributes(self, node: Any) -> dict[str, Any]:
        """The attributes of a node as Python values."""
        return {each.name: self._helper.get_attribute_value(each) for each in node.attribute}

    def prune(self) -> None:
        """Drop nodes that nothing reads, then constants that nothing reads."""
        wanted, kept = set(self.outputs), []
        for node in reversed(self.graph.node):
            if any(name in wanted for name in node.output):
                kept.append(node)
                wanted.update(read_by(node))
        self.replace(kept[::-1])
        stored = [each for each in self.graph.initializer if each.name in wanted]
        del self.graph.initializer[:]
        self.graph.initializer.extend(stored)

    def needs(self, domain: str, version: int) -> None:
        """State that nodes of an operator set occur."""
        if all(each.domain != domain for each in self.proto.opset_import):
            self.proto.opset_import.append(self._helper.make_opsetid(domain, version))

    def serialised(self) -> bytes:
        """The bytes; types inside are left for onnxruntime to infer, since passes change them."""
        del self.graph.value_info[:]
        data: bytes = self.proto.SerializeToString(deterministic=True)
        return data


def read_by(node: Any) -> list[str]:
    """What a node reads, the tensors that the branches of control flow capture included."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        for body in [attribute.g] if attribute.HasField("g") else list(attribute.graphs):
            for inner in body.node:
                names += read_by(inner)
            names += [value.name for value in body.output]
    return names


def _shapes(graph: Any) -> dict[str, tuple[int | None, ...]]:
    found: dict[str, tuple[int | None, ...]] = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        if kind.HasField("shape"):
            found[value.name] = tuple(axis.dim_value if axis.HasField("dim_value") else None for axis in kind.shape.dim)
    for tensor in graph.initializer:
        found[tensor.name] = tuple(tensor.dims)
    return found
