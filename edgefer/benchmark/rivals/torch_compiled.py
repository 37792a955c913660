"""PyTorch on the deployed graph, compiled by `torch.compile`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from edgefer.benchmark.child import ask
from edgefer.benchmark.rivals.rival import Absent, Prepared, Task
from edgefer.benchmark.rivals.torch_module import Call, load, threads
from edgefer.engine.portable import for_parser
from edgefer.errors import EdgeferError

COMPILE_SECONDS = 300.0
"""How long compiling may take before it is given up."""

_CACHE = "TORCHINDUCTOR_CACHE_DIR"
_CHILD = "edgefer.benchmark.rivals.compile_child"


class TorchCompileRival:
    """`torch.compile` by inductor, its weights frozen, which lets it choose layouts and pack weights beforehand.

    Compiling needs a C++ compiler and takes up to minutes. It happens in a child first, which can be given up, and
    leaves its libraries in a folder where this process finds them.
    """

    name = "torch-compile"

    def __init__(self, seconds: float = COMPILE_SECONDS) -> None:
        self._seconds = seconds

    def prepare(self, task: Task) -> Prepared | Absent:
        loaded = load(task)
        if isinstance(loaded, Absent):
            return loaded
        with ExitStack() as stack:
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="edgefer-inductor-", ignore_cleanup_errors=True)
            )
            (Path(folder) / "graph.onnx").write_bytes(for_parser(task.onnx))
            shapes = [",".join(map(str, each.shape)) for each in loaded.tensors]
            try:
                ask(
                    _CHILD,
                    [f"{folder}/graph.onnx", str(task.threads), *shapes],
                    environment={_CACHE: folder},
                    timeout=self._seconds,
                )
                stack.enter_context(threads(loaded.torch, task.threads))
                stack.enter_context(_variable(_CACHE, folder))
                call = compiled(loaded.torch, loaded.module, loaded.tensors)
            except EdgeferError as error:
                return Absent(f"torch.compile: {error.message} {error.details[-500:]}".strip())
            settings = task.settings(self.name, loaded.versions, loaded.note("compiled by inductor, weights frozen"))
            return Prepared(loaded.outputs(call), settings, stack.pop_all().close)


def compiled(torch: Any, module: Any, tensors: tuple[Any, ...]) -> Call:
    """The compiled module, called once.

    Raises:
        EdgeferError: inductor failed, most often for want of a C++ compiler.
    """
    config = torch._inductor.config
    # One thread: otherwise a pool of processes is started and left behind.
    changed = {"freezing": True, "compile_threads": 1}
    torch._dynamo.reset()
    try:
        with config.patch(changed), torch.no_grad():
            function = torch.compile(module, fullgraph=True)
            function(*tensors)
    except Exception as error:
        # Inductor and dynamo raise classes of their own, which move between versions.
        raise EdgeferError(
            f"it failed with {type(error).__name__}",
            details=str(error),
            hint="it needs a C++ compiler; g++ is one",
        ) from error

    def call() -> Any:
        with torch.no_grad():
            return function(*tensors)

    return call


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """An environment variable set for a while."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
