"""Ten minutes of a camera at 30 Hz through full-width `viri-fusion` in INT8: every frame is answered or accounted for.

    python benchmarks/open_loop.py FOLDER [--seconds 600] [--rate 30]

Writes FOLDER/open-loop.json, .html and .txt; exits with 1 when a frame is neither answered nor said to be lost.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __name__ == "__main__":
    # Run by its path, a script finds its own folder and not the one above.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.registered import bundle
from edgefer import atomic
from edgefer.benchmark.run import benchmark
from edgefer.benchmark.show.html import page
from edgefer.benchmark.show.terminal import text
from edgefer.benchmark.spec import PARTS, BenchmarkSpec
from edgefer.benchmark.store import save
from edgefer.progress import Terminal


def main() -> int:
    """Measure, write the three files and print the text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bundles", type=Path, default=Path("build/rivals"), help="where the networks are kept")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    spec = BenchmarkSpec(
        threads=arguments.threads,
        rate=arguments.rate,
        duration=arguments.seconds,
        skip=frozenset(PARTS) - {"closed", "images", "open"},
    )
    subject = bundle("viri-fusion", "int8", arguments.bundles)
    result = benchmark(subject, spec, Terminal(), command=tuple(sys.argv))
    save(result, arguments.folder / "open-loop.json")
    atomic.write_text(arguments.folder / "open-loop.html", page([result]))
    shown = text(result)
    atomic.write_text(arguments.folder / "open-loop.txt", shown)
    print(shown)
    (loop,) = result.opened
    return 0 if loop.arrivals == loop.answered + len(loop.losses) == round(spec.rate * spec.duration) else 1


if __name__ == "__main__":
    raise SystemExit(main())
