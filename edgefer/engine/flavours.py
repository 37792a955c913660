"""The two TensorRTs as one value: the module itself, its version, and what it can do, found by asking for attributes.

`tensorrt` builds engines on the GPU they will run on: a Jetson, a workstation. `tensorrt_rtx` builds ahead of time on
a CPU for RTX-class GPUs; edgefer uses it where there is no GPU, as a real parser and a real builder.
"""

from __future__ import annotations

import importlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from edgefer.engine.driver import CudaDriver, cuda_driver
from edgefer.errors import DeviceError, EnvironmentMismatch, UsageError

if TYPE_CHECKING:
    from edgefer.kernels.forms import Element

FlavourName = Literal["tensorrt", "tensorrt_rtx"]
FLAVOURS: tuple[FlavourName, ...] = get_args(FlavourName)
EXTRAS: dict[FlavourName, str] = {"tensorrt": "edgefer[tensorrt]", "tensorrt_rtx": "edgefer[rtx]"}

RTX_NOTE = "TensorRT-RTX builds for RTX-class GPUs, on any machine: its engines are not for a Jetson"


@dataclass(frozen=True)
class Flavour:
    """One TensorRT: `module` is the imported Python module, `version` its exact version."""

    name: FlavourName
    module: Any
    version: str

    @property
    def builds_without_gpu(self) -> bool:
        """Whether the engine is compiled ahead of time for named compute capabilities, on any machine."""
        return hasattr(self.module, "ComputeCapability")

    @property
    def network_flags(self) -> int:
        """The flags of `create_network` for a strongly typed network, as this release numbers them.

        Releases differ in the number of STRONGLY_TYPED; one that has no such flag knows strong typing only.
        """
        flags = getattr(self.module, "NetworkDefinitionCreationFlag", None)
        strongly_typed = getattr(flags, "STRONGLY_TYPED", None)
        return 0 if strongly_typed is None else 1 << int(strongly_typed)

    @property
    def plugin_formats(self) -> Mapping[Element, tuple[str, ...]]:
        """The formats that a plugin offers for maps of an element type, by their names in `TensorFormat`.

        LINEAR stands in where none of the others takes the number of channels. A builder that measures chooses among
        all; one without a GPU takes the first that a plugin accepts, so it is offered the one of its convolutions.
        """
        if self.builds_without_gpu:
            return {"f32": ("HWC",), "f16": ("HWC",), "i8": ("CHW32",)}
        return {"f32": ("LINEAR", "HWC"), "f16": ("HWC8", "LINEAR"), "i8": ("CHW32",)}

    @property
    def note(self) -> str:
        """What a reader must know about an engine of this flavour; empty where there is nothing to warn of."""
        return RTX_NOTE if self.name == "tensorrt_rtx" else ""

    @property
    def binary(self) -> str:
        """The command line tool that comes with this TensorRT."""
        return "tensorrt_rtx" if self.name == "tensorrt_rtx" else "trtexec"


def load(name: FlavourName) -> Flavour:
    """Import one flavour.

    Raises:
        EnvironmentMismatch: it is not installed, or is and cannot be imported (`details` has the import's own words).
    """
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == name
        found = "is not installed" if missing else "is installed but cannot be imported"
        raise EnvironmentMismatch(
            f"{name} {found}", hint=install_hint(name), details="" if missing else str(error)
        ) from error
    version = getattr(module, "__version__", None)
    if version is None or not hasattr(module, "Builder") or not hasattr(module, "OnnxParser"):
        raise EnvironmentMismatch(
            f"the module {name} at {getattr(module, '__file__', 'an unknown place')} has no builder or no ONNX parser",
            hint=f"another package or folder shadows it, or only its runtime is installed; {install_hint(name)}",
        )
    return Flavour(name=name, module=module, version=str(version))


def available() -> list[Flavour]:
    """The flavours that import here, `tensorrt` first. Missing ones are left out; `load` says why."""
    found = []
    for name in FLAVOURS:
        try:
            found.append(load(name))
        except EnvironmentMismatch:
            continue
    return found


def detect(name: str = "auto", driver: CudaDriver | None = None) -> Flavour:
    """The flavour to build with: the one named, or for `auto` the first that imports and can build on this machine.

    `driver` is what the CUDA driver says, asked for when not given. With `auto`, a `tensorrt` on a machine without
    a GPU steps back for a `tensorrt_rtx` that needs none.

    Raises:
        UsageError: the name is not one of `auto`, `tensorrt`, `tensorrt_rtx`.
        EnvironmentMismatch: it is missing; the hint names the extra to install.
        DeviceError: it is there but builds on a GPU only, and there is none.
    """
    driver = cuda_driver() if driver is None else driver
    if name == "auto":
        found = available()
        able = [flavour for flavour in found if flavour.builds_without_gpu or driver.gpus]
        if able:
            return able[0]
        if found:
            raise _needs_gpu(found[0], driver)
        raise EnvironmentMismatch("no TensorRT is installed", hint=" or ".join(install_hint(each) for each in FLAVOURS))
    if name not in FLAVOURS:
        raise UsageError(f"unknown TensorRT flavour {name!r}", hint=f"one of auto, {', '.join(FLAVOURS)}, none")
    flavour = load(FLAVOURS[FLAVOURS.index(name)])
    if not (flavour.builds_without_gpu or driver.gpus):
        raise _needs_gpu(flavour, driver)
    return flavour


def install_hint(name: FlavourName, machine: str | None = None) -> str:
    """How to get a flavour on this machine (`machine` as `platform.machine()` names it)."""
    machine = platform.machine() if machine is None else machine
    arm = machine in ("aarch64", "arm64")
    if name == "tensorrt_rtx":
        if arm:
            return f"{EXTRAS[name]} has a wheel for x86-64 only, and it is not for a Jetson"
        return f"pip install '{EXTRAS[name]}' ({RTX_NOTE})"
    if arm:
        return (
            "on a Jetson TensorRT comes with JetPack (apt install nvidia-jetpack), and a virtual environment sees it "
            f"only when made with --system-site-packages; on other aarch64 machines pip install '{EXTRAS[name]}'"
        )
    return f"pip install '{EXTRAS[name]}'"


def _needs_gpu(flavour: Flavour, driver: CudaDriver) -> DeviceError:
    return DeviceError(
        f"{flavour.name} {flavour.version} builds an engine on the GPU it will run on, and none was found",
        hint="compile on the target, use --flavour tensorrt_rtx to check that the graph compiles, or --flavour none",
        details=driver.problem,
    )
