"""The same block in PyTorch, as it stands and compiled, as actions that run in turn with the kernels'."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu_check.figures import Care
from benchmarks.gpu_check.gpu import Gpu
from benchmarks.gpu_check.workloads import Workload
from edgefer.benchmark.timeline import Action

EAGER, EAGER_GRAPH = "torch eager", "torch eager in a CUDA graph"
COMPILED = {"torch.compile in a CUDA graph": "default", "torch.compile max-autotune in a CUDA graph": "max-autotune"}
FLUSH = "torch flush"
TOLERANCE = 0.01
"""Of |a - b| / (1 + |b|) between PyTorch's block and the kernel: PyTorch rounds to half precision after every step."""

_WARM_UPS = 3
# "max-autotune" would make a CUDA graph of its own inside of ours.
_MODES: dict[str, dict[str, str]] = {"default": {}, "max-autotune": {"mode": "max-autotune-no-cudagraphs"}}


@dataclass
class Rivals:
    """`warm` and `cold` are actions by way; `flush` is what the cold ones do beside their work. `answer` is the block's
    output as a kernel lays it down; `absent` says why a way is not there."""

    warm: dict[str, Action] = field(default_factory=dict)
    cold: dict[str, Action] = field(default_factory=dict)
    flush: Action | None = None
    answer: NDArray[Any] | None = None
    absent: dict[str, str] = field(default_factory=dict)


def usable(torch: Any | None = None) -> tuple[Any, str]:
    """PyTorch with CUDA, or None and why not."""
    try:
        found = torch or importlib.import_module("torch")
    except ImportError as error:
        return None, f"PyTorch is not installed: {error}"
    if not found.cuda.is_available():
        return None, f"PyTorch {found.__version__} has no CUDA that works here"
    return found, ""


@contextmanager
def rivals(
    gpu: Gpu, workload: Workload, care: Care, *, torch: Any | None = None, device: str = "cuda"
) -> Iterator[Rivals]:
    """All ways of one workload. Compiling takes up to a minute each."""
    found, why = usable(torch)
    block = _block(workload) if found is not None else None
    if found is None or block is None:
        why = why or f"there is no block in PyTorch for {workload.operation} in {workload.form}"
        yield Rivals(absent=dict.fromkeys((EAGER, EAGER_GRAPH, *COMPILED), why))
        return
    blocks: ModuleType = importlib.import_module("benchmarks.gpu_check.torch_blocks")
    made = Rivals()
    # What was compiled for other sizes counts towards a limit beyond which nothing more is compiled.
    found.compiler.reset()
    with found.inference_mode():
        tensors = blocks.tensors_of(workload.inputs, device)
        made.answer = _laid_down(block(tensors))
        clock = _Clock(gpu, found, care, 2 * gpu.device.l2_bytes, device)
        made.flush = clock.captured(lambda: None, cold=True)
        made.warm[EAGER] = clock.plain(lambda: block(tensors))
        ways: dict[str, dict[str, str] | None] = {EAGER_GRAPH: None, **{way: _MODES[m] for way, m in COMPILED.items()}}
        for way, mode in ways.items():
            try:
                function = block
                if mode is not None:
                    function = found.compile(block, fullgraph=True, dynamic=False, **mode)
                for _ in range(_WARM_UPS):
                    function(tensors)
                work = partial(function, tensors)
                made.warm[way] = clock.captured(work, cold=False)
                made.cold[way] = clock.captured(work, cold=True)
            except Exception as error:  # a compiler of another project can fail in any way; the others are still had
                made.absent[way] = f"{type(error).__name__}: {error}"[:500]
                made.warm.pop(way, None)
        try:
            yield made
        finally:
            clock.close()


class _Clock:
    """Actions that add what PyTorch's events say to the GPU's clock."""

    def __init__(self, gpu: Gpu, torch: Any, care: Care, flushed: int, device: str) -> None:
        self._gpu, self._torch, self._care = gpu, torch, care
        self._scratch = torch.empty(flushed, dtype=torch.int8, device=device)
        self._graphs: list[Any] = []

    def plain(self, work: Callable[[], object]) -> Action:
        """The work so many times as Python runs it."""

        def repeated() -> None:
            for _ in range(self._care.repeats):
                work()

        return lambda: self._timed(repeated)

    def captured(self, work: Callable[[], object], *, cold: bool) -> Action:
        """The same from a CUDA graph; each time behind an emptied cache where `cold`."""
        cuda = self._torch.cuda
        side = cuda.Stream()
        with cuda.stream(side):
            work()
        cuda.synchronize()
        graph = cuda.CUDAGraph()
        with cuda.graph(graph):
            for _ in range(self._care.repeats):
                if cold:
                    self._scratch.zero_()
                work()
        self._graphs.append(graph)
        return lambda: self._timed(graph.replay, lead=graph.replay)

    def close(self) -> None:
        """Give all memory back."""
        self._graphs.clear()
        del self._scratch
        self._torch.cuda.empty_cache()

    def _timed(self, work: Callable[[], object], lead: Callable[[], object] = lambda: None) -> None:
        """Behind `lead`, so that a graph is timed as edgefer's are: on a GPU that does not wait for its launch."""
        cuda = self._torch.cuda
        begin, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
        lead()
        begin.record()
        work()
        end.record()
        end.synchronize()
        self._gpu.seconds += begin.elapsed_time(end) / 1e3


def error_of(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """The largest |a - b| / (1 + |b|); infinite where one is not a number."""
    a, b = found.astype(np.float64), expected.astype(np.float64)
    worst = np.abs(a - b) / (1 + np.abs(b))
    return float(np.where(np.isnan(worst), np.inf, worst).max(initial=0.0))


def _block(workload: Workload) -> Callable[[Any], Any] | None:
    if workload.form != "f16h":
        return None
    blocks = importlib.import_module("benchmarks.gpu_check.torch_blocks")
    found: Callable[[Any], Any] | None = blocks.BLOCKS.get(workload.operation)
    return found


def _laid_down(tensor: Any) -> NDArray[Any]:
    """An output as the kernels write it: maps in (N, H, W, C)."""
    laid = tensor.permute(0, 2, 3, 1) if tensor.ndim == 4 else tensor
    array: NDArray[Any] = laid.contiguous().cpu().numpy()
    return array
