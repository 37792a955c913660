"""The child that compiles a graph with `torch.compile`, for its cache: `... GRAPH.onnx THREADS SHAPE SHAPE ...`.

A shape is written as 1,3,224,224. Compiling cannot be interrupted from within a process.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from edgefer.benchmark.child_answer import answer
from edgefer.benchmark.rivals.torch_compiled import compiled
from edgefer.benchmark.rivals.torch_graph import module_of


def main(arguments: list[str]) -> int:
    """Compile and answer with the seconds it took."""
    graph, threads, *shapes = arguments

    def measure() -> dict[str, Any]:
        import torch

        torch.set_num_threads(int(threads))
        tensors = tuple(torch.rand([int(axis) for axis in shape.split(",")]) for shape in shapes)
        module = module_of(Path(graph).read_bytes())
        started = time.perf_counter()
        compiled(torch, module, tensors)
        return {"seconds": time.perf_counter() - started}

    return answer(measure)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
