"""One table of ratios from pytest-benchmark's JSON: `python benchmarks/table.py bench-output.json`.

A benchmark states in `extra_info` what it is measured `against`, the `ratio` of medians taken in the same run (below 1:
edgefer is faster), its `goal` and whether that is `met`.
"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table


def main(path: str) -> int:
    """Print the table; 1 when a goal was missed."""
    results = json.loads(Path(path).read_text())
    cpu = results.get("machine_info", {}).get("cpu", {}).get("brand_raw", platform.processor())
    table = Table(title=f"medians on {cpu or platform.machine()}")
    for column in ("benchmark", "median", "against", "ratio", "goal", "met"):
        table.add_column(column, justify="right" if column in {"median", "ratio"} else "left")
    missed = 0
    for result in results["benchmarks"]:
        info = result["extra_info"]
        met = info.get("met")
        missed += met is False
        ratio = info.get("ratio")
        table.add_row(
            result["name"],
            _duration(info.get("seconds", result["stats"]["median"])),
            str(info.get("against", "")),
            "" if ratio is None else f"{ratio:.2f}",
            str(info.get("goal", "")),
            "" if met is None else ("yes" if met else "NO"),
        )
    Console(width=150).print(table)
    return 1 if missed else 0


def _duration(seconds: float) -> str:
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "us")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
