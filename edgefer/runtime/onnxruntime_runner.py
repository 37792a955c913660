"""A graph executed by onnxruntime on the CPU."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefer.errors import BundleError, EdgeferError, EnvironmentMismatch, InputError
from edgefer.runtime.out_arrays import copied_into

PROFILE, OPTIMISED = "profile", "optimised.onnx"
"""What is left in the folder of a profile: files of this prefix, and the graph that is really executed."""

_ELEMENT_TYPES = {"float": "float32", "double": "float64"}
"""Of the names in onnxruntime's types, such as "tensor(float)", those that NumPy has others for."""

# Errors are raised, with the same text, and standard error is the caller's.
_FATAL_ONLY = 4


class OnnxRuntimeRunner:
    """Executes ONNX on the CPU.

    Args:
        onnx: the model, whole: external data is not followed.
        threads: how many threads one run may use; None leaves it to onnxruntime (one a physical core).
        optimise: False evaluates every node literally, so that results do not depend on the CPU.
        disabled: names of single optimisations of onnxruntime to leave out.
        profile: a folder to record the kernels' times in, and the graph as it was optimised; it slows every run down.

    Raises:
        EnvironmentMismatch: onnxruntime is not installed.
        BundleError: onnxruntime refuses the model.
    """

    def __init__(
        self,
        onnx: bytes,
        *,
        threads: int | None = None,
        optimise: bool = True,
        disabled: Sequence[str] = (),
        profile: Path | None = None,
    ) -> None:
        ort = _onnxruntime()
        options = ort.SessionOptions()
        options.log_severity_level = _FATAL_ONLY
        if threads is not None:
            options.intra_op_num_threads = threads
        if not optimise:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        if profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(profile / PROFILE)
            options.optimized_model_filepath = str(profile / OPTIMISED)
        try:
            self._session = ort.InferenceSession(
                onnx, options, providers=["CPUExecutionProvider"], disabled_optimizers=list(disabled)
            )
        except Exception as error:
            # onnxruntime's exceptions have no common base below Exception, and their classes move between versions.
            raise BundleError(
                "onnxruntime cannot load the graph", details=str(error), hint=f"this is onnxruntime {ort.__version__}"
            ) from error
        self._outputs = tuple(output.name for output in self._session.get_outputs())
        self._version = str(ort.__version__)

    @property
    def session(self) -> Any:
        """The `onnxruntime.InferenceSession`, for measuring beside it."""
        return self._session

    @property
    def versions(self) -> dict[str, str]:
        return {"onnxruntime": self._version}

    @property
    def inputs(self) -> dict[str, tuple[int | None, ...]]:
        return {
            spec.name: tuple(axis if isinstance(axis, int) else None for axis in spec.shape)
            for spec in self._session.get_inputs()
        }

    @property
    def outputs(self) -> tuple[str, ...]:
        return self._outputs

    @property
    def output_types(self) -> dict[str, np.dtype[Any]]:
        return {spec.name: _element_type(spec.type) for spec in self._session.get_outputs()}

    def run(
        self, feeds: Mapping[str, npt.NDArray[Any]], out: Mapping[str, npt.NDArray[Any]] | None = None
    ) -> dict[str, npt.NDArray[Any]]:
        try:
            values = self._session.run(self._outputs, feeds)
        except Exception as error:
            raise _run_failure(error) from error
        outputs = dict(zip(self._outputs, values, strict=True))
        return outputs if out is None else copied_into(out, outputs)

    def close(self) -> None:
        """Nothing to do: onnxruntime's memory goes with the last reference, when no thread runs it any more."""


def onnxruntime_version() -> str:
    """The release that graphs run on.

    Raises:
        EnvironmentMismatch: onnxruntime is not installed.
    """
    return str(_onnxruntime().__version__)


def _element_type(told: str) -> np.dtype[Any]:
    name = told.removeprefix("tensor(").removesuffix(")")
    return np.dtype(_ELEMENT_TYPES.get(name, name))


def _run_failure(error: Exception) -> EdgeferError:
    if type(error).__name__ == "InvalidArgument" or isinstance(error, ValueError):
        return InputError("onnxruntime refuses the inputs", details=str(error))
    return EdgeferError("onnxruntime failed while it ran the graph", details=str(error))


def _onnxruntime() -> Any:
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise EnvironmentMismatch(
            "running a bundle on the CPU needs onnxruntime, which cannot be imported",
            details=str(error),
            hint="pip install 'edgefer[cpu]'",
        ) from error
