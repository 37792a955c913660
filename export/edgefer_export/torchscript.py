"""PyTorch to ONNX by TorchScript's tracer: the exporter that keeps `symbolic` of autograd functions."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import onnx
import torch
from torch import nn
from torch.jit._trace import TracerWarning

from edgefer_export.exporter_errors import refused
from edgefer_export.graph_names import tidied
from edgefer_export.networks.attention import folded, has_operators
from edgefer_export.networks.forward import ByPosition
from edgefer_export.operators import DOMAIN, OPSET

# The attribute under which `ByPosition` holds the network; it precedes every name in the trace.
_SCOPE = "network"


class TorchScriptExporter:
    """Traces a network on a sample and writes what it saw."""

    name = "torchscript"

    def __init__(self) -> None:
        self.notes: tuple[str, ...] = ()
        """Where the last trace kept what Python decided on the sample alone."""

    def export(
        self, module: nn.Module, sample: dict[str, torch.Tensor], outputs: tuple[str, ...], *, dynamic_batch: bool
    ) -> onnx.ModelProto:
        """The ONNX of `module` (in eval mode), with inputs and outputs named as in `sample` and `outputs`.

        Raises:
            ExportError: torch cannot trace the network or has no ONNX for something in it.
        """
        buffer: Any = io.BytesIO()
        batch = {name: {0: "batch"} for name in (*sample, *outputs)} if dynamic_batch else None
        try:
            with _quiet() as warned, folded(module), torch.no_grad():
                torch.onnx.export(
                    ByPosition(module, tuple(sample)).eval(),
                    tuple(sample.values()),
                    buffer,
                    input_names=list(sample),
                    output_names=list(outputs),
                    dynamic_axes=batch,
                    opset_version=OPSET,
                    custom_opsets={DOMAIN: 1} if has_operators(module) else None,
                    do_constant_folding=True,
                    dynamo=False,
                )
        except Exception as error:  # torch raises whatever the module and the converter raise
            raise refused(self.name, error) from error
        self.notes = tuple(dict.fromkeys(_fixed(warning) for warning in warned if _is_trace(warning)))
        return tidied(onnx.load_from_string(buffer.getvalue()), scope=_SCOPE)


@contextlib.contextmanager
def _quiet() -> Iterator[list[warnings.WarningMessage]]:
    # The exporter warns that it is the older one, and prints; standard output belongs to the caller.
    with warnings.catch_warnings(record=True) as warned, contextlib.redirect_stdout(sys.stderr), _mute():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", TracerWarning)
        yield warned


@contextlib.contextmanager
def _mute() -> Iterator[None]:
    """Keep the C++ side from printing the whole graph on standard output where it finds no ONNX for a part of it."""
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _is_trace(warning: warnings.WarningMessage) -> bool:
    return issubclass(warning.category, TracerWarning)


def _fixed(warning: warnings.WarningMessage) -> str:
    what = str(warning.message).split(" might ")[0].split(". ")[0].strip()
    return f"{warning.filename}:{warning.lineno}: the graph keeps what Python did for one random input: {what}"
