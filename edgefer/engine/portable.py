"""From the portable ONNX to what a TensorRT parser is given.

An operator of domain `edgefer` is a node *and* a model-local function of the same name. TensorRT releases disagree on
which of the two wins, and inlining in their parsers trips over functions that hold Q/DQ; so the choice is made here:
the function is stripped where a plugin implements the node, and inlined everywhere else.
"""

from __future__ import annotations

from typing import Any

from edgefer.errors import BundleError, CompileError, EnvironmentMismatch

Operator = tuple[str, str]
"""Domain and name, as in ("edgefer", "CbamAttention")."""

RULES_VERSION = 1
"""Raised when the same input would give a different graph, so that cached engines are built again."""


def for_parser(onnx_bytes: bytes, plugins: frozenset[Operator] = frozenset()) -> bytes:
    """The model with every function inlined, except those that `plugins` implement, which are stripped.

    The result holds no function at all; opset, IR version, inputs and outputs are those of the input, and equal input
    gives equal bytes. Needs the package `onnx`.

    Raises:
        EnvironmentMismatch: `onnx` is not installed.
        BundleError: the bytes are not an ONNX model.
        CompileError: a function cannot be inlined.
    """
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
    if not model.functions:
        return onnx_bytes
    inline = [(each.domain, each.name) for each in model.functions if (each.domain, each.name) not in plugins]
    model = _inlined(model, inline)
    kept = {(each.domain, each.name) for each in model.functions} - plugins
    if kept:
        raise CompileError(f"functions stayed in the graph after inlining: {sorted(kept)}", hint="report this graph")
    del model.functions[:]
    _name_nodes(model.graph)
    serialised: bytes = model.SerializeToString(deterministic=True)
    return serialised


def _name_nodes(graph: Any) -> None:
    """Give nodes without a name of their own that of their first output, so that parser and layer log can name them.

    The inliner repeats the body's node names for each call, and leaves nodes unnamed where the body does.
    """
    seen: set[str] = set()
    for node in graph.node:
        if not node.name or node.name in seen:
            node.name = next((output for output in node.output if output), "")
        seen.add(node.name)


def _inlined(model: Any, functions: list[Operator]) -> Any:
    """`model` with `functions` inlined, nested ones too: the inliner replaces calls inside inlined bodies."""
    if not functions:
        return model
    from onnx import inliner

    opsets = {each.domain: each.version for each in model.opset_import}
    try:
        result = inliner.inline_selected_functions(model, functions)
    except (RuntimeError, ValueError) as error:
        names = ", ".join(f"{domain}::{name}" for domain, name in functions)
        raise CompileError(f"cannot inline {names}", hint="check the function bodies", details=str(error)) from error
    after = {each.domain: each.version for each in result.opset_import}
    if after.get("") != opsets.get("") or result.ir_version != model.ir_version:
        raise CompileError(
            f"inlining changed opset {opsets.get('')} to {after.get('')} or IR {model.ir_version} to "
            f"{result.ir_version}",
            hint="write the function bodies in the model's own opset",
        )
    return result
