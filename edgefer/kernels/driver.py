"""The CUDA driver API through `cuda.bindings`: primary contexts, modules, launches and memory, with typed errors.

One package does for all of it: `cuda.bindings` has wheels for x86-64 and aarch64, hands out plain addresses, and gives
the launch and the capture calls as the driver has them. It is imported when a `Driver` is made, never before. Streams,
events and graphs are in `streams.py`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from edgefer.errors import DeviceError, EnvironmentMismatch
from edgefer.kernels.plan import Gpu

_JIT_LOG_BYTES = 16_384
_UPDATE = "the driver is older than the toolkit that made this binary: update the driver (on a Jetson, JetPack)"
_PRIMARY = (
    "kernels are loaded into the GPU's primary context, which must be the current one: with PyCUDA that of "
    "pycuda.autoprimaryctx, not pycuda.autoinit"
)
_HINTS = {
    "CUDA_ERROR_NO_DEVICE": "no GPU is visible here; CUDA_VISIBLE_DEVICES may hide it",
    "CUDA_ERROR_INVALID_DEVICE": "there is no GPU of this number; `edgefer doctor` lists those that there are",
    "CUDA_ERROR_NOT_INITIALIZED": (
        "CUDA does not work across a fork: start processes with multiprocessing.get_context('spawn')"
    ),
    "CUDA_ERROR_OUT_OF_MEMORY": "the GPU's memory is full: end other programs, or use a smaller batch",
    "CUDA_ERROR_NO_BINARY_FOR_GPU": _UPDATE,
    "CUDA_ERROR_INVALID_IMAGE": _UPDATE,
    "CUDA_ERROR_UNSUPPORTED_PTX_VERSION": _UPDATE,
    "CUDA_ERROR_INVALID_CONTEXT": _PRIMARY,
    "CUDA_ERROR_INVALID_HANDLE": _PRIMARY,
    "CUDA_ERROR_ILLEGAL_ADDRESS": "a kernel read or wrote outside its memory; compute-sanitizer tells which one",
    "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES": "the launch plan was made for another GPU",
}


class Driver:
    """The driver, initialised. Handles (of a module, a stream...) are what `cuda.bindings` hands out; addresses in the
    GPU's memory are whole numbers; sizes are bytes.

    Raises, from every method:
        DeviceError: a call failed; the message has the call's and the error's name as the driver spells them.
    """

    def __init__(self, bindings: Any = None) -> None:
        """`bindings` is the module cuda.bindings.driver where it is not to be imported.

        Raises:
            EnvironmentMismatch: the package is not installed.
            DeviceError: there is no driver or no GPU.
        """
        self.bindings = load_bindings() if bindings is None else bindings
        try:
            self.call("cuInit", 0)
        except RuntimeError as error:  # how cuda.bindings says that there is no libcuda
            raise DeviceError(
                "there is no CUDA driver", hint="run this where an NVIDIA GPU and its driver are", details=str(error)
            ) from error

    def call(self, function: str, *arguments: Any) -> Any:
        """One call of the driver's: None, the value, or the tuple of values that it gives beside the error code."""
        result, *values = getattr(self.bindings, function)(*arguments)
        self.check(function, result)
        return values[0] if len(values) == 1 else tuple(values) or None

    def check(self, function: str, result: Any, details: str = "") -> None:
        """Raise what `result` says of a call of `function`; nothing where it is CUDA_SUCCESS."""
        if result == self.bindings.CUresult.CUDA_SUCCESS:
            return
        raise device_error(function, getattr(result, "name", str(result)), details)

    def gpu(self, device: int) -> Gpu:
        """What launch plans depend on."""
        attribute = self.bindings.CUdevice_attribute
        handle = self.call("cuDeviceGet", device)

        def ask(name: str) -> int:
            return int(self.call("cuDeviceGetAttribute", getattr(attribute, f"CU_DEVICE_ATTRIBUTE_{name}"), handle))

        return Gpu(
            compute_capability=f"{ask('COMPUTE_CAPABILITY_MAJOR')}.{ask('COMPUTE_CAPABILITY_MINOR')}",
            multiprocessors=ask("MULTIPROCESSOR_COUNT"),
            shared_bytes=ask("MAX_SHARED_MEMORY_PER_BLOCK_OPTIN"),
        )

    def integrated(self, device: int) -> bool:
        """Whether the GPU and the host share their memory."""
        attribute = self.bindings.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_INTEGRATED
        return bool(self.call("cuDeviceGetAttribute", attribute, self.call("cuDeviceGet", device)))

    def current_device(self) -> int:
        """The device of this thread's current context; 0 where it has none."""
        result, device = self.bindings.cuCtxGetDevice()
        if result == self.bindings.CUresult.CUDA_ERROR_INVALID_CONTEXT:
            return 0
        self.check("cuCtxGetDevice", result)
        return int(device)

    def gpu_of(self, address: int) -> int | None:
        """The GPU in whose memory an address is; None where the driver knows of no memory there."""
        kind = self.bindings.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
        result, ordinal = self.bindings.cuPointerGetAttribute(kind, address)
        if result == self.bindings.CUresult.CUDA_ERROR_INVALID_VALUE:
            return None
        self.check("cuPointerGetAttribute", result)
        return int(ordinal)

    def retain(self, device: int) -> Any:
        """A reference to the device's primary context, the one that TensorRT and PyTorch use; no other is ever made.
        Each needs its `release`."""
        return self.call("cuDevicePrimaryCtxRetain", self.call("cuDeviceGet", device))

    def release(self, device: int) -> None:
        """Gives back a reference. With the last one the context goes, and all that was loaded into it."""
        self.call("cuDevicePrimaryCtxRelease", self.call("cuDeviceGet", device))

    @contextmanager
    def current(self, context: Any) -> Iterator[None]:
        """Makes a context this thread's current one, and the former one again at the end."""
        self.call("cuCtxPushCurrent", context)
        try:
            yield
        finally:
            self.call("cuCtxPopCurrent")

    def load(self, image: bytes) -> Any:
        """A module from a cubin or from PTX, which the driver compiles; its compiler's log is in the error."""
        option = self.bindings.CUjit_option
        log = bytearray(_JIT_LOG_BYTES)
        options = (option.CU_JIT_ERROR_LOG_BUFFER, option.CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES)
        # PTX is read up to a zero byte; behind a cubin one does no harm.
        arguments = (image + b"\0", len(options), options, (log, len(log)))
        result, module = self.bindings.cuModuleLoadDataEx(*arguments)
        self.check("cuModuleLoadDataEx", result, log.split(b"\0", 1)[0].decode(errors="replace").strip())
        return module

    def unload(self, module: Any) -> None:
        self.call("cuModuleUnload", module)

    def function(self, module: Any, name: str, shared_bytes: int) -> Any:
        """An entry, loaded now, allowed to ask for `shared_bytes` of dynamic shared memory: neither may be left to the
        first launch, which may be inside a capture. The entries have no static shared memory that would count too."""
        function = self.call("cuModuleGetFunction", module, name.encode())
        attribute = self.bindings.CUfunction_attribute
        dynamic = attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        self.call("cuFuncSetAttribute", function, dynamic, shared_bytes)
        self._load_function(function)
        return function

    def _load_function(self, function: Any) -> None:
        if not hasattr(self.bindings, "cuFuncLoad"):  # bindings since CUDA 12.4 have it
            return
        try:
            self.call("cuFuncLoad", function)
        except RuntimeError as error:  # how cuda.bindings says that the driver is older and has it not
            if "not found" not in str(error):
                raise

    def allocate(self, size: int) -> int:
        """The address of new memory, aligned to 256 bytes. For no bytes one is taken, so that there is an address."""
        return int(self.call("cuMemAlloc", max(size, 1)))

    def free(self, addresses: Sequence[int]) -> None:
        for address in addresses:
            self.call("cuMemFree", address)


def device_error(call: str, name: str, details: str = "") -> DeviceError:
    """What says that `call` failed with the error of the driver that is called `name`, such as
    CUDA_ERROR_OUT_OF_MEMORY."""
    return DeviceError(f"{call} failed: {name}", hint=_HINTS.get(name, ""), details=details)


def load_bindings() -> Any:
    """The module cuda.bindings.driver.

    Raises:
        EnvironmentMismatch: it is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module("cuda.bindings.driver")
    except ImportError as error:
        raise EnvironmentMismatch(
            "the package cuda-bindings is needed to run edgefer's kernels and cannot be imported",
            hint="pip install 'edgefer[device]'",
            details=str(error),
        ) from error
