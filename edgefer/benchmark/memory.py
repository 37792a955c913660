"""What a session takes: resident memory in a process of its own, and the sizes of bundle, graph and engine."""

from __future__ import annotations

from edgefer.benchmark.child import ask
from edgefer.benchmark.gpu_argument import to_argument
from edgefer.benchmark.result import Memory
from edgefer.benchmark.spec import BenchmarkSpec
from edgefer.bundle.container import Bundle
from edgefer.errors import UsageError

RUNS = 20
"""Inferences before the peak is read: scratch memory is taken in the first, the arena grows in the next few."""

_MODULE = "edgefer.benchmark.memory_child"


def memory(bundle: Bundle, spec: BenchmarkSpec, *, engine: int | None = None) -> Memory:
    """Open the bundle in a new process and read what the system says of it.

    `host_before` has Python, NumPy and edgefer in it, `host_open` also the runner's library and the loaded graph;
    `host_peak` is the highest of the whole process, opening included: what must be free for it.

    Args:
        bundle: read from a file.
        spec: device, threads, graph and gpu.
        engine: the size of the engine in bytes, where one is run.

    Raises:
        UsageError: the bundle is in memory only.
        EdgeferError: what a session of `spec` raises; or the process died, and `details` has its last lines.
    """
    if bundle.path is None:
        raise UsageError("memory is measured from the bundle's file, and it has none", hint="Bundle.write it first")
    graph = bundle.graph(spec.graph)
    threads = "" if spec.threads is None else str(spec.threads)
    asked = [str(bundle.path.absolute()), spec.device, threads, spec.graph or "", str(RUNS), to_argument(spec.gpu)]
    told = ask(_MODULE, asked).value
    return Memory(
        host_before=told["before"],
        host_open=told["open"],
        host_peak=told["peak"],
        device=told["device"],
        bundle=bundle.path.stat().st_size,
        graph=bundle.manifest.members[graph.member].size,
        engine=engine,
        note=told["note"],
    )
