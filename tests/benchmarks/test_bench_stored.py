"""Ratios kept for a machine: what counts as noise, when a repeat is added and when a row begins anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.fingerprint import Fingerprint
from benchmarks.rows import Measured, Row, Run
from benchmarks.stored import MOST_REPEATS, Repeat, StoredRow, load, path_of, save, state_of, with_run
from edgefer.errors import InputError

HERE = Fingerprint(cpu="A CPU", cpus=2)


def row(ratio: float, low: float, high: float, **more: Any) -> Row:
    measured = Measured(ratio=ratio, low=low, high=high, confidence=0.99, rounds=60)
    return Row(**{"name": "session: infer", "seconds": 0.01, "against": "bare", "measured": measured, **more})


def run(*rows: Row, created: str = "2026-11-22T06:00:00") -> Run:
    return Run(created=created, commit="abc", rows=rows)


def stored(*intervals: tuple[float, float, float]) -> StoredRow:
    measured = [Measured(ratio=r, low=low, high=high, confidence=0.99, rounds=60) for r, low, high in intervals]
    return StoredRow(
        against="bare",
        repeats=tuple(Repeat(measured=m, seconds=0.01, created=str(i), commit="") for i, m in enumerate(measured)),
    )


@pytest.mark.parametrize(
    ("now", "repeats", "state"),
    [
        ((1.00, 0.98, 1.02), 3, "ok"),
        ((1.04, 1.015, 1.06), 3, "ok"),  # overlaps
        ((1.03, 1.022, 1.04), 3, "ok"),  # apart, but by less than half a per cent
        ((1.05, 1.03, 1.07), 3, "worse"),
        ((0.97, 0.95, 0.978), 3, "ok"),
        ((0.95, 0.93, 0.97), 3, "better"),
        ((1.05, 1.03, 1.07), 2, "ok"),  # apart by less than what runs may differ by
        ((1.08, 1.06, 1.10), 2, "worse"),
        ((0.95, 0.93, 0.97), 1, "ok"),
        ((0.92, 0.90, 0.94), 1, "better"),
    ],
)
def test_a_ratio_is_worse_only_beyond_both_intervals_and_a_margin(
    now: tuple[float, float, float], repeats: int, state: str
) -> None:
    assert state_of(row(*now), stored(*[(1.0, 0.98, 1.02)] * repeats)) == state


def test_repeats_widen_the_noise_to_that_of_runs() -> None:
    repeated = stored((1.0, 0.98, 1.02), (1.06, 1.05, 1.08), (0.97, 0.96, 0.99))
    assert (repeated.low, repeated.ratio, repeated.high) == (0.96, 1.0, 1.08)
    assert state_of(row(1.05, 1.03, 1.07), repeated) == "ok"
    assert state_of(row(1.12, 1.10, 1.14), repeated) == "worse"


def test_new_missing_and_rows_without_a_ratio() -> None:
    assert state_of(row(1.0, 0.9, 1.1), None) == "new"
    assert state_of(row(9.0, 8.9, 9.1, against="something else"), stored((1.0, 0.98, 1.02))) == "new"
    assert state_of(None, stored((1.0, 0.98, 1.02))) == "missing"
    assert state_of(row(1, 1, 1, measured=None), stored((1.0, 0.98, 1.02))) == "missing"
    assert state_of(row(1, 1, 1, measured=None), None) is None


def test_a_repeat_within_the_noise_is_added_and_one_beyond_it_begins_anew() -> None:
    first = with_run(None, HERE, run(row(1.0, 0.98, 1.02), created="1"))
    again = with_run(first, HERE, run(row(1.01, 0.99, 1.03), created="2"))
    assert len(again.rows["session: infer"].repeats) == 2
    for ratio in (0.8, 1.3):
        changed = with_run(again, HERE, run(row(ratio, ratio - 0.02, ratio + 0.02), created="3"))
        assert [repeat.measured.ratio for repeat in changed.rows["session: infer"].repeats] == [ratio]
    other = with_run(again, HERE, run(row(1.0, 0.98, 1.02, against="something else"), created="3"))
    assert len(other.rows["session: infer"].repeats) == 1


def test_storing_one_run_twice_is_no_repeat() -> None:
    first = with_run(None, HERE, run(row(1.0, 0.98, 1.02)))
    assert with_run(first, HERE, run(row(1.0, 0.98, 1.02))) == first


def test_the_oldest_repeats_go() -> None:
    kept = None
    for index in range(MOST_REPEATS + 2):
        kept = with_run(kept, HERE, run(row(1.0, 0.98, 1.02), created=str(index)))
    assert kept is not None
    assert [each.created for each in kept.rows["session: infer"].repeats] == ["2", "3", "4", "5", "6"]


def test_what_a_run_did_not_measure_stays(tmp_path: Path) -> None:
    first = with_run(None, HERE, run(row(1.0, 0.98, 1.02), row(2.0, 1.9, 2.1, name="b: other"), row(1, 1, 1, name="c")))
    second = with_run(first, HERE, run(row(1.0, 0.98, 1.02), row(9, 9, 9, name="goal only", measured=None)))
    assert set(second.rows) == {"session: infer", "b: other", "c"}
    assert save(second, tmp_path / "new") == path_of(HERE, tmp_path / "new")
    assert load(HERE, tmp_path / "new") == second


def test_files_that_are_not_for_this_machine(tmp_path: Path) -> None:
    assert load(HERE, tmp_path) is None
    path = save(with_run(None, HERE, run()), tmp_path)
    other = Fingerprint(cpu="Another CPU", cpus=2)
    path.rename(path_of(other, tmp_path))
    with pytest.raises(InputError, match="A CPU, 2 cores, no GPU"):
        load(other, tmp_path)
    path.write_text("{}")
    with pytest.raises(InputError, match="does not hold stored ratios"):
        load(HERE, tmp_path)
