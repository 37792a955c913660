"""What edgefer calls of cuda.bindings.driver, pycuda.driver and TensorRT, as plain data: every function, class, method
and enumeration with what goes in and what comes back.

The simulation of a GPU checks each call against these tables, and other tests hold the tables against the real
modules: what is not in a table cannot be called in a test, and what a real module lacks cannot stay in a table.

A signature is (parameters, returns): parameters as "name: kind" separated by commas, with "= default" where one may be
left out; returns as kinds separated by commas, beside the error code where the function is the driver's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

Table = Mapping[str, tuple[str, str]]

BINDINGS: Table = {
    "cuInit": ("Flags: unsigned int", ""),
    "cuDriverGetVersion": ("", "int"),
    "cuGetErrorName": ("error: CUresult", "bytes"),
    "cuGetErrorString": ("error: CUresult", "bytes"),
    "cuDeviceGet": ("ordinal: int", "CUdevice"),
    "cuDeviceGetCount": ("", "int"),
    "cuDeviceGetName": ("length: int, dev: CUdevice", "bytes"),
    "cuDeviceTotalMem": ("dev: CUdevice", "int"),
    "cuDeviceGetAttribute": ("attrib: CUdevice_attribute, dev: CUdevice", "int"),
    "cuDevicePrimaryCtxRetain": ("dev: CUdevice", "CUcontext"),
    "cuDevicePrimaryCtxRelease": ("dev: CUdevice", ""),
    "cuCtxPushCurrent": ("ctx: CUcontext", ""),
    "cuCtxPopCurrent": ("", "CUcontext"),
    "cuCtxGetCurrent": ("", "CUcontext"),
    "cuCtxGetDevice": ("", "CUdevice"),
    "cuCtxSynchronize": ("", ""),
    "cuCtxGetStreamPriorityRange": ("", "int, int"),
    "cuMemGetInfo": ("", "int, int"),
    "cuMemAlloc": ("bytesize: size_t", "CUdeviceptr"),
    "cuMemFree": ("dptr: CUdeviceptr", ""),
    "cuMemHostAlloc": ("bytesize: size_t, Flags: unsigned int", "Any"),
    "cuMemFreeHost": ("p: Any", ""),
    "cuMemHostGetDevicePointer": ("p: Any, Flags: unsigned int", "CUdeviceptr"),
    "cuPointerGetAttribute": ("attribute: CUpointer_attribute, ptr: CUdeviceptr", "Any"),
    "cuMemcpyHtoDAsync": ("dstDevice: CUdeviceptr, srcHost: Any, ByteCount: size_t, hStream: CUstream", ""),
    "cuMemcpyDtoHAsync": ("dstHost: Any, srcDevice: CUdeviceptr, ByteCount: size_t, hStream: CUstream", ""),
    "cuMemcpyDtoDAsync": ("dstDevice: CUdeviceptr, srcDevice: CUdeviceptr, ByteCount: size_t, hStream: CUstream", ""),
    "cuMemsetD8Async": ("dstDevice: CUdeviceptr, uc: unsigned char, N: size_t, hStream: CUstream", ""),
    "cuStreamCreate": ("Flags: unsigned int", "CUstream"),
    "cuStreamCreateWithPriority": ("flags: unsigned int, priority: int", "CUstream"),
    "cuStreamDestroy": ("hStream: CUstream", ""),
    "cuStreamSynchronize": ("hStream: CUstream", ""),
    "cuStreamQuery": ("hStream: CUstream", ""),
    "cuStreamWaitEvent": ("hStream: CUstream, hEvent: CUevent, Flags: unsigned int", ""),
    "cuStreamBeginCapture": ("hStream: CUstream, mode: CUstreamCaptureMode", ""),
    "cuStreamEndCapture": ("hStream: CUstream", "CUgraph"),
    "cuStreamIsCapturing": ("hStream: CUstream", "CUstreamCaptureStatus"),
    "cuEventCreate": ("Flags: unsigned int", "CUevent"),
    "cuEventDestroy": ("hEvent: CUevent", ""),
    "cuEventRecord": ("hEvent: CUevent, hStream: CUstream", ""),
    "cuEventQuery": ("hEvent: CUevent", ""),
    "cuEventSynchronize": ("hEvent: CUevent", ""),
    "cuEventElapsedTime": ("hStart: CUevent, hEnd: CUevent", "float"),
    "cuGraphInstantiate": ("hGraph: CUgraph, flags: unsigned long long", "CUgraphExec"),
    "cuGraphDestroy": ("hGraph: CUgraph", ""),
    "cuGraphUpload": ("hGraphExec: CUgraphExec, hStream: CUstream", ""),
    "cuGraphLaunch": ("hGraphExec: CUgraphExec, hStream: CUstream", ""),
    "cuGraphExecDestroy": ("hGraphExec: CUgraphExec", ""),
    "cuModuleLoadDataEx": (
        "image: Any, numOptions: unsigned int, options: tuple[CUjit_option], optionValues: tuple[Any]",
        "CUmodule",
    ),
    "cuModuleUnload": ("hmod: CUmodule", ""),
    "cuModuleGetFunction": ("hmod: CUmodule, name: bytes", "CUfunction"),
    "cuFuncSetAttribute": ("hfunc: CUfunction, attrib: CUfunction_attribute, value: int", ""),
    "cuFuncLoad": ("function: CUfunction", ""),
    "cuLaunchKernel": (
        "f: CUfunction, gridDimX: unsigned int, gridDimY: unsigned int, gridDimZ: unsigned int, "
        "blockDimX: unsigned int, blockDimY: unsigned int, blockDimZ: unsigned int, sharedMemBytes: unsigned int, "
        "hStream: CUstream, kernelParams: Any, extra: Any",
        "",
    ),
}
"""Functions of cuda.bindings.driver. Each gives a tuple that begins with the CUresult."""

BINDINGS_ENUMS: Mapping[str, Mapping[str, int]] = {
    "CUresult": {
        "CUDA_SUCCESS": 0,
        "CUDA_ERROR_INVALID_VALUE": 1,
        "CUDA_ERROR_OUT_OF_MEMORY": 2,
        "CUDA_ERROR_NOT_INITIALIZED": 3,
        "CUDA_ERROR_NO_DEVICE": 100,
        "CUDA_ERROR_INVALID_DEVICE": 101,
        "CUDA_ERROR_INVALID_IMAGE": 200,
        "CUDA_ERROR_INVALID_CONTEXT": 201,
        "CUDA_ERROR_NO_BINARY_FOR_GPU": 209,
        "CUDA_ERROR_UNSUPPORTED_PTX_VERSION": 222,
        "CUDA_ERROR_INVALID_HANDLE": 400,
        "CUDA_ERROR_NOT_FOUND": 500,
        "CUDA_ERROR_NOT_READY": 600,
        "CUDA_ERROR_ILLEGAL_ADDRESS": 700,
        "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES": 701,
        "CUDA_ERROR_LAUNCH_FAILED": 719,
        "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED": 900,
        "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED": 901,
        "CUDA_ERROR_ILLEGAL_STATE": 401,
        "CUDA_ERROR_STREAM_CAPTURE_ISOLATION": 905,
        "CUDA_ERROR_CAPTURED_EVENT": 907,
        "CUDA_ERROR_UNKNOWN": 999,
    },
    "CUstream_flags": {"CU_STREAM_DEFAULT": 0, "CU_STREAM_NON_BLOCKING": 1},
    "CUevent_flags": {"CU_EVENT_DEFAULT": 0, "CU_EVENT_BLOCKING_SYNC": 1, "CU_EVENT_DISABLE_TIMING": 2},
    "CUstreamCaptureMode": {
        "CU_STREAM_CAPTURE_MODE_GLOBAL": 0,
        "CU_STREAM_CAPTURE_MODE_THREAD_LOCAL": 1,
        "CU_STREAM_CAPTURE_MODE_RELAXED": 2,
    },
    "CUstreamCaptureStatus": {
        "CU_STREAM_CAPTURE_STATUS_NONE": 0,
        "CU_STREAM_CAPTURE_STATUS_ACTIVE": 1,
        "CU_STREAM_CAPTURE_STATUS_INVALIDATED": 2,
    },
    "CUpointer_attribute": {"CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL": 9},
    "CUjit_option": {"CU_JIT_ERROR_LOG_BUFFER": 5, "CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES": 6},
    "CUfunction_attribute": {"CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES": 8},
    "CUdevice_attribute": {
        "CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT": 16,
        "CU_DEVICE_ATTRIBUTE_INTEGRATED": 18,
        "CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY": 19,
        "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR": 75,
        "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR": 76,
        "CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN": 97,
    },
}
"""The enumerations of cuda.bindings.driver with the numbers of cuda.h."""

BINDINGS_HANDLES = (
    *("CUcontext", "CUdeviceptr", "CUdevice", "CUstream", "CUevent"),
    *("CUgraph", "CUgraphExec", "CUmodule", "CUfunction"),
)
"""What functions hand out: objects that `int` makes an address of. Where one goes in, its address may go in too."""

PYCUDA: Table = {
    "init": ("flags: int = 0", ""),
    "get_version": ("", "tuple"),
    "get_driver_version": ("", "int"),
    "mem_alloc": ("bytes: int", "DeviceAllocation"),
    "mem_get_info": ("", "tuple"),
    "pagelocked_empty": ("shape: shape, dtype: dtype, order: str = C, mem_flags: int = 0", "ndarray"),
    "Device": ("number: int", "Device"),
    "Device.count": ("", "int"),
    "Device.name": ("", "str"),
    "Device.compute_capability": ("", "tuple"),
    "Device.total_memory": ("", "int"),
    "Device.get_attribute": ("attr: device_attribute", "int"),
    "Device.retain_primary_context": ("", "Context"),
    "Context.push": ("", ""),
    "Context.pop": ("", ""),
    "Context.detach": ("", ""),
    "Context.get_current": ("", "Context"),
    "Context.synchronize": ("", ""),
    "Context.get_device": ("", "Device"),
    "DeviceAllocation.free": ("", ""),
    "PagelockedHostAllocation.free": ("", ""),
    "PagelockedHostAllocation.get_device_pointer": ("", "int"),
}
"""Functions and methods of pycuda.driver (`self` left out). `Context.pop`, `get_current`, `synchronize` and
`get_device` are static."""

PYCUDA_MEMBERS: Mapping[str, tuple[str, ...]] = {
    "device_attribute": (
        *("COMPUTE_CAPABILITY_MAJOR", "COMPUTE_CAPABILITY_MINOR", "MULTIPROCESSOR_COUNT"),
        *("MAX_SHARED_MEMORY_PER_BLOCK_OPTIN", "INTEGRATED", "CAN_MAP_HOST_MEMORY"),
    ),
    "host_alloc_flags": ("DEVICEMAP", "PORTABLE", "WRITECOMBINED"),
    "Context": ("handle",),
    "Error": (),
    "MemoryError": (),
    "LogicError": (),
    "LaunchError": (),
    "RuntimeError": (),
}
"""Attributes of pycuda.driver that are not called; the errors are classes, the last four derived from the first."""

TENSORRT: Table = {
    "Runtime": ("logger: ILogger", "Runtime"),
    "Runtime.deserialize_cuda_engine": ("serialized_engine: buffer", "ICudaEngine"),
    "ICudaEngine.get_tensor_name": ("index: int", "str"),
    "ICudaEngine.get_tensor_mode": ("name: str", "TensorIOMode"),
    "ICudaEngine.get_tensor_shape": ("name: str", "Dims"),
    "ICudaEngine.get_tensor_dtype": ("name: str", "DataType"),
    "ICudaEngine.get_tensor_profile_shape": ("name: str, profile_index: int", "list"),
    "ICudaEngine.get_tensor_location": ("name: str", "TensorLocation"),
    "ICudaEngine.get_device_memory_size_for_profile_v2": ("profile_index: int", "int"),
    "ICudaEngine.get_device_memory_size_for_profile": ("profile_index: int", "int"),
    "ICudaEngine.create_execution_context": (
        "strategy: ExecutionContextAllocationStrategy = STATIC",
        "IExecutionContext",
    ),
    "ICudaEngine.create_execution_context_without_device_memory": ("", "IExecutionContext"),
    "IExecutionContext.set_optimization_profile_async": ("profile_index: int, stream_handle: int", "bool"),
    "IExecutionContext.set_input_shape": ("name: str, shape: shape", "bool"),
    "IExecutionContext.get_tensor_shape": ("name: str", "Dims"),
    "IExecutionContext.set_tensor_address": ("name: str, memory: int", "bool"),
    "IExecutionContext.get_tensor_address": ("name: str", "int"),
    "IExecutionContext.set_device_memory": ("memory: int, size: int", ""),
    "IExecutionContext.infer_shapes": ("", "list"),
    "IExecutionContext.execute_async_v3": ("stream_handle: int", "bool"),
    "nptype": ("trt_type: DataType", "type"),
    "init_libnvinfer_plugins": ("logger: ILogger, namespace: str", "bool"),
}
"""Functions, constructors and methods of TensorRT that the runtime calls (`self` left out)."""

TENSORRT_MEMBERS: Mapping[str, tuple[str, ...]] = {
    "ILogger": ("log", "Severity"),
    "ICudaEngine": ("num_io_tensors", "num_optimization_profiles", "device_memory_size_v2"),
    "IExecutionContext": ("active_optimization_profile", "device_memory"),
    "TensorIOMode": ("INPUT", "OUTPUT", "NONE"),
    "TensorLocation": ("DEVICE", "HOST"),
    "DataType": ("FLOAT", "HALF", "INT8", "INT32", "INT64", "BOOL", "UINT8"),
    "ExecutionContextAllocationStrategy": ("STATIC", "ON_PROFILE_CHANGE", "USER_MANAGED"),
}
"""Attributes and members of TensorRT that the runtime reads."""

TENSORRT_OPTIONAL = frozenset(
    {
        "ICudaEngine.create_execution_context_without_device_memory",
        "ICudaEngine.get_device_memory_size_for_profile",
        "ICudaEngine.get_device_memory_size_for_profile_v2",
        "ICudaEngine.device_memory_size_v2",
        "init_libnvinfer_plugins",
    }
)
"""What some release lacks, and the runtime asks for before it uses it."""


@dataclass(frozen=True)
class Parameter:
    name: str
    kind: str
    optional: bool


@cache
def parameters(text: str) -> tuple[Parameter, ...]:
    """The parameters that the first text of a signature names."""
    found = []
    for part in filter(None, text.split(", ")):
        name, _, rest = part.partition(": ")
        kind, equals, _ = rest.partition(" = ")
        found.append(Parameter(name, kind, bool(equals)))
    return tuple(found)


@cache
def returns(text: str) -> tuple[str, ...]:
    """The kinds of what comes back."""
    return tuple(filter(None, text.split(", ")))


_BITS = {"unsigned char": 8, "unsigned int": 32, "unsigned long long": 64, "size_t": 64}


def fits(kind: str, value: Any) -> bool:
    """Whether a real function would take the value for a parameter of that kind."""
    if kind in _BITS:
        return _whole(value) and 0 <= int(value) < 1 << _BITS[kind]
    if kind in ("int", "float"):
        return _whole(value) or (kind == "float" and isinstance(value, float))
    if kind in BINDINGS_HANDLES:
        return type(value).__name__ == kind or _whole(value)
    if kind in BINDINGS_ENUMS or kind in TENSORRT_MEMBERS or kind in PYCUDA_MEMBERS:
        return any(each.__name__ == kind for each in type(value).__mro__)
    if kind == "shape":
        return _whole(value) or all(_whole(each) for each in value)
    if kind == "buffer":
        return isinstance(value, bytes | bytearray | memoryview) or hasattr(value, "__buffer__")
    plain = {"bytes": bytes, "str": str, "bool": bool}.get(kind)
    return True if plain is None else isinstance(value, plain)


def _whole(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)


def check(table: Table, name: str, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[Any, ...]:
    """The arguments in the order of the signature, those left out left off.

    Raises:
        TypeError: as the real function would: one is missing, too many, of another name or of the wrong kind.
    """
    wanted = parameters(table[name][0])
    if len(arguments) > len(wanted):
        raise TypeError(f"{name} takes {len(wanted)} arguments, {len(arguments)} given")
    given = dict(zip((each.name for each in wanted), arguments, strict=False))
    for key, value in named.items():
        if key in given or key not in {each.name for each in wanted}:
            raise TypeError(f"{name} has no argument {key} left")
        given[key] = value
    for each in wanted:
        if each.name not in given:
            if not each.optional:
                raise TypeError(f"{name} lacks its argument {each.name}")
        elif not fits(each.kind, given[each.name]):
            raise TypeError(f"{name}: {each.name} must be {each.kind}, not {given[each.name]!r}")
    return tuple(given.get(each.name) for each in wanted)
