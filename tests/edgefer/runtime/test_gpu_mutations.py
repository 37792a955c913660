"""Runtimes that are wrong in one place are found by the checks of order, of waiting and of giving back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = Path(__file__).parent / "gpu_mutation_child.py"
PARTS = 4


def found(kind: str, part: int) -> dict[str, str]:
    """Which check found each of them, by what it breaks."""
    command = [sys.executable, str(CHILD), kind, str(part), str(PARTS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return {line["breaks"]: line["found"] for line in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        *(pytest.param("quick", part) for part in range(PARTS)),
        *(pytest.param("slow", part, marks=pytest.mark.slow) for part in range(PARTS)),
    ],
)
def test_a_runtime_that_is_wrong_is_found(kind: str, part: int) -> None:
    answers = found(kind, part)
    if part == 0:
        assert answers.pop("") == "", "the runtime as it is fails a check"
    assert len(answers) >= 4
    assert [breaks for breaks, check in answers.items() if not check] == []
