"""What a graph from elsewhere must have before anything is done to it. Every refusal names the node or tensor."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, defs, numpy_helper

from edgefer.errors import ExportError, InputError
from edgefer_export.quantise.graph_index import ONNX_DOMAINS, nodes_within, subgraphs

_WEIGHTED = frozenset(
    {"Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "InstanceNormalization", "LSTM", "GRU", "RNN"}
)
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)


def check_wellformed(model: onnx.ModelProto, where: str) -> None:
    """Refuse a graph that cannot be a network.

    Raises:
        InputError: no nodes, no outputs, a name given twice, a tensor that nothing gives, weights that are not numbers.
        ExportError: an operator that neither ONNX nor the model itself defines.
    """
    graph = model.graph
    if not graph.output:
        raise InputError(
            f"{where}: the graph has no outputs",
            hint="name the tensors that it answers with, and export it again",
        )
    if not graph.node:
        raise InputError(f"{where}: the graph has no nodes", hint="export the network again")
    _check_operators(model, where)
    _check_names(graph, where)
    _check_sources(graph, where)
    _check_values(graph, where)


def label(node: onnx.NodeProto) -> str:
    """What a message calls a node: its name, or what it gives where it has none; and its operator."""
    operator = node.op_type if node.domain in ONNX_DOMAINS else f"{node.domain}::{node.op_type}"
    if node.name:
        return f"node '{node.name}' ({operator})"
    return f"the node that gives '{next(iter(node.output), '')}' ({operator})"


def tensors_within(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Every stored tensor of a graph and its subgraphs, by the name under which it is read."""
    yield from ((tensor.name, tensor) for tensor in graph.initializer)
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                yield node.output[0], attribute.t
        for body in subgraphs(node):
            yield from tensors_within(body)


def _check_operators(model: onnx.ModelProto, where: str) -> None:
    opsets = {entry.domain: int(entry.version) for entry in model.opset_import}
    standard = opsets.get("", opsets.get("ai.onnx", 0))
    if standard < 1:
        raise InputError(f"{where}: the model does not say which opset it is written in", hint="export it again")
    own = {(function.domain, function.name) for function in model.functions}
    bodies = [node for function in model.functions for node in function.node]
    for node in (*nodes_within(model.graph), *bodies):
        if (node.domain, node.op_type) in own:
            continue
        if node.domain not in ONNX_DOMAINS:
            raise ExportError(
                f"{where}: {label(node)} is of the domain {node.domain}, whose operators are not part of ONNX",
                hint="export the network with standard operators alone, or with this one as a function of the model",
            )
        if not defs.has(node.op_type, standard, ""):
            newer = defs.has(node.op_type)
            since = f" before opset {_first(node.op_type)}" if newer else ""
            raise ExportError(
                f"{where}: {label(node)} is no operator of ONNX{since}; the model is of opset {standard}",
                hint="export it with a newer opset" if newer else "export the network with standard operators alone",
            )


def _first(operator: str) -> int:
    return min(int(schema.since_version) for schema in defs.get_all_schemas_with_history() if schema.name == operator)


def _check_names(graph: onnx.GraphProto, where: str) -> None:
    given: dict[str, str] = {}
    sources = [(value.name, "an input") for value in graph.input]
    inputs = {name for name, _ in sources}
    # An initialiser of an input's name is the input's default, as files before IR version 4 have them all.
    sources += [(tensor.name, "an initialiser") for tensor in graph.initializer if tensor.name not in inputs]
    sources += [(name, label(node)) for node in graph.node for name in node.output if name]
    stored = [tensor.name for tensor in graph.initializer]
    sources += [(name, "an initialiser") for name in sorted({n for n in stored if stored.count(n) > 1} & inputs)]
    for name, source in sources:
        if name in given:
            raise InputError(
                f"{where}: the tensor '{name}' is given twice, by {given[name]} and by {source}",
                hint="each tensor needs a name of its own; export the network again",
            )
        given[name] = source
    outputs = [value.name for value in graph.output]
    twice = sorted({name for name in outputs if outputs.count(name) > 1})
    if twice:
        raise InputError(f"{where}: two outputs are called '{twice[0]}'", hint="give each output a name of its own")


def _check_sources(graph: onnx.GraphProto, where: str) -> None:
    known = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer} | {""}
    known |= {tensor.values.name for tensor in graph.sparse_initializer}
    known |= {name for node in graph.node for name in node.output}
    for node in graph.node:
        missing = next((name for name in node.input if name not in known), None)
        if missing is not None:
            raise InputError(
                f"{where}: {label(node)} reads the tensor '{missing}', which nothing gives",
                hint="the file is damaged or was cut out of a larger graph; export the network again",
            )
    for value in graph.output:
        if value.name not in known:
            raise InputError(f"{where}: nothing gives the output '{value.name}'", hint="export the network again")


def _check_values(graph: onnx.GraphProto, where: str) -> None:
    readers = {name: node for node in nodes_within(graph) for name in node.input if node.op_type in _WEIGHTED}
    for name, tensor in tensors_within(graph):
        if tensor.data_type not in _FLOATS:
            continue
        try:
            values = numpy_helper.to_array(tensor)
        except (ValueError, TypeError) as error:
            raise InputError(
                f"{where}: the weights '{name}' are not as long as their shape {list(tensor.dims)} says",
                hint="the file is damaged; copy or export it again",
                details=str(error),
            ) from error
        exact = values.astype(np.float32) if tensor.data_type == TensorProto.BFLOAT16 else values
        nan, infinite = int(np.isnan(exact).sum()), int(np.isinf(exact).sum())
        # Infinity is of use in a mask or as a limit, and never as a weight.
        if nan or (infinite and name in readers):
            reader = f", read by {label(readers[name])}," if name in readers else ""
            raise InputError(
                f"{where}: the weights '{name}'{reader} hold {nan} NaN and {infinite} infinite values of {exact.size}",
                hint="the training diverged or the file is damaged; take another checkpoint",
            )
