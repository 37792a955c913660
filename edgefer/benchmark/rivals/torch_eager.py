"""PyTorch on the deployed graph, operator by operator."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

from edgefer.benchmark.rivals.rival import Absent, Prepared, Task
from edgefer.benchmark.rivals.torch_module import Call, Loaded, load, threads

_TRIALS = 7


class TorchRival:
    """Eager PyTorch in inference mode, in the faster of its two memory layouts."""

    name = "torch"

    def prepare(self, task: Task) -> Prepared | Absent:
        loaded = load(task)
        if isinstance(loaded, Absent):
            return loaded
        with ExitStack() as stack:
            stack.enter_context(threads(loaded.torch, task.threads))
            calls = {
                "contiguous": _call(loaded, loaded.torch.contiguous_format),
                "channels last": _call(loaded, loaded.torch.channels_last),
            }
            layout = min(calls, key=lambda each: _quickest(calls[each]))
            settings = task.settings(self.name, loaded.versions, loaded.note(f"eager, {layout}"))
            return Prepared(loaded.outputs(calls[layout]), settings, stack.pop_all().close)


def _call(loaded: Loaded, layout: Any) -> Call:
    import copy

    torch = loaded.torch
    module = copy.deepcopy(loaded.module).to(memory_format=layout)
    tensors = [each.contiguous(memory_format=layout) if each.dim() == 4 else each for each in loaded.tensors]

    def call() -> Any:
        with torch.inference_mode():
            return module(*tensors)

    return call


def _quickest(call: Call) -> float:
    """Seconds of the quickest of a few runs: enough to choose by."""
    seconds = []
    for _ in range(_TRIALS):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
