"""JSON as pytest-benchmark writes it, as far as it is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def info(ratio: float, low: float, high: float, **more: Any) -> dict[str, Any]:
    """What a benchmark notes of a ratio."""
    return {
        "against": "the bare call",
        "seconds": 0.012,
        "ratio": ratio,
        "ratio_low": low,
        "ratio_high": high,
        "confidence": 0.99,
        "rounds": 60,
        "goal": "",
        "met": None,
        **more,
    }


def write(path: Path, benchmarks: dict[str, dict[str, Any]], *, created: str = "2026-11-22T06:00:00") -> Path:
    """A run with these notes by `FILE::TEST`, such as `session::test_infer[full]`."""
    entries = [
        {
            "name": name.split("::")[1],
            "fullname": f"benchmarks/test_bench_{name}".replace("::", ".py::"),
            "stats": {"median": 0.5},
            "extra_info": noted,
        }
        for name, noted in benchmarks.items()
    ]
    commit = {"id": "abc", "dirty": False}
    path.write_text(json.dumps({"datetime": created, "commit_info": commit, "benchmarks": entries}))
    return path
