"""The process whose memory is measured.

`python -m edgefer.benchmark.memory_child BUNDLE DEVICE THREADS GRAPH RUNS GPU`, GPU as `edgefer.benchmark.gpu_argument`
writes it. It has loaded what a program that embeds a session loads, and nothing else: no PyTorch of the caller is
counted.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from edgefer import kernel_files
from edgefer.benchmark.child_answer import answer

_STATUS = kernel_files.ROOT / "proc/self/status"


def measure(path: str, device: str, threads: str, role: str, runs: str, gpu: str) -> dict[str, Any]:
    """Bytes resident before the session, with it open, at the peak, and on the GPU; None where the system is silent."""
    from edgefer.benchmark import stimulus
    from edgefer.benchmark.gpu_argument import from_argument
    from edgefer.bundle.container import Bundle
    from edgefer.runtime.session import Session

    bundle = Bundle.read(path)
    graph = bundle.graph(role or None)
    feeds = stimulus.batch(stimulus.tensors(bundle, graph), min(graph.batches))
    del bundle
    before = resident("VmRSS")
    count = int(threads) if threads else None
    session = Session(path, device=device, threads=count, graph=role or None, gpu=from_argument(gpu))
    opened = resident("VmRSS")
    for _ in range(int(runs)):
        session.run(feeds)
    on_gpu = session.info["device"] != "cpu"
    device_bytes, note = device_memory(os.getpid()) if on_gpu else (None, "")
    peak = resident("VmHWM")
    return {"before": before, "open": opened, "peak": peak, "device": device_bytes, "note": note}


def resident(field: str) -> int | None:
    """Bytes of this process by a field of /proc/self/status: VmRSS is resident now, VmHWM its highest so far."""
    words = (kernel_files.field(_STATUS, field) or "").split()
    return int(words[0]) * 1024 if words and words[0].isdecimal() else None


def device_memory(pid: int) -> tuple[int | None, str]:
    """Bytes of GPU memory that a process holds, and why they are not known where they are not."""
    from edgefer.benchmark.nvml import open_nvml

    gpu, reason = open_nvml()
    if gpu is None:
        return None, reason
    try:
        processes = gpu.ask("nvmlDeviceGetComputeRunningProcesses") or []
        held = [process.usedGpuMemory for process in processes if process.pid == pid]
    finally:
        gpu.close()
    if not held or held[0] is None:
        return None, "NVML does not tell this process's memory: in a container it sees other process numbers"
    return int(held[0]), ""


if __name__ == "__main__":
    sys.exit(answer(lambda: measure(*sys.argv[1:])))
