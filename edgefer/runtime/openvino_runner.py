"""A graph executed by OpenVINO on the CPU."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefer.engine.portable import for_parser
from edgefer.errors import BundleError, CompileError, EdgeferError, InputError
from edgefer.runtime import openvino_library
from edgefer.runtime.out_arrays import copied_into

PRECISION = "f32"
"""What layers that are not quantised compute in. OpenVINO itself takes bfloat16 where a CPU is fast at it, and answers
would then depend on the machine."""

MOST_STREAMS = 8
_FUSED_LOOPS = "SNIPPETS_MODE"
"""The property of OpenVINO's CPU plugin that turns its fused loops off."""
_MOST_LINES = 12
_ELEMENTWISE = frozenset(
    ("Add", "Clamp", "Convert", "Divide", "FakeQuantize", "HSigmoid", "Multiply", "Relu", "Sigmoid", "Subtract", "Tanh")
) | {"BatchNormInference", "HSwish", "Elu", "Gelu", "Swish", "PRelu"}


class OpenVinoRunner:
    """Executes ONNX on the CPU through OpenVINO.

    Model-local functions are inlined first, because OpenVINO's frontend stops at a shape that one of them gives. A call
    computes on one stream with `threads` threads; there are as many streams as fit the CPUs, so that callers from
    several threads run side by side. Nothing is cached on disk: compiling takes less time than checking a cached blob
    against graph, CPU and version would save.

    Args:
        onnx: the model, whole: external data is not followed.
        threads: how many threads one run may use; None leaves it to OpenVINO (one a physical core).
        profile: count the time of every layer, for `InferRequest.profiling_info`; it slows every run down.

    Raises:
        EnvironmentMismatch: openvino or onnx is not installed.
        BundleError: OpenVINO refuses the model.
    """

    def __init__(self, onnx: bytes, *, threads: int | None = None, profile: bool = False) -> None:
        ov = openvino_library.openvino()
        self._version = str(ov.__version__).partition("-")[0]
        model = self._read(onnx)
        # The compiled model gives a port the names of every tensor that was merged with it.
        self._inputs = {port.any_name: _shape(port.partial_shape) for port in model.inputs}
        self._outputs = tuple(port.any_name for port in model.outputs)
        self._compiled = self._compile(model, _properties(threads, profile))
        self._idle: deque[Any] = deque([self._compiled.create_infer_request()])

    @property
    def compiled(self) -> Any:
        """The `openvino.CompiledModel`, for measuring beside it."""
        return self._compiled

    @property
    def settings(self) -> dict[str, str]:
        """What the model was compiled with, as OpenVINO reports it."""
        return {
            "inference precision": PRECISION,
            "streams": str(self._compiled.get_property("NUM_STREAMS")),
            "threads of all streams": str(self._compiled.get_property("INFERENCE_NUM_THREADS")),
        }

    @property
    def versions(self) -> dict[str, str]:
        return {"openvino": self._version}

    @property
    def inputs(self) -> dict[str, tuple[int | None, ...]]:
        return dict(self._inputs)

    @property
    def outputs(self) -> tuple[str, ...]:
        return self._outputs

    @property
    def output_types(self) -> dict[str, np.dtype[Any]]:
        ports = zip(self._outputs, self._compiled.outputs, strict=True)
        return {name: np.dtype(port.get_element_type().to_dtype()) for name, port in ports}

    def run(
        self, feeds: Mapping[str, npt.NDArray[Any]], out: Mapping[str, npt.NDArray[Any]] | None = None
    ) -> dict[str, npt.NDArray[Any]]:
        if feeds.keys() != self._inputs.keys():
            # A request would answer with what it was given for the missing one the last time.
            raise InputError(f"the inputs are {sorted(feeds)}, expected {sorted(self._inputs)}")
        try:
            request = self._idle.pop()
        except IndexError:  # all are in use by other threads
            request = self._compiled.create_infer_request()
        try:
            # The inputs are read where they lie; the outputs are copies, because the request is used again.
            values = request.infer([feeds[name] for name in self._inputs], share_inputs=True)
        except Exception as error:
            raise _run_failure(error) from error
        self._idle.append(request)
        outputs = {name: values[index] for index, name in enumerate(self._outputs)}
        return outputs if out is None else copied_into(out, outputs)

    def close(self) -> None:
        """Requests that nobody uses are given back; the model goes with the last reference."""
        self._idle.clear()

    def _read(self, onnx: bytes) -> Any:
        try:
            inlined = for_parser(bytes(onnx))
        except CompileError as error:
            raise BundleError(error.message, details=error.details, hint=error.hint) from error
        return self._understood(lambda: openvino_library.shared_core().read_model(inlined))

    def _compile(self, model: Any, properties: Mapping[str, object]) -> Any:
        core = openvino_library.shared_core()
        if _quantises_products(model):
            # OpenVINO 2026.4 fuses small quantised matrix products that follow each other into one loop, and answers
            # nonsense where a batch norm lies between them and a run has one thread.
            try:
                return core.compile_model(model, "CPU", {**properties, _FUSED_LOOPS: "DISABLE"})
            except RuntimeError:  # a version without that property; what it answers is checked like any other's
                pass
        return self._understood(lambda: core.compile_model(model, "CPU", dict(properties)))

    def _understood(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except Exception as error:
            # OpenVINO raises RuntimeError for whatever is wrong; its subclasses move between versions.
            raise BundleError(
                "OpenVINO cannot load the graph", details=_first_lines(error), hint=f"this is OpenVINO {self._version}"
            ) from error


def _properties(threads: int | None, profile: bool) -> dict[str, object]:
    # No pinning: the threads are part of somebody's application, and those of two sessions would share one core.
    properties: dict[str, object] = {
        "INFERENCE_PRECISION_HINT": PRECISION,
        "ENABLE_CPU_PINNING": False,
        "PERF_COUNT": profile,
        "NUM_STREAMS": 1,
    }
    if threads is not None:
        streams = min(MOST_STREAMS, max(1, _cpus() // threads))
        properties |= {"NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": streams * threads}
    return properties


def _quantises_products(model: Any) -> bool:
    """Whether a matrix product is quantised again behind nothing but element-wise layers."""
    for node in model.get_ops():
        if node.get_type_name() != "FakeQuantize":
            continue
        pending = [node.input_value(0).get_node()]
        while pending:
            each = pending.pop()
            if each.get_type_name() == "MatMul":
                return True
            if each.get_type_name() in _ELEMENTWISE:
                pending += [each.input_value(index).get_node() for index in range(each.get_input_size())]
    return False


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _shape(partial: Any) -> tuple[int | None, ...]:
    return tuple(int(axis.get_length()) if axis.is_static else None for axis in partial)


def _run_failure(error: Exception) -> EdgeferError:
    if "shape" in str(error) or isinstance(error, (TypeError, ValueError)):
        return InputError("OpenVINO refuses the inputs", details=_first_lines(error))
    return EdgeferError("OpenVINO failed while it ran the graph", details=_first_lines(error))


def _first_lines(error: Exception) -> str:
    """What OpenVINO says without its empty lines; it lists every node that it did not understand."""
    return "\n".join([line for line in str(error).splitlines() if line.strip()][:_MOST_LINES])
