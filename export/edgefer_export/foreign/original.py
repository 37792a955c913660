"""The file as it was given, in onnxruntime with optimisations off: what everything else is held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from edgefer.errors import BundleError, EdgeferError, ExportError
from edgefer_export.checks import literal_graph
from edgefer_export.foreign.inputs import FileInput

Tensors = Mapping[str, npt.NDArray[np.float32]]
Outputs = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class FileOutput:
    """One output: how it is called in the file and in the bundle.

    Attributes:
        name: in the bundle.
        tensor: the tensor of the file that it is; another than `name` where a softmax behind it is left out.
        batched: whether its first axis is the batch. Otherwise the bundle's output has one of size 1 in front of it.
        shape: in the bundle, with a batch of 1; as it was for one example where it depends on the values.
        varies: whether the shape depends on the values of the inputs.
        logits: whether it holds the scores (N, classes) of the classes.
    """

    name: str
    tensor: str
    batched: bool
    shape: tuple[int, ...]
    varies: bool = False
    logits: bool = False

    def from_file(self, value: npt.NDArray[Any], repeat: int) -> npt.NDArray[Any]:
        """The bundle's output for one example from what the file gave."""
        if not self.batched:
            return value[None]
        value = value[:1] if repeat > 1 else value
        return value.reshape(self.shape) if self.logits else value


class Original:
    """The file's own graph, untouched but for further tensors that it is made to give and names that stand twice.

    Raises:
        ExportError: onnxruntime cannot load it.
    """

    def __init__(self, model: onnx.ModelProto, where: str, further: tuple[str, ...] = ()) -> None:
        self._where = where
        names = [node.name for node in model.graph.node if node.name]
        if further or len(set(names)) < len(names):
            tapped = onnx.ModelProto()
            tapped.CopyFrom(model)
            tapped.graph.output.extend(onnx.ValueInfoProto(name=name) for name in further)
            # onnxruntime refuses two nodes of one name; what they compute does not depend on it.
            for node in tapped.graph.node:
                node.name = node.name if names.count(node.name) < 2 else ""
            model = tapped
        try:
            self._runner = literal_graph(model, threads=1)
        except BundleError as problem:
            raise ExportError(
                f"{where}: onnxruntime cannot load the graph: {reason(problem)}",
                hint="a graph must run in onnxruntime, which is what everything is compared with",
            ) from problem

    def one(self, tensors: Tensors, inputs: tuple[FileInput, ...]) -> Outputs:
        """What the file gives for one example, under its own names and in its own shapes.

        Raises:
            ExportError: onnxruntime fails on it.
        """
        feeds = {entry.name: entry.to_file(tensors[entry.name]) for entry in inputs}
        try:
            return self._runner.run(feeds)
        except EdgeferError as problem:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in feeds.items()) or "none"
            raise ExportError(
                f"{self._where}: onnxruntime fails on inputs of the shapes {shapes}: {reason(problem)}",
                hint="state the shapes that the network takes with --input NAME=SHAPE",
            ) from problem

    def run(self, tensors: Tensors, inputs: tuple[FileInput, ...], outputs: tuple[FileOutput, ...]) -> Outputs:
        """The bundle's outputs for a batch of examples, one after the other."""
        count = len(tensors[inputs[0].name]) if inputs else 1
        repeat = max((entry.repeat for entry in inputs), default=1)
        rows = []
        for row in range(count):
            found = self.one({name: array[row : row + 1] for name, array in tensors.items()}, inputs)
            rows.append({each.name: each.from_file(found[each.tensor], repeat) for each in outputs})
        return {each.name: np.concatenate([row[each.name] for row in rows]) for each in outputs}


def reason(problem: EdgeferError) -> str:
    """The first line of what onnxruntime said, which names the node."""
    text = problem.details or problem.message
    return next((line.strip() for line in text.splitlines() if line.strip()), problem.message)[:400]
