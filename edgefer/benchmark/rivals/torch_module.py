"""What the two rivals of PyTorch share: the module with its inputs, its threads, one call of it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgefer.benchmark.rivals.rival import Absent, Outputs, Task
from edgefer.benchmark.rivals.torch_graph import Unsupported, module_of
from edgefer.engine.portable import for_parser
from edgefer.errors import BundleError, CompileError, EnvironmentMismatch

Call = Callable[[], Any]


@dataclass(frozen=True)
class Loaded:
    """The deployed graph as a module of PyTorch, with the tensors to call it on, in the order of its inputs."""

    torch: Any
    module: Any
    tensors: tuple[Any, ...]
    task: Task

    @property
    def versions(self) -> dict[str, str]:
        return {"torch": str(self.torch.__version__)}

    def note(self, how: str) -> str:
        """What to write beside the figures."""
        quantised = self.task.bundle.manifest.precision.startswith("int8")
        as_float = "; Q/DQ computed in floating point, PyTorch has no INT8 kernels for them" if quantised else ""
        return f"the deployed graph as a module, {how}{as_float}"

    def outputs(self, call: Call) -> Callable[[], Outputs]:
        """A call as a rival's run."""
        names = [spec.name for spec in self.task.graph.outputs]
        return lambda: {name: value.numpy() for name, value in zip(names, call(), strict=True)}


def load(task: Task) -> Loaded | Absent:
    """The module, or why there is none."""
    try:
        torch: Any = importlib.import_module("torch")
        module = module_of(for_parser(task.onnx))
    except ImportError as error:
        return Absent(f"PyTorch cannot be imported: {error} (pip install 'edgefer[export]')")
    except (BundleError, CompileError, EnvironmentMismatch, Unsupported) as error:
        return Absent(str(error))
    # A copy each: PyTorch warns of arrays that it may not write to.
    tensors = tuple(torch.from_numpy(np.array(task.feeds[spec.name])) for spec in task.graph.inputs)
    return Loaded(torch, module, tensors, task)


@contextmanager
def threads(torch: Any, count: int) -> Iterator[None]:
    """`count` threads for every operator of PyTorch in this process; as it was afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
