"""The rows of a run of the benchmarks, read from pytest-benchmark's JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from edgefer.errors import InputError


class Measured(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ratio of medians, ours over the bare equivalent, with its interval."""

    ratio: float
    low: float
    high: float
    confidence: float
    rounds: int


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One benchmark. `seconds` is the median of ours; `measured` is None where there is no bare equivalent; `goal` and
    `met` are empty and None where nothing is to be reached."""

    name: str
    seconds: float
    against: str = ""
    measured: Measured | None = None
    goal: str = ""
    met: bool | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run of the benchmarks: when (ISO 8601), of which commit (with a plus sign where files were changed), and what
    it found."""

    created: str
    commit: str
    rows: tuple[Row, ...]


def read_run(path: Path) -> Run:
    """The run in a JSON file of pytest-benchmark.

    Raises:
        InputError: there is no such file, or it is not one.
    """
    try:
        content = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        commit = content["commit_info"]
        return Run(
            created=content["datetime"],
            commit=f"{commit.get('id') or ''}{'+' if commit.get('dirty') else ''}",
            rows=tuple(sorted(map(_row, content["benchmarks"]), key=lambda row: row.name)),
        )
    except FileNotFoundError as error:
        raise InputError(f"there is no {path}", hint="measure first: make bench") from error
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not what pytest-benchmark writes", details=repr(error), hint="measure again: make bench"
        ) from error


def _row(benchmark: Mapping[str, Any]) -> Row:
    info = benchmark["extra_info"]
    file = Path(benchmark["fullname"].split("::")[0]).stem.removeprefix("test_bench_")
    return Row(
        name=f"{file}: {benchmark['name'].removeprefix('test_').replace('_', ' ')}",
        seconds=info.get("seconds", benchmark["stats"]["median"]),
        against=info.get("against", ""),
        measured=_measured(info),
        goal=info.get("goal", ""),
        met=info.get("met"),
    )


def _measured(info: Mapping[str, Any]) -> Measured | None:
    if "ratio_low" not in info:
        return None
    return Measured(
        ratio=info["ratio"],
        low=info["ratio_low"],
        high=info["ratio_high"],
        confidence=info.get("confidence", 0.99),
        rounds=info.get("rounds", 0),
    )
