"""A real `Session` on a simulated GPU: a tiny bundle whose engine is a Python function, and what has to be in place.

It uses no fixture, so that a child process can do the same.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
from simulated_tensorrt import EngineSpec
from simulation import Simulation
from stand_in_engine import stand_in_engine

from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import GraphSpec
from edgefer.engine import bundle_work
from edgefer.engine.driver import cuda_driver
from edgefer.kernels import cubins

Feeds = Mapping[str, Any]


def tiny() -> ModuleType:
    """tests/edgefer/conftest.py, which has the tiny network."""
    known = sys.modules.get("edgefer_tests_conftest")
    if known is None:
        path = Path(__file__).parents[2] / "conftest.py"
        spec = importlib.util.spec_from_file_location("edgefer_tests_conftest", path)
        assert spec is not None
        assert spec.loader is not None
        known = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = known
        spec.loader.exec_module(known)
    return known


def bundle(batches: tuple[int, ...] = (1, 4), *, golden: int = 4) -> Bundle:
    """Two cameras of 8x8 pixels, five labels, with golden inputs; what is in it for an ONNX graph is none."""
    made: Bundle = tiny().make_tiny_bundle(tiny().TinyNetwork(batches=batches), golden=golden, onnx=b"no graph")
    return made


def feeds(batch: int = 1, seed: int = 0) -> dict[str, Any]:
    """Inputs by name."""
    return dict(tiny().tiny_feeds(tiny().TinyNetwork(), batch, seed))


def logits(given: Feeds) -> Any:
    """What the bundle answers, (N, 5), computed without any of the software under test."""
    return tiny().tiny_reference(tiny().TinyNetwork(), given).astype(np.float32)


def engine_spec(of: Bundle, **options: Any) -> EngineSpec:
    """The engine of the bundle's graph."""
    graph = of.manifest.graphs[0]
    many = len(graph.batches) > 1

    def shape(tensor: Any) -> tuple[int, ...]:
        return (-1, *tensor.shape[1:]) if many else tuple(tensor.shape)

    def function(given: dict[str, Any]) -> dict[str, Any]:
        found = logits(given)
        embedding = np.zeros((len(found), 8), np.float32)
        embedding[:, :5] = found
        return {"logits": found, "embedding": embedding}

    return EngineSpec(
        inputs={each.name: (shape(each), "float32") for each in graph.inputs},
        outputs={each.name: (shape(each), "float32") for each in graph.outputs},
        function=options.pop("function", function),
        batches=tuple(sorted(graph.batches)),
        **options,
    )


class SimulatedLibrary:
    """libcuda as `edgefer.engine.driver` asks it through ctypes."""

    def __init__(self, simulation: Simulation) -> None:
        self._gpu = simulation.gpu

    def cuInit(self, flags: int) -> int:  # noqa: N802 - the driver's names
        return 0 if self._gpu.gpus else 100

    def cuDriverGetVersion(self, number: Any) -> int:  # noqa: N802
        number._obj.value = 12060
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = self._gpu.gpus
        return 0

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:  # noqa: N802
        device._obj.value = ordinal
        return 0

    def cuDeviceGetName(self, name: Any, length: int, device: Any) -> int:  # noqa: N802
        name.value = self._gpu.name.encode()
        return 0

    def cuDeviceTotalMem_v2(self, memory: Any, device: Any) -> int:  # noqa: N802
        memory._obj.value = self._gpu.total_bytes
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: Any) -> int:  # noqa: N802
        major, minor = self._gpu.compute_capability
        told = {16: self._gpu.multiprocessors, 18: int(self._gpu.integrated), 75: major, 76: minor}
        value._obj.value = told[attribute]
        return 0

    def cuGetErrorName(self, code: int, text: Any) -> int:  # noqa: N802
        text._obj.value = b"CUDA_ERROR_NO_DEVICE"
        return 0


@contextlib.contextmanager
def _modules(found: Mapping[str, Any]) -> Iterator[None]:
    """These modules for the real ones. Others that are imported meanwhile stay imported."""
    real = {name: sys.modules.pop(name, None) for name in found}
    sys.modules.update(found)
    try:
        yield
    finally:
        for name, module in real.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


@contextlib.contextmanager
def in_place(simulation: Simulation, **options: Any) -> Iterator[list[bytes]]:
    """Inside of the block edgefer finds the simulation: cuda.bindings, pycuda, TensorRT, the driver's library, and a
    compiler that gives the bundle's engine for its ONNX. `options` are those of `EngineSpec`. The list gets the graphs
    that were compiled."""
    compiled: list[bytes] = []

    def compile_graph(self: Any, onnx: bytes, graph: GraphSpec, way: str) -> Any:
        plan = simulation.trt.plan(f"tiny {graph.batches}", engine_spec(self.bundle, **dict(options)))
        compiled.append(onnx)
        return stand_in_engine(plan, version=simulation.trt.__version__, onnx=onnx)

    with (
        _modules(simulation.modules()),
        mock.patch.object(cuda_driver, "__defaults__", (lambda name: SimulatedLibrary(simulation),)),
        mock.patch.object(bundle_work.BundleWork, "_compiled", compile_graph),
        mock.patch.object(cubins, "read", return_value=b"image"),  # unpacking takes as long as all the rest
    ):
        yield compiled
