"""torch's two exporters: trying them on a network, and keeping the better graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import onnx
import torch
from torch import nn

from edgefer.errors import ExportError
from edgefer_export.dynamo import DynamoExporter
from edgefer_export.exporter_errors import one_line
from edgefer_export.networks.attention import has_operators
from edgefer_export.operators import IR_VERSION, OPSET, attach_functions
from edgefer_export.simplify import SimplifyResult, simplify
from edgefer_export.spec import ExporterChoice
from edgefer_export.torchscript import TorchScriptExporter

ExporterName = Literal["torchscript", "dynamo"]


class Exporter(Protocol):
    """Makes the ONNX of a module in eval mode, with inputs and outputs of given names; `notes` are of the last one."""

    notes: tuple[str, ...]

    def export(
        self, module: nn.Module, sample: dict[str, torch.Tensor], outputs: tuple[str, ...], *, dynamic_batch: bool
    ) -> onnx.ModelProto: ...


_EXPORTERS: dict[ExporterName, type[Exporter]] = {"torchscript": TorchScriptExporter, "dynamo": DynamoExporter}


@dataclass(frozen=True)
class Attempt:
    """What one exporter made of a network: a graph and how far it is off, or why there is none.

    `simplified` is there where the graph had to be simplified to be compared with another.
    """

    exporter: ExporterName
    model: onnx.ModelProto | None = None
    notes: tuple[str, ...] = ()
    max_error: float = 0.0
    refusal: ExportError | None = None
    simplified: SimplifyResult | None = None

    @property
    def graph(self) -> onnx.ModelProto:
        """The graph of an attempt that has one."""
        if self.model is None:
            raise RuntimeError(f"{self.exporter} made no graph")
        return self.model

    def refused(self, error: ExportError) -> Attempt:
        """This attempt without its graph, which `error` speaks against."""
        return replace(self, model=None, refusal=error)


def names_of(choice: ExporterChoice, module: nn.Module) -> tuple[ExporterName, ...]:
    """The exporters to try on `module`; one alone where it holds operators that only the older one keeps."""
    if choice != "auto":
        return (choice,)
    return ("torchscript",) if has_operators(module) else ("torchscript", "dynamo")


def attempt(
    name: ExporterName,
    module: nn.Module,
    sample: dict[str, torch.Tensor],
    outputs: tuple[str, ...],
    *,
    dynamic_batch: bool,
) -> Attempt:
    """Export `module` with one exporter, in the project's opset and IR version and with the functions it needs."""
    exporter = _EXPORTERS[name]()
    try:
        attached = attach_functions(exporter.export(module, sample, outputs, dynamic_batch=dynamic_batch))
        return Attempt(name, _finished(attached.model), (*exporter.notes, *attached.notes))
    except ExportError as error:
        return Attempt(name, refusal=error)


def best(attempts: Sequence[Attempt], network: str) -> Attempt:
    """The attempt whose graph has the fewest nodes once it is simplified, with a note of why it was taken.

    The older exporter leaves the arithmetic of shapes in its graph and the newer one does not; simplifying takes it
    out, and what remains is what runs. At the same number the older one, which comes first, stays.

    Raises:
        ExportError: there is no graph at all; the reason of each exporter is in the details.
    """
    made = [each for each in attempts if each.model is not None]
    if not made:
        raise _no_graph(attempts, network)
    if len(attempts) == 1:
        return made[0]
    if len(made) == 1:
        reasons = [f"{each.exporter}: {one_line(each.refusal)}" for each in attempts if each.refusal is not None]
        return _noted(made[0], f"exported by {made[0].exporter} alone; {'; '.join(reasons)}")
    simpler = {each.exporter: simplify(each.graph) for each in made}
    counts = {name: len(result.model.graph.node) for name, result in simpler.items()}
    first, *others = sorted(made, key=lambda each: counts[each.exporter])
    rest = ", ".join(f"{each.exporter} {counts[each.exporter]}" for each in others)
    note = f"exported by {first.exporter}: {counts[first.exporter]} nodes when simplified; {rest}"
    return replace(_noted(first, note), simplified=simpler[first.exporter])


def _noted(chosen: Attempt, note: str) -> Attempt:
    return replace(chosen, notes=(note, *chosen.notes))


def _no_graph(attempts: Sequence[Attempt], network: str) -> ExportError:
    refusals = {each.exporter: each.refusal for each in attempts if each.refusal is not None}
    if len(refusals) == 1:
        return next(iter(refusals.values()))
    return ExportError(
        f"neither of torch's exporters gives the ONNX of {network}",
        details="\n".join(f"{name}: {error.message}\n    {one_line(error)}" for name, error in refusals.items()),
        hint="replace what they name by operations that ONNX has, or make the .onnx by other means and give that",
    )


def _finished(model: onnx.ModelProto) -> onnx.ModelProto:
    model.ir_version = IR_VERSION
    try:
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError("the exported graph is not valid ONNX", details=str(error).strip()[:500]) from error
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    if opsets.get("") != OPSET or model.ir_version != IR_VERSION:
        raise ExportError(
            f"the exported graph is of opset {opsets.get('')} and IR version {model.ir_version}",
            hint=f"expected opset {OPSET} and IR version {IR_VERSION}",
        )
    return model
