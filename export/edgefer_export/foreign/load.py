"""From the path of an ONNX file and what was said about it to a network that can be built."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from edgefer.bundle.manifest import Role
from edgefer.engine.support.reading import read_graph
from edgefer.errors import InputError, UsageError
from edgefer_export.foreign import quantised
from edgefer_export.foreign.inputs import file_inputs, input_specs
from edgefer_export.foreign.network import ForeignNetwork
from edgefer_export.foreign.original import FileOutput, Original
from edgefer_export.foreign.outputs import Tried, file_outputs, tried
from edgefer_export.foreign.softmax import Ending, ending_of
from edgefer_export.foreign.tidy import tidied
from edgefer_export.foreign.wellformed import check_wellformed, tensors_within
from edgefer_export.networks.loaded import check_labels, class_names
from edgefer_export.networks.roles import graph_role
from edgefer_export.preprocess import check_integers, with_preprocess

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
_FOLLOWS = 1e-4
"""How far the softmax of what a graph reads may be from what it gives."""


@dataclass(frozen=True)
class Said:
    """What the user says about a file: shapes and roles of inputs by name, roles of outputs by name, labels, band, and
    how images become its inputs."""

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    input_roles: Mapping[str, Role] = field(default_factory=dict)
    output_roles: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] | None = None
    band: str | None = None
    preprocess: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def load_onnx(path: str | Path, said: Said | None = None) -> ForeignNetwork:
    """Read an ONNX file, weights beside it included, and try it in onnxruntime.

    Raises:
        InputError: the file is missing, is no ONNX model or not a whole one, or has weights that are not numbers.
        ExportError: it has an operator that no one has, one that TensorRT cannot take in any form, or does not run.
        UsageError: what was said does not fit the graph.
    """
    said = said or Said()
    path = Path(path)
    where = path.name
    graph = read_graph(path)
    check_wellformed(graph.model, where)
    tidy, notes = tidied(graph.model, where)
    quantised.check_integer_operators(tidy.graph, where)
    if quantised.precision_of(tidy).startswith("int8"):
        notes = (*notes, *quantised.repaired(tidy, where))
    entries = file_inputs(tidy.graph, said.shapes, where)
    _check_outputs(tidy.graph, where)
    specs, input_notes = input_specs(entries, said.input_roles, said.band, where)
    specs = with_preprocess(specs, said.preprocess, where)
    if said.preprocess:
        check_integers(specs, {entry.name: entry.bounds for entry in entries if entry.bounds is not None}, where)
    original = Original(graph.model, where)
    found = tried(original, specs, entries, where)
    repeat = max((entry.repeat for entry in entries), default=1)
    names = [value.name for value in tidy.graph.output]
    outputs, output_notes = file_outputs(found.answers, names, said.output_roles, repeat, where)
    elements = {name: int(helper.np_dtype_to_tensor_dtype(found.answers[0][name].dtype)) for name in names}
    taps = {name for node in graph.model.graph.node for name in node.output}
    ending = _softmax(tidy.graph, outputs, taps)
    cut = None
    if ending is not None and ending.operator == "Softmax":
        tapped = Original(graph.model, where, (ending.source,))
        again = tried(tapped, specs, entries, where)
        cut = _cut(outputs, again, ending)
    if cut is not None and ending is not None:
        original = tapped
        outputs = tuple(_scores(each, ending, names) if each.name == cut else each for each in outputs)
        name = next(each.name for each in outputs if each.logits)
        elements[name] = elements.pop(cut)
        output_notes = (
            *output_notes,
            f"node {ending.node} is a softmax at the end; it is left out, and output {name} is the logits in front of "
            f"it: the manifest's softmax is outside the graph",
        )
    elif ending is not None:
        output_notes = (*output_notes, _kept(ending))
    return ForeignNetwork(
        name=where,
        source=str(path.resolve()),
        digest=hashlib.sha256(graph.data).hexdigest(),
        inputs=specs,
        labels=_labels(outputs, said.labels, where),
        graph_role=graph_role(specs),
        native=quantised.precision_of(tidy),
        parameters=_parameters(tidy.graph),
        tidy=tidy,
        file_inputs=entries,
        file_outputs=outputs,
        original=original,
        whole=found.whole,
        elements=elements,
        cut=cut,
        notes=(*notes, *input_notes, *output_notes),
    )


def with_labels(network: ForeignNetwork, labels: tuple[str, ...]) -> ForeignNetwork:
    """The same network with other labels.

    Raises:
        UsageError: there are not as many as the network has classes.
    """
    return replace(network, labels=_labels(network.file_outputs, labels, network.name))


def _check_outputs(graph: onnx.GraphProto, where: str) -> None:
    inputs = {value.name for value in graph.input}
    for value in graph.output:
        if value.name in inputs:
            raise InputError(
                f"{where}: the output '{value.name}' is an input handed on, and one name cannot be both",
                hint="leave it out, or put an Identity in front of it",
            )


def _softmax(graph: onnx.GraphProto, outputs: tuple[FileOutput, ...], taps: set[str]) -> Ending | None:
    logits = next((each for each in outputs if each.logits), None)
    if logits is None:
        return None
    ending = ending_of(graph, logits.tensor)
    if ending is None or ending.operator not in ("Softmax", "LogSoftmax", "Sigmoid"):
        return None
    if ending.operator == "Softmax" and ending.source not in taps:
        # It was inside a function of the model, or is a weight or an input: the file itself cannot be asked for it.
        return Ending("Softmax inside a function", ending.node, ending.source)
    return ending


def _cut(outputs: tuple[FileOutput, ...], found: Tried, ending: Ending) -> str | None:
    """The output of scores whose softmax can be left out; None where it does not run over the classes."""
    logits = next(each for each in outputs if each.logits)
    for answer in found.answers:
        scores, given = answer[ending.source], answer[logits.tensor]
        if scores.size != given.size:
            return None
        if not np.allclose(_softmax_of(scores.reshape(given.shape)), given, atol=_FOLLOWS):
            return None
    return logits.name


def _softmax_of(scores: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    exact = scores.astype(np.float64)
    powers = np.exp(exact - exact.max(axis=-1, keepdims=True))
    result: npt.NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
    return result


def _scores(output: FileOutput, ending: Ending, taken: list[str]) -> FileOutput:
    name = "logits" if "logits" not in taken else f"{output.name}_logits"
    return FileOutput(name, ending.source, output.batched, output.shape, output.varies, logits=True)


def _kept(ending: Ending) -> str:
    if ending.operator == "LogSoftmax":
        return f"node {ending.node} is a LogSoftmax at the end; it stays: the softmax of its result is the same"
    if ending.operator == "Sigmoid":
        return (
            f"node {ending.node} is a sigmoid at the end; it stays: the order of the classes is right, but what is "
            "computed as confidence is the softmax of its results"
        )
    return f"node {ending.node} is a softmax at the end that cannot be left out; confidences are a softmax of a softmax"


def _labels(outputs: tuple[FileOutput, ...], given: tuple[str, ...] | None, where: str) -> tuple[str, ...]:
    logits = next((each for each in outputs if each.logits), None)
    if logits is None:
        if given is not None:
            shapes = ", ".join(f"{each.name} {each.shape}" for each in outputs)
            raise UsageError(
                f"{len(given)} labels are given, but no output of {where} holds logits: {shapes}.",
                hint="State one as --output NAME:logits, or leave --labels out.",
            )
        return ()
    classes = logits.shape[1]
    chosen = given if given is not None else class_names(classes)
    if len(chosen) != classes:
        raise UsageError(
            f"{where} gives {classes} classes in its output {logits.name}, but there are {len(chosen)} labels.",
            hint="State the labels in the order of the logits, one for each.",
            details=f"labels: {', '.join(chosen[:10])}{', ...' if len(chosen) > 10 else ''}",
        )
    check_labels(chosen)
    return chosen


def _parameters(graph: onnx.GraphProto) -> int:
    return sum(int(np.prod(tensor.dims)) for _, tensor in tensors_within(graph) if tensor.data_type in _FLOATS)
