"""A network that is an ONNX file: what a build needs of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

import numpy as np
import numpy.typing as npt
import onnx

from edgefer.bundle.golden import encode
from edgefer.bundle.manifest import GraphRole, InputSpec, OutputSpec, Precision
from edgefer.errors import ExportError
from edgefer_export.foreign.agreement import largest_error
from edgefer_export.foreign.inputs import FileInput
from edgefer_export.foreign.interface import with_interface
from edgefer_export.foreign.opset import converted, opset_of
from edgefer_export.foreign.original import FileOutput, Original, Outputs, Tensors
from edgefer_export.foreign.samples import Whole, random_tensors, values
from edgefer_export.foreign.softmax import without_softmax
from edgefer_export.networks.network import ExportedGraph

_SEEDS = (11, 12, 13)


@dataclass(frozen=True)
class ForeignNetwork:
    """An ONNX file in the role of a network.

    Attributes:
        name: the name of the file. `source` is its path, `digest` the SHA-256 (hex) of its bytes.
        inputs, labels, graph_role: of the bundle; no labels where the graph has no logits.
        native: the precision that the file is written in.
        parameters: the number of weights.
        tidy: the graph of the file, tidied, in its own opset, with its own inputs and outputs.
        file_inputs, file_outputs: how the bundle's tensors are the file's.
        cut: the output of the file whose softmax is left out.
        elements: the type of each output, of `onnx.TensorProto`.
    """

    name: str
    source: str
    digest: str
    inputs: tuple[InputSpec, ...]
    labels: tuple[str, ...]
    graph_role: GraphRole
    native: Precision
    parameters: int
    tidy: onnx.ModelProto
    file_inputs: tuple[FileInput, ...]
    file_outputs: tuple[FileOutput, ...]
    original: Original
    whole: Whole
    elements: dict[str, int]
    cut: str | None = None
    notes: tuple[str, ...] = ()
    options: dict[str, str] = field(default_factory=dict)

    first_step = "converted"

    @property
    def reference_name(self) -> str:
        """What the report calls the file itself, which everything is compared with."""
        return "fp32 ONNX as given" if self.native == "fp32" else "ONNX as given"

    @property
    def logits(self) -> str | None:
        """The name of the output that holds the logits."""
        return next((each.name for each in self.file_outputs if each.logits), None)

    @property
    def fixed_shapes(self) -> bool:
        """Whether no output's shape depends on the values of the inputs."""
        return not any(each.varies for each in self.file_outputs)

    @property
    def answer_elements(self) -> int:
        """How many values all outputs are for one example."""
        return sum(math.prod(each.shape) for each in self.file_outputs)

    def reference(self) -> Callable[[Tensors], Outputs]:
        """The file as it was given, in onnxruntime with optimisations off."""
        return lambda tensors: self.original.run(tensors, self.file_inputs, self.file_outputs)

    def noise(self, spec: InputSpec, count: int, rng: np.random.Generator) -> npt.NDArray[np.generic]:
        """`count` examples of one input where there is nothing better."""
        return encode(values(spec, self._entries[spec.name], count, rng, self.whole), spec)

    def export(self, feeds: Iterable[Tensors] | None, batches: tuple[int, ...]) -> ExportedGraph:
        """The graph in opset 19 with the bundle's inputs and outputs, checked against the file.

        Raises:
            ExportError: it cannot be converted, or computes something else then.
        """
        begun = time.perf_counter()
        batches = tuple(sorted(set(batches)))
        model = onnx.ModelProto()
        model.CopyFrom(self.tidy)
        notes = list(self.notes)
        _fix_shapes(model.graph, self.file_inputs, free_batch=len(batches) > 1)
        if self.cut is not None:
            without_softmax(model.graph, self.cut, str(self.logits))
        if opset_of(model) != 19:
            notes.append(f"converted from opset {opset_of(model)}")
        model = converted(model, self.name)
        model = with_interface(model, self.file_inputs, self.file_outputs, self.elements, free_batch=len(batches) > 1)
        model = _checked(model, self.name)
        trials = (
            random_tensors(self.inputs, self._entries, seed, batch, self.whole) for batch in batches for seed in _SEEDS
        )
        error = largest_error(model, self.reference(), chain(trials, feeds or ()), self.name)
        specs = tuple(
            OutputSpec(name=each.name, role="logits" if each.logits else "other", shape=each.shape)
            for each in self.file_outputs
        )
        return ExportedGraph(model, specs, error, time.perf_counter() - begun, tuple(notes))

    @cached_property
    def _entries(self) -> dict[str, FileInput]:
        return {entry.name: entry for entry in self.file_inputs}


def _fix_shapes(graph: onnx.GraphProto, inputs: tuple[FileInput, ...], *, free_batch: bool) -> None:
    """State the shapes of the inputs, and forget those of the outputs: what the file says of them is often not so."""
    del graph.input[:]
    for entry in inputs:
        shape: list[int | str] = list(entry.shape)
        if entry.batched and free_batch:
            shape[0] = "batch"
        graph.input.append(onnx.helper.make_tensor_value_info(entry.name, entry.element, shape))
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")


def _checked(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    try:
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        lines = list(_lines(error))
        raise ExportError(
            f"{where}: the converted graph is not valid ONNX: {lines[0] if lines else error}",
            details="\n".join(lines[1:4]),
            hint="export the network with opset 19",
        ) from error
    return model


def _lines(error: Exception) -> Iterator[str]:
    return (line for line in str(error).splitlines() if line.strip())
