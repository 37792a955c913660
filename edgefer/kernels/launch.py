"""Running launch plans on a GPU: the entries of one binary loaded once, and launches with nothing but packing between.

A plugin asks `kernels()` for those of the GPU whose context is current, and calls `launch` in its enqueue. Tests and
measurements call `run`, which brings the memory along.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgefer.errors import PluginMissing
from edgefer.kernels import cubins
from edgefer.kernels.driver import Driver
from edgefer.kernels.plan import Plan, fill
from edgefer.kernels.streams import Stream

UNWRITTEN = 0xFF
"""What outputs and workspace are filled with before `run`: NaN as a float, so that what no kernel wrote shows."""

_Pointer = ctypes.c_void_p * 1


class Buffer(Protocol):
    """Memory that a kernel writes: its shape and NumPy's type of its elements."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Any: ...


class Kernels:
    """The entries of the binary that fits `device`, loaded into its primary context until `close`.

    `gpu` is what plans for it depend on, `binary` the file that was loaded. `launch` may be called by several threads
    at once, each with a structure of its own.

    Raises:
        PluginMissing: there is no binary for this GPU.
        EnvironmentMismatch: the binary or a package is missing or damaged.
        DeviceError: the driver refused something.
    """

    def __init__(self, device: int = 0, *, driver: Driver | None = None, folder: Path = cubins.FOLDER) -> None:
        self.driver = Driver() if driver is None else driver
        self.device = device
        self.gpu = self.driver.gpu(device)
        self.binary = cubins.choose(self.gpu.compute_capability, cubins.index(folder))
        image = cubins.read(self.binary, folder)
        with ExitStack() as undo:
            self.context = self.driver.retain(device)
            undo.callback(self.driver.release, device)
            with self.driver.current(self.context), ExitStack() as undo_module:
                self._module = self.driver.load(image)
                undo_module.callback(self.driver.unload, self._module)
                self._functions = {
                    entry.name: self.driver.function(self._module, entry.name, self.gpu.shared_bytes)
                    for entry in self.binary.entries
                }
                undo_module.pop_all()
            undo.pop_all()
        self._launch = self.driver.bindings.cuLaunchKernel

    def close(self) -> None:
        """Unloads the entries and gives the context back, which it does even where unloading is refused.

        Raises:
            DeviceError: the driver refused something: after a kernel has failed, it refuses everything.
        """
        self._functions = {}
        try:
            with self.driver.current(self.context):
                self.driver.unload(self._module)
        finally:
            self.driver.release(self.device)

    def launch(self, plan: Plan, parameters: ctypes.Structure, stream: Any) -> None:
        """Puts the plan's launches on a stream (its handle or its address) of the primary context, which is current.

        The driver copies `parameters`, so that they may be changed as soon as this returns. Nothing is allocated on the
        GPU and nothing waited for: it may be called inside a capture.

        Raises:
            PluginMissing: the binary lacks an entry.
            DeviceError: the driver refused a launch.
        """
        pointer = _Pointer(ctypes.addressof(parameters))
        address = ctypes.addressof(pointer)
        for each in plan.launches:
            try:
                function = self._functions[each.entry]
            except KeyError:
                raise self._lacks(each.entry) from None
            (result,) = self._launch(function, *each.grid, each.block, 1, 1, each.shared_bytes, stream, address, 0)
            if result:
                self.driver.check(f"cuLaunchKernel of {each.entry}", result)

    def run(
        self,
        plan: Plan,
        structure: type[ctypes.Structure],
        inputs: Mapping[str, NDArray[Any]],
        outputs: Mapping[str, Buffer],
    ) -> dict[str, NDArray[Any]]:
        """Runs a plan on arrays named by the field of `structure` that holds their address; gives the outputs back.

        Raises:
            DeviceError: a call failed, or a kernel did.
        """
        found = {name: np.empty(buffer.shape, buffer.dtype) for name, buffer in outputs.items()}
        with ExitStack() as undo:
            undo.enter_context(self.driver.current(self.context))
            stream = undo.enter_context(Stream(self.driver))

            def take(size: int) -> int:
                address = self.driver.allocate(size)
                undo.callback(self.driver.free, (address,))
                return address

            addresses = {}
            for name, array in inputs.items():
                addresses[name] = take(array.nbytes)
                stream.copy_in(addresses[name], array)
            for name, array in found.items():
                addresses[name] = take(array.nbytes)
                stream.fill(addresses[name], UNWRITTEN, array.nbytes)
            if plan.workspace_bytes:
                addresses["workspace"] = take(plan.workspace_bytes)
                stream.fill(addresses["workspace"], UNWRITTEN, plan.workspace_bytes)
            self.launch(plan, fill(structure, plan, addresses), stream.handle)
            for name, array in found.items():
                stream.copy_out(array, addresses[name])
            stream.wait()
        return found

    def _lacks(self, entry: str) -> PluginMissing:
        return PluginMissing(
            f"{self.binary.file} has no entry {entry}",
            hint="binary and launch plans are of different versions of edgefer: install it again",
            details=f"it has {len(self._functions)} entries, made with CUDA {self.binary.toolkit}",
        )


_loaded: dict[int, Kernels] = {}
_lock = threading.Lock()


def kernels(device: int | None = None) -> Kernels:
    """Those of a device, by default that of this thread's current context; loaded by the first call in this process
    and kept until it ends. Not to be called inside a capture for the first time.

    Raises:
        as `Kernels` does.
    """
    with _lock:
        driver = next((each.driver for each in _loaded.values()), None) or Driver()
        number = driver.current_device() if device is None else device
        if number not in _loaded:
            _loaded[number] = Kernels(number, driver=driver)
        return _loaded[number]
