"""What stands between the logits and an output that a file gives: a softmax is left out, as softmax is outside."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from edgefer_export.quantise.graph_index import ONNX_DOMAINS, names_read

_RESHAPES = frozenset({"Identity", "Flatten", "Reshape", "Squeeze", "Dropout"})


@dataclass(frozen=True)
class Ending:
    """How the output of scores ends: the last operator that is more than a change of shape.

    `operator` is Softmax, LogSoftmax, Sigmoid or another; `source` is the tensor that it reads.
    """

    operator: str
    node: str
    source: str


def ending_of(graph: onnx.GraphProto, output: str) -> Ending | None:
    """The end of the graph at `output`; None where no node makes it."""
    makers = {name: node for node in graph.node for name in node.output}
    node = makers.get(output)
    while node is not None and node.op_type in _RESHAPES and node.domain in ONNX_DOMAINS:
        node = makers.get(node.input[0])
    return None if node is None else Ending(node.op_type, node.name, node.input[0] if node.input else "")


def without_softmax(graph: onnx.GraphProto, output: str, name: str) -> None:
    """Let `output` be the scores before the softmax at its end, in place, and call it `name`.

    What the softmax's result is read for beside that stays as it is.
    """
    makers = {each: node for node in graph.node for each in node.output}
    chain = [makers[output]]
    while chain[-1].op_type in _RESHAPES:
        chain.append(makers[chain[-1].input[0]])
    softmax, reshapes = chain[-1], chain[:-1]
    source = softmax.input[0]
    copies = []
    for index, node in enumerate(reversed(reshapes)):
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        last = index == len(reshapes) - 1
        copy.name = f"{node.name}/logits"
        copy.input[0] = source
        copy.output[:] = [name if last else f"{node.output[0]}_logits"]
        source = copy.output[0]
        copies.append(copy)
    if not copies:
        copies = [onnx.helper.make_node("Identity", [source], [name], f"{softmax.name}/logits")]
    graph.node.extend(copies)
    for value in graph.output:
        if value.name == output:
            value.name = name
    _drop_unread(graph)


def _drop_unread(graph: onnx.GraphProto) -> None:
    while True:
        read = names_read(graph)
        dead = [node for node in graph.node if not any(name in read for name in node.output)]
        if not dead:
            return
        for node in dead:
            graph.node.remove(node)
