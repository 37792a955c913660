"""The rivals by name."""

from __future__ import annotations

from collections.abc import Sequence

from edgefer.benchmark.rivals.onnxruntime_session import OnnxRuntimeRival
from edgefer.benchmark.rivals.opencv_dnn import OpenCvRival
from edgefer.benchmark.rivals.openvino_model import OpenVinoRival
from edgefer.benchmark.rivals.rival import Rival
from edgefer.benchmark.rivals.torch_compiled import TorchCompileRival
from edgefer.benchmark.rivals.torch_eager import TorchRival
from edgefer.benchmark.rivals.trtexec import TrtexecRival
from edgefer.errors import UsageError

RIVALS: tuple[Rival, ...] = (
    OnnxRuntimeRival(),
    OpenVinoRival(),
    OpenCvRival(),
    TorchRival(),
    TorchCompileRival(),
    TrtexecRival(),
)


def rival_names() -> tuple[str, ...]:
    """What may be asked for."""
    return tuple(rival.name for rival in RIVALS)


def chosen(names: Sequence[str]) -> tuple[Rival, ...]:
    """The rivals of these names, in the order of the names, each once.

    Raises:
        UsageError: there is no such rival.
    """
    known = {rival.name: rival for rival in RIVALS}
    unknown = sorted(set(names) - known.keys())
    if unknown:
        raise UsageError(f"there is no rival {', '.join(unknown)}", hint=f"the rivals are: {', '.join(known)}")
    return tuple(known[name] for name in dict.fromkeys(names))
