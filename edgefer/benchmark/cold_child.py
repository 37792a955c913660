"""The process whose start is measured.

`python -m edgefer.benchmark.cold_child BUNDLE DEVICE THREADS GRAPH MODULES GPU` opens the bundle as a program would,
takes the time of every stage, and answers with them. THREADS and GRAPH may be empty, which leaves them to the session;
MODULES, separated by commas, are imported with the rest; GPU is what `edgefer.benchmark.gpu_argument` writes.
"""

import time

BEGUN = time.monotonic()  # before anything else is imported

import sys  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from contextlib import contextmanager  # noqa: E402
from typing import Any  # noqa: E402

from edgefer.benchmark.child_answer import answer  # noqa: E402


def measure(path: str, device: str, threads: str, role: str, modules: str, gpu: str) -> dict[str, Any]:
    """Seconds of every stage; `begun` and `ended` are on the monotonic clock, which all processes share."""
    seconds: dict[str, float] = {}

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        seconds[name] = time.monotonic() - started

    with stage("import"):
        import importlib
        from pathlib import Path

        from edgefer.benchmark import stimulus
        from edgefer.benchmark.gpu_argument import from_argument
        from edgefer.bundle.container import Bundle
        from edgefer.bundle.reading import read_file
        from edgefer.runtime.golden_check import check_golden
        from edgefer.runtime.session import Session

        for module in filter(None, modules.split(",")):
            importlib.import_module(module)
    with stage("read"):
        data = read_file(Path(path))
    with stage("verify"):
        bundle = Bundle.from_bytes(data)
    settings, count = from_argument(gpu), int(threads) if threads else None
    with stage("open"):
        session = Session(bundle, device=device, threads=count, graph=role or None, gpu=settings)
    checked = ""
    golden = bundle.manifest.golden
    if golden is not None and any(output.name in golden.expected for output in session.graph.outputs):
        with stage("self-check"):
            checked = check_golden(bundle, golden, session)
    feeds = stimulus.batch(stimulus.tensors(bundle, session.graph), min(session.graph.batches))
    with stage("first answer"):
        session.run(feeds)
    info = session.info
    return {
        "begun": BEGUN,
        "ended": time.monotonic(),
        "seconds": seconds,
        "opening": info["seconds"],
        "runner": info["runner"],
        "checked": checked,
    }


if __name__ == "__main__":
    sys.exit(answer(lambda: measure(*sys.argv[1:])))
