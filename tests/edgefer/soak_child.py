"""A process that answers over and over, and tells what memory it holds: `soak_child.py BUNDLE RUNNER WAY COUNT EVERY`.

Prints a JSON object: `runs` and `sizes`, the resident bytes after so many inferences, from the first on.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from edgefer.benchmark.memory_child import resident
from edgefer.runtime.session import Session

IN_FLIGHT = 4
"""Inferences that are asked for before the first answer is waited for."""


def ways(session: Session) -> dict[str, Callable[[], object]]:
    """One inference in each way; "kept" keeps the answers, which is what a leak looks like."""
    generator = np.random.default_rng(0)
    tensors: dict[str, Any] = {
        str(spec.role): generator.random(spec.shape, np.float32) for spec in session.graph.inputs
    }
    images: dict[str, Any] = {
        "visible": generator.integers(0, 256, (48, 64, 3), np.uint8),
        "infrared": generator.integers(0, 65536, (24, 32), np.uint16),
    }
    out = {spec.name: np.empty(spec.shape, np.float32) for spec in session.graph.outputs}
    pending: deque[Any] = deque()
    kept: list[object] = []

    def in_flight() -> None:
        if len(pending) == IN_FLIGHT:
            pending.popleft().result()
        pending.append(session.infer_async(**tensors))

    return {
        "infer": lambda: session.infer(**tensors),
        "out": lambda: session.infer(**tensors, out=out),
        "async": in_flight,
        "images": lambda: session.infer_images(**images),
        "kept": lambda: kept.append(session.infer(**tensors)),
    }


def main(bundle: str, runner: str, way: str, count: str, every: str) -> None:
    runs: list[int] = []
    sizes: list[int] = []
    with Session(bundle, device=runner, threads=1) as session:
        infer = ways(session)[way]
        for done in range(1, int(count) + 1):
            infer()
            if not done % int(every):
                size = resident("VmRSS")
                assert size is not None, "this system does not tell what is resident"
                runs.append(done)
                sizes.append(size)
        runner_name = session.info["runner"]
    print(json.dumps({"runs": runs, "sizes": sizes, "runner": runner_name}))


if __name__ == "__main__":
    main(*sys.argv[1:])
