"""What of this machine an engine is run with: the driver's word, a TensorRT, the GPU itself.

Every session asks here, on machines without a GPU too, so that nothing heavy is imported before there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from edgefer.engine.driver import CudaDriver, Gpu, cuda_driver
from edgefer.engine.flavours import FLAVOURS, Flavour, detect, install_hint
from edgefer.errors import DeviceError, UsageError

if TYPE_CHECKING:
    from edgefer.runtime.cuda import CudaDevice


def _opened(ordinal: int) -> CudaDevice:
    from edgefer.runtime.cuda import CudaDevice

    return CudaDevice(ordinal)


@dataclass(frozen=True)
class Machine:
    """How each part is found. A GPU is opened by its number, as CUDA counts them.

    A warm-up takes `warm_up_runs` inferences in each batch, and goes on until their time stands still, for at most
    `warm_up_seconds`.
    """

    driver: Callable[[], CudaDriver] = lambda: cuda_driver()
    flavour: Callable[[CudaDriver], Flavour] = lambda driver: detect("auto", driver)
    device: Callable[[int], CudaDevice] = _opened
    warm_up_runs: int = 20
    warm_up_seconds: float = 2.0


def unavailable(machine: Machine | None = None) -> str | None:
    """Why nothing can be run on a GPU here; None where it can be tried. Nothing is imported, and no GPU opened."""
    driver = (machine or Machine()).driver()
    if not driver.gpus:
        return driver.problem or "the driver sees no GPU"
    if not any(map(_there, FLAVOURS)):
        return f"no TensorRT is installed ({install_hint(FLAVOURS[0])})"
    return None


def check_gpu(driver: CudaDriver, ordinal: int) -> None:
    """See that engines which are compiled here, for the first GPU, are for this one too.

    Raises:
        DeviceError: there is no such GPU.
        UsageError: it is of another kind.
    """
    if ordinal >= len(driver.gpus):
        raise DeviceError(
            f"GPU {ordinal} is asked for, and there are {len(driver.gpus)}", hint="they are counted from 0"
        )
    first, wanted = driver.gpus[0], driver.gpus[ordinal]
    if _kind(wanted) != _kind(first):
        raise UsageError(
            f"GPU {ordinal} is {_kind(wanted)}, and engines are compiled for the first one, {_kind(first)}",
            hint=f"set CUDA_VISIBLE_DEVICES={ordinal}, so that it is the first one for this process",
        )


def _kind(gpu: Gpu) -> str:
    return f"{gpu.name} ({gpu.compute_capability}, {gpu.multiprocessors} multiprocessors)"


def _there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # a module without a specification, as tests put there
        return True
