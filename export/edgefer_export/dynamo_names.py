"""Names for the graph of the dynamo exporter: the module's own paths, as the older exporter writes them.

A node of module `layer1.0.conv` becomes `/layer1/layer1.0/conv/Conv`, so that `--exclude` and the reports read alike
whichever exporter made the graph. The exporter keeps the paths in the metadata of nodes, beside stack traces with paths
of the machine, and all of that is taken out.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence

import onnx

_SCOPES = "pkg.torch.onnx.name_scopes"


def named_by_scope(model: onnx.ModelProto, *, scope: str) -> onnx.ModelProto:
    """The model, changed in place: nodes and inner tensors named by the modules they come from, below `scope`."""
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    kept = weights | {value.name for value in (*graph.input, *graph.output)}
    seen: Counter[str] = Counter()
    renamed: dict[str, str] = {}
    for node in graph.node:
        modules = _modules(node, scope, weights)
        base = "/".join(["", *_labels(modules), node.op_type])
        node.name = f"{base}_{seen[base]}" if seen[base] else base
        seen[base] += 1
        renamed.update({name: f"{node.name}_output_{i}" for i, name in enumerate(node.output) if name not in kept})
    _strip(graph)
    for node in graph.node:
        _rename(node, renamed)
    return model


def _modules(node: onnx.NodeProto, scope: str, weights: set[str]) -> list[str]:
    """The dotted paths of the modules around a node, outermost first."""
    text = {entry.key: entry.value for entry in node.metadata_props}.get(_SCOPES)
    scopes: list[str] = ast.literal_eval(text) if text else []
    prefix = f"{scope}."
    modules = [path.removeprefix(prefix) for path in scopes[:-1] if path.startswith(prefix)]
    owner = next((n.removeprefix(prefix)[: -len(".weight")] for n in node.input if n.endswith(".weight")), None)
    fused = owner is not None and bool(modules) and f"{prefix}{owner}.weight" in weights and modules[-1] != owner
    if owner is not None and fused and _parent(owner) == _parent(modules[-1]):
        # A batch norm was folded into this convolution, and the node was left with the name of the former.
        modules[-1] = owner
    return modules


def _labels(modules: Sequence[str]) -> list[str]:
    labels: list[str] = []
    before = ""
    for path in modules:
        own = path.removeprefix(f"{before}.") if before else path
        # The members of a sequence have numbers for names, which say nothing alone.
        labels.append(f"{labels[-1]}.{own}" if labels and own[:1].isdigit() else own)
        before = path
    return labels


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _rename(node: onnx.NodeProto, renamed: dict[str, str]) -> None:
    for names in (node.input, node.output):
        names[:] = [renamed.get(name, name) for name in names]
    for attribute in node.attribute:
        if attribute.HasField("g"):
            for inner in attribute.g.node:
                _rename(inner, renamed)


def _strip(graph: onnx.GraphProto) -> None:
    del graph.metadata_props[:]
    del graph.value_info[:]
    for entry in (*graph.input, *graph.output, *graph.initializer, *graph.node):
        del entry.metadata_props[:]
        entry.doc_string = ""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _strip(attribute.g)
