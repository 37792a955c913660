"""What a session may take of a GPU, and how it behaves beside what else runs on it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal, get_args

from edgefer.bundle.manifest import PluginPolicy
from edgefer.errors import UsageError

Priority = Literal["low", "normal", "high"]
"""Of a stream: where kernels of two streams wait, those of the higher priority go first. It stops none that runs."""

PRIORITIES: tuple[Priority, ...] = get_args(Priority)
MOST_STREAMS = 16
"""Each is a lane with buffers and activation memory of its own."""

_CHOICES: dict[str, tuple[object, ...]] = {
    "graphs": (True, False),
    "require_cached": (True, False),
    "zero_copy": (True, False, None),
    "plugins": (*get_args(PluginPolicy), None),
}


@dataclass(frozen=True, kw_only=True)
class GpuSettings:
    """How a session uses the GPU.

    Args:
        streams: how many inferences may be on the GPU at once. Each has buffers and activation memory of its own.
        priority: of those streams. "normal" is what every other library gets.
        memory_limit: bytes of GPU memory that the session may take for buffers and activations; None for no limit.
            The weights of the engine come on top: TensorRT takes them, before anything can be counted.
        workspace_bytes: limit of the builder's scratch memory in bytes; None for the builder's usual one.
        graphs: False enqueues every inference by itself instead of replaying a CUDA graph.
        zero_copy: whether the GPU works on the host's memory and nothing is copied. None: where both share memory,
            as on a Jetson.
        plugins: how the operators of edgefer are compiled: "plugin", "inline" or "auto"; None as the bundle says.
        cache: the folder that engines are kept in; None for the user's.
        require_cached: build no engine; one that is not in the cache is an error, with device="auto" too.
        timeout: seconds that compiling may take; None for no limit.
        ordinal: which GPU, as CUDA counts them.

    Raises:
        UsageError: one of them cannot be what it is.
    """

    streams: int = 1
    priority: Priority = "normal"
    memory_limit: int | None = None
    workspace_bytes: int | None = None
    graphs: bool = True
    zero_copy: bool | None = None
    plugins: str | None = None
    cache: str | os.PathLike[str] | None = None
    require_cached: bool = False
    timeout: float | None = None
    ordinal: int = 0

    def __post_init__(self) -> None:
        if not _whole(self.streams) or not 1 <= self.streams <= MOST_STREAMS:
            raise UsageError(
                f"the number of streams is {self.streams!r}, expected 1 to {MOST_STREAMS}",
                hint="two let copies of one inference overlap with another's kernels; more seldom help",
            )
        if self.priority not in PRIORITIES:
            raise UsageError(f"the priority is {self.priority!r}, expected one of {', '.join(PRIORITIES)}")
        for name in ("memory_limit", "workspace_bytes"):
            value = getattr(self, name)
            if value is not None and (not _whole(value) or value < 1):
                raise UsageError(
                    f"{name} is {value!r}, expected a number of bytes, at least 1", hint="None is no limit"
                )
        if self.timeout is not None and not (isinstance(self.timeout, (int, float)) and self.timeout > 0):
            raise UsageError(f"the timeout is {self.timeout!r}, expected seconds above 0", hint="None is no limit")
        for name, values in _CHOICES.items():
            value = getattr(self, name)
            # By identity: 1 is equal to True.
            if not any(value is each or (isinstance(value, str) and value == each) for each in values):
                raise UsageError(f"{name} is {value!r}, expected one of {', '.join(map(repr, values))}")
        if self.cache is not None and not isinstance(self.cache, (str, os.PathLike)):
            raise UsageError(f"the cache is {self.cache!r}, expected the path of a folder", hint="None is the user's")
        if not _whole(self.ordinal) or self.ordinal < 0:
            raise UsageError(
                f"the GPU is {self.ordinal!r}, expected its number as CUDA counts them, from 0",
                hint="nvidia-smi counts in another order unless CUDA_DEVICE_ORDER=PCI_BUS_ID is set",
            )


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
