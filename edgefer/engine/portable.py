"""From the portable ONNX to what a TensorRT parser is given.

An operator of domain `edgefer` is a node *and* a model-local function of the same name. TensorRT releases disagree on
which of the two wins, and inlining in their parsers trips over functions that hold Q/DQ; so the choice is made here,
node by node: the function is stripped where a plugin has a kernel for the node, and inlined everywhere else.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from edgefer.engine.absorb import absorb
from edgefer.engine.decision import WrittenOut
from edgefer.engine.inlining import Operator, inlined
from edgefer.engine.plugin_nodes import DOMAIN, SIGNATURES, Unsupported, write_out
from edgefer.errors import BundleError, CompileError, EnvironmentMismatch
from edgefer.plugins.fields import FIELDS, PRESENT

RULES_VERSION = 3
"""Raised when the same input would give a different graph, or the builder is set otherwise, so that cached engines are
built again."""


@dataclass(frozen=True)
class Prepared:
    """What a parser is given. `operators` counts the nodes that stay for plugins; `written_out` are those that a plugin
    has no kernel for; `absorbed` names the nodes that read or write INT8 themselves."""

    onnx: bytes
    operators: dict[str, int]
    written_out: tuple[WrittenOut, ...] = ()
    absorbed: tuple[str, ...] = ()


def for_parser(onnx_bytes: bytes, plugins: frozenset[Operator] = frozenset()) -> bytes:
    """The model with every function inlined, except those that `plugins` implement, which are stripped.

    The result holds no function at all; opset, IR version, inputs and outputs are those of the input, and equal input
    gives equal bytes. Needs the package `onnx`.

    Raises:
        EnvironmentMismatch: `onnx` is not installed.
        BundleError: the bytes are not an ONNX model.
        CompileError: a function cannot be inlined.
    """
    return prepare(onnx_bytes, plugins).onnx


def prepare(
    onnx_bytes: bytes,
    plugins: frozenset[Operator] = frozenset(),
    unsupported: Unsupported | None = None,
    *,
    takes_int8: bool = False,
) -> Prepared:
    """As `for_parser`, with the decision made for each node.

    Args:
        onnx_bytes: the model.
        plugins: the operators that registered plugins implement.
        unsupported: says of a node why its plugin has no kernel for it; None takes every node of `plugins` as it is.
        takes_int8: whether Q and DQ around the nodes that stay go into them, where that changes nothing else. The
            graph can then be computed with the plugins only.

    Raises:
        as `for_parser` does.
    """
    model = _read(onnx_bytes)
    if not model.functions:
        return Prepared(onnx_bytes, {})
    defined = {(each.domain, each.name) for each in model.functions}
    model = inlined(model, sorted(defined - plugins))
    written: tuple[WrittenOut, ...] = ()
    absorbed: tuple[str, ...] = ()
    if unsupported is not None:
        model, written = write_out(model, plugins & defined, unsupported)
        if takes_int8:
            absorbed = absorb(model, unsupported)
    kept = {(each.domain, each.name) for each in model.functions} - plugins
    if kept:
        raise CompileError(f"functions stayed in the graph after inlining: {sorted(kept)}", hint="report this graph")
    del model.functions[:]
    _name_nodes(model.graph)
    stay = [node for node in model.graph.node if (node.domain, node.op_type) in plugins & defined]
    for node in stay:
        _state_fields(node)
    serialised: bytes = model.SerializeToString(deterministic=True)
    return Prepared(serialised, dict(Counter(node.op_type for node in stay)), written, absorbed)


def holds_operators(onnx_bytes: bytes) -> bool:
    """Whether the model has functions of domain `edgefer`, so that there is something for plugins to take.

    Raises:
        EnvironmentMismatch: `onnx` is not installed.
        BundleError: the bytes are not an ONNX model.
    """
    return any(each.domain == DOMAIN for each in _read(onnx_bytes).functions)


def _read(onnx_bytes: bytes) -> Any:
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise EnvironmentMismatch(
            "compiling a graph needs the package onnx, which cannot be imported",
            hint="pip install 'edgefer[device]'",
            details=str(error),
        ) from error
    try:
        model = onnx.ModelProto.FromString(onnx_bytes)
    except DecodeError as error:
        raise BundleError(f"the graph is not an ONNX model: {error}", hint="build the bundle again") from error
    if not model.graph.node:
        raise BundleError("the graph is not an ONNX model: it has no nodes", hint="build the bundle again")
    return model


def _state_fields(node: Any) -> None:
    """Give a node every field of its plugin, and drop the names of inputs that are left out: a plugin sees positions
    alone, and releases differ in what they do about an attribute that is missing."""
    from onnx import helper

    signature, fields = SIGNATURES.get(node.op_type), FIELDS.get(node.op_type)
    if signature is None or fields is None:
        return
    given = {name for name, tensor in zip(signature.inputs, node.input, strict=False) if tensor}
    inputs = [tensor for tensor in node.input if tensor]
    del node.input[:]
    node.input.extend(inputs)
    values = {field.name: field.default for field in fields}
    if PRESENT in values:
        values[PRESENT] = sum(1 << bit for bit, name in enumerate(signature.optional) if name in given)
    stated = {each.name for each in node.attribute}
    node.attribute.extend(helper.make_attribute(name, value) for name, value in values.items() if name not in stated)


def _name_nodes(graph: Any) -> None:
    """Give nodes without a name of their own that of their first output, so that parser and layer log can name them.

    The inliner repeats the body's node names for each call, and leaves nodes unnamed where the body does.
    """
    seen: set[str] = set()
    for node in graph.node:
        if not node.name or node.name in seen:
            node.name = next((output for output in node.output if output), "")
        seen.add(node.name)
