"""One GPU as the NVIDIA Management Library sees it, through nvidia-ml-py where that is installed.

Written against NVML's reference and tested on fakes; not yet run on a GPU.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any


class NvmlGpu:
    """A GPU that can be asked by NVML's function names; `close` releases the library."""

    def __init__(self, module: Any, handle: Any) -> None:
        self._module = module
        self._handle = handle

    def ask(self, function: str, *arguments: object) -> Any | None:
        """What NVML answers about this GPU; None where this GPU, driver or binding does not know the question."""
        try:
            return getattr(self._module, function)(self._handle, *arguments)
        except (self._module.NVMLError, AttributeError):
            return None

    def demand(self, function: str, *arguments: object) -> Any:
        """As `ask`, but raises NVML's own error: for what has answered before and must not fall silent unseen."""
        return getattr(self._module, function)(self._handle, *arguments)

    def constant(self, name: str) -> int:
        """A constant of NVML's header, such as NVML_CLOCK_SM."""
        return int(getattr(self._module, name))

    def driver(self) -> str | None:
        """The driver's version, such as "560.35.03"."""
        try:
            return as_text(self._module.nvmlSystemGetDriverVersion())
        except (self._module.NVMLError, AttributeError):
            return None

    def close(self) -> None:
        """Release the library; NVML counts the users, so that others of this process keep theirs."""
        try:
            self._module.nvmlShutdown()
        except self._module.NVMLError:
            return  # the driver has gone: there is nothing left to release


def open_nvml(load: Callable[[str], Any] = importlib.import_module) -> tuple[NvmlGpu | None, str]:
    """The GPU that CUDA_VISIBLE_DEVICES puts first (index 0 without it), or None and why there is none.

    With several GPUs of different kinds CUDA's order is NVML's only under CUDA_DEVICE_ORDER=PCI_BUS_ID.
    """
    try:
        module = load("pynvml")
    except ImportError:
        return None, "NVML needs nvidia-ml-py: pip install nvidia-ml-py"
    try:
        module.nvmlInit()
    except module.NVMLError as error:
        return None, f"NVML does not start: {error}"
    try:
        return NvmlGpu(module, _handle(module)), ""
    except module.NVMLError as error:
        module.nvmlShutdown()
        return None, f"NVML has no such GPU: {error}"


def as_text(value: object) -> str:
    """NVML's strings, which older bindings return as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _handle(module: Any) -> Any:
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    if first.startswith(("GPU-", "MIG-")):
        return module.nvmlDeviceGetHandleByUUID(first)
    return module.nvmlDeviceGetHandleByIndex(int(first) if first.isdecimal() else 0)
