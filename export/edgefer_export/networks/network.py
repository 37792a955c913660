"""What a build needs of a network, wherever it comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnx

from edgefer.bundle.manifest import GraphRole, InputSpec, OutputSpec, Precision
from edgefer_export.simplify import SimplifyResult

Tensors = Mapping[str, npt.NDArray[np.float32]]
Outputs = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class ExportedGraph:
    """An exported network. `max_error` is the largest max|a-b| / max(1, max|ref|) of any output on any input tried;
    `seconds` is the time of export and check. `simplified` is there where the export had to simplify it already."""

    model: onnx.ModelProto
    outputs: tuple[OutputSpec, ...]
    max_error: float
    seconds: float
    notes: tuple[str, ...] = ()
    simplified: SimplifyResult | None = None


class Network(Protocol):
    """A network as the steps of a build see it: a PyTorch module, or a file.

    `labels` are in the order of the logits, and there are none where `logits`, the name of the output that holds
    them, is None. `native` is the precision that the network is written in, `fp32` unless it came quantised or in half
    precision. `reference_name` and `first_step` are what the report calls the network itself and its first graph;
    `digest` is the SHA-256 (hex) of the file it came from, if that is what it is. `fixed_shapes` says that the shapes
    of the outputs do not depend on the values of the inputs, `answer_elements` how many values they are for one
    example.
    """

    @property
    def name(self) -> str: ...
    @property
    def options(self) -> dict[str, str]: ...
    @property
    def inputs(self) -> tuple[InputSpec, ...]: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def graph_role(self) -> GraphRole: ...
    @property
    def parameters(self) -> int: ...
    @property
    def source(self) -> str: ...
    @property
    def digest(self) -> str | None: ...
    @property
    def logits(self) -> str | None: ...
    @property
    def fixed_shapes(self) -> bool: ...
    @property
    def answer_elements(self) -> int: ...
    @property
    def native(self) -> Precision: ...
    @property
    def reference_name(self) -> str: ...
    @property
    def first_step(self) -> str: ...

    def reference(self) -> Callable[[Tensors], Outputs]:
        """The network itself as a function of tensors (N, ...) by input name."""
        ...

    def noise(self, spec: InputSpec, count: int, rng: np.random.Generator) -> npt.NDArray[np.generic]:
        """`count` examples of one input where there is no data: uint8 codes of an image, or float32."""
        ...

    def export(self, feeds: Iterable[Tensors] | None, batches: tuple[int, ...]) -> ExportedGraph:
        """Its first graph, checked against it on random inputs and on `feeds`, for these batches."""
        ...


def precision_with(native: Precision, asked: Precision) -> Precision:
    """The precision of the bundle: what the network came in stays, what is asked for is added."""
    parts = {*native.split("+"), *asked.split("+")} - {"fp32"}
    both: dict[frozenset[str], Precision] = {
        frozenset({"int8"}): "int8",
        frozenset({"fp16"}): "fp16",
        frozenset({"int8", "fp16"}): "int8+fp16",
    }
    return both.get(frozenset(parts), "fp32")
