"""A simulated GPU with the three modules that run on it, and how they are put in the places of the real ones."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from simulated_bindings import SimulatedBindings
from simulated_gpu import SimulatedGpu
from simulated_pycuda import SimulatedPycuda
from simulated_tensorrt import SimulatedTensorRt


@dataclass
class Simulation:
    """`bindings` stands for cuda.bindings.driver, `pycuda` for pycuda.driver, `trt` for tensorrt."""

    gpu: SimulatedGpu
    bindings: SimulatedBindings
    pycuda: SimulatedPycuda
    trt: SimulatedTensorRt

    def modules(self) -> dict[str, Any]:
        """The entries of sys.modules that make `import` find the simulation."""
        found: dict[str, Any] = {name: ModuleType(name) for name in ("cuda", "cuda.bindings", "pycuda")}
        found |= {"cuda.bindings.driver": self.bindings, "pycuda.driver": self.pycuda, "tensorrt": self.trt}
        for name, module in found.items():
            parent, _, child = name.rpartition(".")
            if parent:
                setattr(found[parent], child, module)
        return found

    def install(self, modules: MutableMapping[str, Any]) -> None:
        """For a process of its own: `simulation.install(sys.modules)`. A test uses `monkeypatch.setitem`."""
        modules.update(self.modules())


def simulate(*, version: str = "10.3.0", **options: Any) -> Simulation:
    """`options` are those of `SimulatedGpu`, `version` is TensorRT's."""
    gpu = SimulatedGpu(**options)
    return Simulation(gpu, SimulatedBindings(gpu), SimulatedPycuda(gpu), SimulatedTensorRt(gpu, version))
