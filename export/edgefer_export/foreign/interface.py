"""The bundle's form of a graph's inputs and outputs: float32 in, a batch axis in front of everything."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgefer_export.foreign.inputs import FileInput
from edgefer_export.foreign.original import FileOutput
from edgefer_export.quantise.graph_index import UniqueNames, nodes_within, subgraphs

BATCH = "batch"


def with_interface(
    model: onnx.ModelProto,
    inputs: tuple[FileInput, ...],
    outputs: tuple[FileOutput, ...],
    elements: Mapping[str, int],
    *,
    free_batch: bool,
) -> onnx.ModelProto:
    """`model` (opset 19, changed in place) with the bundle's inputs and outputs.

    Args:
        elements: the type of each output, of `onnx.TensorProto`.
        free_batch: leave the batch open.
    """
    graph = model.graph
    names = UniqueNames(graph)
    front = [node for entry in inputs for node in _entry(graph, entry, names)]
    back = [node for each in outputs for node in _exit(graph, each, names)]
    nodes = [*front, *graph.node, *back]
    del graph.node[:]
    graph.node.extend(nodes)
    batch: int | str = BATCH if free_batch else 1
    del graph.input[:]
    graph.input.extend(
        helper.make_tensor_value_info(entry.name, TensorProto.FLOAT, [batch, *entry.bundle_shape[1:]])
        for entry in inputs
    )
    del graph.output[:]
    for each in outputs:
        sizes = [None] * len(each.shape[1:]) if each.varies else list(each.shape[1:])
        graph.output.append(helper.make_tensor_value_info(each.name, elements[each.name], [batch, *sizes]))
    del graph.value_info[:]
    return model


def _entry(graph: onnx.GraphProto, entry: FileInput, names: UniqueNames) -> list[onnx.NodeProto]:
    """The nodes between the bundle's input and what the file's graph reads."""
    nodes: list[onnx.NodeProto] = []
    steps = [] if entry.batched else ["Squeeze"]
    steps += [] if entry.element == TensorProto.FLOAT else ["Cast"]
    # onnxruntime has no half-precision kernels for the CPU, widens, and drops a rounding that stands right before it.
    steps += ["Identity"] if entry.element == TensorProto.FLOAT16 else []
    if not steps:
        return nodes
    inner = names.take(f"{entry.name}_in_file")
    renamed(graph, entry.name, inner)
    source = entry.name
    for step in steps:
        target = inner if step == steps[-1] else names.take(f"{entry.name}_{step.lower()}")
        if step == "Squeeze":
            axes = _axes(graph, names)
            nodes.append(helper.make_node("Squeeze", [source, axes], [target], names.take(f"{entry.name}/Squeeze")))
        else:
            node = helper.make_node(step, [source], [target], names.take(f"{entry.name}/{step}"))
            if step == "Cast":
                node.attribute.append(helper.make_attribute("to", entry.element))
            nodes.append(node)
        source = target
    return nodes


def _exit(graph: onnx.GraphProto, output: FileOutput, names: UniqueNames) -> list[onnx.NodeProto]:
    """The nodes between what the file's graph gives and the bundle's output."""
    made = {name for node in graph.node for name in node.output}
    # What is not made by a node, a weight or an input, needs one to be an output of its own name.
    if output.batched and output.name in made:
        return []
    inner = names.take(f"{output.name}_in_file")
    renamed(graph, output.name, inner)
    if output.batched:
        return [helper.make_node("Identity", [inner], [output.name], names.take(f"{output.name}/Identity"))]
    axes = _axes(graph, names)
    return [helper.make_node("Unsqueeze", [inner, axes], [output.name], names.take(f"{output.name}/Unsqueeze"))]


def _axes(graph: onnx.GraphProto, names: UniqueNames) -> str:
    name = names.take("batch_axis")
    graph.initializer.append(numpy_helper.from_array(_ZERO, name))
    return name


_ZERO: npt.NDArray[np.int64] = np.zeros(1, np.int64)


def renamed(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Call the tensor `old` `new`, where it is made and where it is read, subgraphs included."""
    for node in nodes_within(graph):
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
        for body in subgraphs(node):
            for value in body.output:
                value.name = new if value.name == old else value.name
    for tensor in graph.initializer:
        tensor.name = new if tensor.name == old else tensor.name
