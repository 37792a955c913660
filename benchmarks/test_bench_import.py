"""`import edgefer` beside `import numpy`, each in a fresh interpreter.

python -m pytest benchmarks/test_bench_import.py -s
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from benchmarks.interleaved import interleaved
from benchmarks.note import note

MOST_ADDED = 40e-3
ROUNDS = 15

# The second is what a program pays that goes on to open a session, onnxruntime itself aside.
STATEMENTS = {"import": "import numpy, edgefer", "session": "import numpy, edgefer; edgefer.Session"}


@pytest.mark.parametrize("case", STATEMENTS)
def test_import(benchmark: Any, case: str) -> None:
    def run(statement: str) -> None:
        subprocess.run([sys.executable, "-c", statement], check=True)

    pair = interleaved(lambda: run(STATEMENTS[case]), lambda: run("import numpy"), ROUNDS, warm_up=2)
    benchmark.pedantic(run, (STATEMENTS[case],), rounds=3)
    note(
        benchmark,
        pair,
        "import numpy",
        # The goal is of the package; a session brings what it runs on.
        goal=f"at most {1e3 * MOST_ADDED:.0f} ms more" if case == "import" else "",
        met=pair.added <= MOST_ADDED if case == "import" else None,
    )
