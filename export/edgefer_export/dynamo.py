"""PyTorch to ONNX by `torch.export`: the exporter that follows shapes, conditions and newer operators.

It has no form for the operators of domain `edgefer`, which are written for the older one.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import onnx
import onnx.inliner
import onnx.version_converter
import torch
from torch import nn

from edgefer.errors import ExportError
from edgefer_export.dynamo_names import named_by_scope
from edgefer_export.exporter_errors import refused
from edgefer_export.graph_names import tidied
from edgefer_export.networks.attention import has_operators
from edgefer_export.networks.forward import ByPosition
from edgefer_export.operators import DOMAIN, OPSET

# The attribute under which `ByPosition` holds the network; it precedes every name in the graph.
_SCOPE = "network"
_LOGGERS = ("torch", "torch.onnx", "torch.export", "onnxscript", "onnx_ir")


class DynamoExporter:
    """Exports the program that `torch.export` makes of a network."""

    name = "dynamo"

    def __init__(self) -> None:
        self.notes: tuple[str, ...] = ()

    def export(
        self, module: nn.Module, sample: dict[str, torch.Tensor], outputs: tuple[str, ...], *, dynamic_batch: bool
    ) -> onnx.ModelProto:
        """The ONNX of `module` (in eval mode), with inputs and outputs named as in `sample` and `outputs`.

        Raises:
            ExportError: torch cannot follow the network, or has no ONNX for something in it.
        """
        if has_operators(module):
            raise ExportError(
                f"the dynamo exporter has no form for the operators of domain {DOMAIN} that the network holds",
                hint="--exporter torchscript keeps them",
            )
        shapes = None
        tensors = tuple(sample.values())
        if dynamic_batch:
            # A size of 1 would be taken for a constant.
            tensors = tuple(torch.cat((tensor, tensor)) for tensor in tensors)
            shapes = {"tensors": tuple({0: torch.export.Dim("batch")} for _ in tensors)}
        try:
            with _quiet(), torch.no_grad():
                program: Any = torch.onnx.export(
                    ByPosition(module, tuple(sample)).eval(),
                    tensors,
                    input_names=list(sample),
                    output_names=list(outputs),
                    dynamic_shapes=shapes,
                    opset_version=OPSET,
                    dynamo=True,
                    verbose=False,
                )
                model = _in_the_projects_form(program.model_proto)
        except Exception as error:  # torch and onnxscript raise whatever the module and the converter raise
            raise refused(self.name, error) from error
        return tidied(named_by_scope(model, scope=_SCOPE), scope=_SCOPE)


def _in_the_projects_form(model: onnx.ModelProto) -> onnx.ModelProto:
    """Of the project's opset, without functions, and with no metadata but that of nodes, which names them later."""
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    used = {node.domain for node in model.graph.node}
    kept = [entry for entry in model.opset_import if entry.domain in {"", *used}]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    if [entry.version for entry in kept if entry.domain == ""] != [OPSET]:
        model = onnx.version_converter.convert_version(model, OPSET)
    del model.metadata_props[:]
    model.doc_string = ""
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # It logs what is not installed, warns of its own future, and prints each step and what it could not follow.
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    unread = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(unread), contextlib.redirect_stderr(unread):
        warnings.simplefilter("ignore")
        for name in levels:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
