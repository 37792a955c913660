"""Rules of the driver that a simulated GPU goes by: what needs a context, what a capture forbids, what has to be given
back."""

from __future__ import annotations

PRIMARY = 0xC0DE
"""The handle of the primary context of the first GPU; the next one has the next number."""
LOWEST, HIGHEST = 0, -5
"""The range of stream priorities."""

NEEDS_NO_CONTEXT = frozenset(
    {
        *("cuInit", "cuDriverGetVersion", "cuDeviceGet", "cuDeviceGetCount", "cuDeviceGetName", "cuDeviceTotalMem"),
        *("cuDeviceGetAttribute", "cuDevicePrimaryCtxRetain", "cuDevicePrimaryCtxRelease", "cuCtxPushCurrent"),
        *("cuCtxPopCurrent", "cuCtxGetCurrent"),
        "cuEventQuery",
    }
)
"""Functions that may be called without a current context."""

UNSAFE_IN_CAPTURE = frozenset(
    {
        *("cuMemAlloc", "cuMemFree", "cuMemHostAlloc", "cuMemFreeHost", "cuStreamSynchronize", "cuStreamQuery"),
        *("cuEventSynchronize", "cuEventQuery", "cuCtxSynchronize", "cuModuleLoadDataEx", "cuModuleUnload"),
    }
)
"""Functions that a thread may not call while it captures: the capture is invalid afterwards."""


OPENS = {
    "cuDevicePrimaryCtxRetain": "context",
    "cuModuleLoadDataEx": "module",
    "cuMemAlloc": "memory",
    "cuMemHostAlloc": "host memory",
    "cuStreamCreate": "stream",
    "cuStreamCreateWithPriority": "stream",
    "cuStreamEndCapture": "graph",
    "cuGraphInstantiate": "executable",
    "cuEventCreate": "event",
}
CLOSES = {
    "cuDevicePrimaryCtxRelease": "context",
    "cuModuleUnload": "module",
    "cuMemFree": "memory",
    "cuMemFreeHost": "host memory",
    "cuStreamDestroy": "stream",
    "cuGraphDestroy": "graph",
    "cuGraphExecDestroy": "executable",
    "cuEventDestroy": "event",
}
"""What opens something, and what closes it, by its kind."""


class Refused(Exception):
    """A function of the driver gives an error code, named as in cuda.h."""
