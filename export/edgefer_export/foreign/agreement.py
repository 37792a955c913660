"""Whether the bundle's graph computes what the file computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import onnx

from edgefer.errors import BundleError, EdgeferError, ExportError
from edgefer_export.checks import literal_graph, relative_error
from edgefer_export.foreign.original import Outputs, Tensors, reason

TOLERANCE = 1e-4


def largest_error(
    model: onnx.ModelProto, reference: Callable[[Tensors], Outputs], feeds: Iterable[Tensors], where: str
) -> float:
    """The largest max|a-b| / max(1, max|ref|) of any output on any feed, evaluated literally.

    Raises:
        ExportError: an output differs in shape or by more than the tolerance, or onnxruntime does not run the graph.
    """
    try:
        graph = literal_graph(model, threads=1)
    except BundleError as problem:
        raise ExportError(
            f"{where}: onnxruntime takes the file, but not what it was converted to: {reason(problem)}",
            hint="export the network with opset 19",
        ) from problem
    worst = 0.0
    for feed in feeds:
        expected = reference(feed)
        try:
            found = graph.run(feed)
        except EdgeferError as problem:
            count = next((len(array) for array in feed.values()), 1)
            raise ExportError(
                f"{where}: the converted graph fails on a batch of {count}: {reason(problem)}",
                hint="the file may be made for a batch of 1; leave --batch out" if count > 1 else "",
            ) from problem
        for name, value in expected.items():
            if found[name].shape != value.shape:
                raise ExportError(
                    f"{where}: output '{name}' has the shape {found[name].shape} after the conversion, "
                    f"{value.shape} before",
                    hint="the output does not follow the batch; leave --batch out",
                )
            if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
                raise ExportError(
                    f"{where}: output '{name}' of the network itself holds NaN or infinity",
                    hint="check the values that it was given, and its divisions and logarithms",
                )
            error = relative_error(found[name], value)
            if not error <= TOLERANCE:
                raise ExportError(
                    f"{where}: output '{name}' is off by {error:.2e} after the conversion, "
                    f"expected at most {TOLERANCE:.0e}",
                    hint="export the network with opset 19, so that nothing has to be converted",
                )
            worst = max(worst, error)
    return worst
