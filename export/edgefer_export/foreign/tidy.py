"""The same graph in the form that the rest of the host half reads: weights as initialisers, sorted, named nodes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
from onnx import helper, inliner, numpy_helper

from edgefer.errors import ExportError, InputError
from edgefer_export.foreign.wellformed import label
from edgefer_export.quantise.graph_index import ONNX_DOMAINS, UniqueNames, nodes_within, subgraphs


def tidied(model: onnx.ModelProto, where: str) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """A copy of a well-formed model that computes the same, and what was changed, in sentences.

    Functions are inlined; initialisers that are listed as inputs are so no more; sparse weights and `Constant` nodes
    become initialisers; nodes stand after what they read; every node has a name of its own.

    Raises:
        InputError: nodes read each other in a circle.
        ExportError: a function cannot be inlined.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    notes: list[str] = []
    if result.functions:
        notes.append(f"{len(result.functions)} functions of the model were written out")
        try:
            result = inliner.inline_local_functions(result)
        except (RuntimeError, ValueError) as error:
            raise ExportError(f"{where}: its functions cannot be inlined", details=str(error)[:500]) from error
    graph = result.graph
    graph.name = graph.name or "network"
    steps = (_free_inputs, _dense_weights, _constants, _sorted, _named)
    notes += [note for step in steps if (note := step(graph, where))]
    del graph.value_info[:]
    del graph.quantization_annotation[:]
    return result, tuple(notes)


def _free_inputs(graph: onnx.GraphProto, where: str) -> str:
    stored = {tensor.name for tensor in graph.initializer}
    kept = [value for value in graph.input if value.name not in stored]
    count = len(graph.input) - len(kept)
    del graph.input[:]
    graph.input.extend(kept)
    return f"{count} initialisers listed as inputs are weights" if count else ""


def _dense_weights(graph: onnx.GraphProto, where: str) -> str:
    count = len(graph.sparse_initializer)
    for sparse in graph.sparse_initializer:
        values = numpy_helper.to_array(sparse.values)
        indices = numpy_helper.to_array(sparse.indices)
        dense = np.zeros(tuple(sparse.dims), values.dtype)
        if indices.ndim == 1:
            dense.reshape(-1)[indices] = values
        else:
            dense[tuple(indices.T)] = values
        graph.initializer.append(numpy_helper.from_array(dense, sparse.values.name))
    del graph.sparse_initializer[:]
    return f"{count} sparse weights were written out" if count else ""


def _constants(graph: onnx.GraphProto, where: str) -> str:
    kept, count = [], 0
    for node in graph.node:
        tensor = _constant(node)
        if tensor is None:
            kept.append(node)
        else:
            count += 1
            graph.initializer.append(tensor)
    del graph.node[:]
    graph.node.extend(kept)
    return f"{count} Constant nodes became weights" if count else ""


def _constant(node: onnx.NodeProto) -> onnx.TensorProto | None:
    if node.op_type != "Constant" or node.domain not in ONNX_DOMAINS or not node.attribute:
        return None
    attribute = node.attribute[0]
    if attribute.name == "value":
        tensor = onnx.TensorProto()
        tensor.CopyFrom(attribute.t)
        tensor.name = node.output[0]
        return tensor
    kinds = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    if attribute.name not in kinds:
        return None
    values = np.asarray(helper.get_attribute_value(attribute), kinds[attribute.name])
    return numpy_helper.from_array(values, node.output[0])


def _sorted(graph: onnx.GraphProto, where: str) -> str:
    """Put each node behind what it reads, otherwise in the order of the file."""
    made = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    needs = [{made[name] for name in _reads(node) if name in made} for node in graph.node]
    order: list[int] = []
    placed: set[int] = set()
    waiting = list(range(len(graph.node)))
    while waiting:
        ready, later = [], []
        for index in waiting:
            if needs[index] <= placed:
                placed.add(index)
                ready.append(index)
            else:
                later.append(index)
        if not ready:
            raise InputError(
                f"{where}: {label(graph.node[later[0]])} waits for its own result, as do {len(later) - 1} others",
                hint="a graph must have no circle; export the network again",
            )
        order += ready
        waiting = later
    if order == list(range(len(order))):
        return ""
    nodes = [graph.node[index] for index in order]
    del graph.node[:]
    graph.node.extend(nodes)
    return "the nodes were not in the order of their execution and have been sorted"


def _reads(node: onnx.NodeProto) -> set[str]:
    """What a node reads, also through its subgraphs: what they take from outside."""
    names = {name for name in node.input if name}
    for body in subgraphs(node):
        inner = {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
        inner |= {name for each in body.node for name in each.output}
        names |= {name for each in nodes_within(body) for name in each.input} - inner
        names |= {value.name for value in body.output} - inner
    return names


def _named(graph: onnx.GraphProto, where: str) -> str:
    counts = Counter(node.name for node in graph.node)
    twice = {name for name, count in counts.items() if name and count > 1}
    names = UniqueNames(graph)
    seen: set[str] = set()
    for index, node in enumerate(graph.node):
        if not node.name:
            node.name = names.take(f"{node.op_type}_{index}")
        elif node.name in seen:
            node.name = names.take(node.name)
        seen.add(node.name)
    return (
        f"{len(twice)} names stood for several nodes, which were renamed: {', '.join(sorted(twice)[:5])}"
        if twice
        else ""
    )
