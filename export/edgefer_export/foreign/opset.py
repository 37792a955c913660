"""To opset 19 and IR version 9, the one form in which graphs travel."""

from __future__ import annotations

import re

import onnx
from onnx import version_converter

from edgefer.errors import ExportError
from edgefer_export.foreign.wellformed import label
from edgefer_export.operators import IR_VERSION, OPSET


def opset_of(model: onnx.ModelProto) -> int:
    """The version of the standard operators that a model is written in."""
    return next(int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def converted(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """`model` in opset 19 and IR version 9. Whether it computes the same is for the caller to check.

    Raises:
        ExportError: onnx cannot convert an operator, which the message names.
    """
    found = opset_of(model)
    if found != OPSET:
        # The converter takes no other domain, and some files import more than they use.
        others = [entry for entry in model.opset_import if entry.domain not in ("", "ai.onnx")]
        for entry in others:
            model.opset_import.remove(entry)
        try:
            model = version_converter.convert_version(model, OPSET)
        except Exception as error:  # the converter raises what its C++ raises
            culprit = _culprit(model, str(error))
            raise ExportError(
                f"{where}: {culprit} cannot be converted from opset {found} to {OPSET}",
                details=_first_line(error),
                hint=f"export the network with opset {OPSET}, or replace this operator",
            ) from error
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    model.ir_version = IR_VERSION
    return model


def _culprit(model: onnx.ModelProto, message: str) -> str:
    named = [node for node in model.graph.node if node.name and re.search(rf"\b{re.escape(node.name)}\b", message)]
    operators = [node for node in model.graph.node if re.search(rf"\b{re.escape(node.op_type)}\b", message)]
    found = [*named, *operators]
    return label(found[0]) if found else "the graph"


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')[:300]}"
