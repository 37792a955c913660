"""A result as text: everything that was found, on any terminal."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from edgefer.benchmark.compare import compare
from edgefer.benchmark.result import Result
from edgefer.benchmark.show.screen import Screen
from edgefer.benchmark.show.sections import sections
from edgefer.benchmark.show.sparkline import BLOCKS
from edgefer.benchmark.show.terminal import comparison_text, text

WIDE = Screen(width=140)
MakeResult = Callable[..., Result]

NOTHING: dict[str, Any] = {
    "closed": (),
    "opened": (),
    "throughput": (),
    "cold_start": None,
    "memory": None,
    "power": None,
    "layers": None,
    "compiled": None,
    "rivals": (),
}


def test_every_cell_of_every_table_is_there(make_result: MakeResult) -> None:
    result = make_result()
    shown = text(result, WIDE)
    cells = [cell for section in sections(result) for table in section.tables if not table.detail for row in table.rows
             for cell in row]  # fmt: skip
    assert len(cells) > 300
    assert [cell for cell in cells if cell.replace("\u202f", " ") not in shown.replace("\u202f", " ")] == []


def test_the_warnings_come_before_the_figures(make_result: MakeResult) -> None:
    result = make_result()
    shown = text(result, WIDE)
    assert 0 < shown.index(result.conditions.warnings[0]) < shown.index("p50")


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_no_line_is_wider_than_the_screen(make_result: MakeResult, width: int) -> None:
    shown = text(make_result(gpu=True), Screen(width=width))
    assert [line for line in shown.splitlines() if len(line) > width] == []
    assert "p99.9" in shown
    assert "38.0" not in shown or "torch" in shown


@pytest.mark.parametrize("width", [60, 140])
def test_ascii_where_the_encoding_is(make_result: MakeResult, width: int) -> None:
    shown = text(make_result(), Screen(width=width, unicode=False))
    assert shown.isascii()
    assert "?" not in shown


def test_sparklines_are_drawn(make_result: MakeResult) -> None:
    assert sum(each in BLOCKS for each in text(make_result(), WIDE)) > 200


def test_what_is_missing_is_said_with_the_reason(make_result: MakeResult) -> None:
    missing = {"power": "No INA3221 here.", "cold-start": "Skipped.", "against trtexec": "No `trtexec` here."}
    shown = text(make_result(**NOTHING, missing=missing), WIDE)
    tail = shown[shown.index("Not measured") :]
    assert all(reason in tail for reason in missing.values())
    assert tail.count("does not say why") == 6
    assert "against trtexec: No `trtexec` here." in tail
    assert "closed loop" not in shown[: shown.index("Not measured")]


def test_what_was_skipped_is_named_even_where_the_reason_is_the_same(make_result: MakeResult) -> None:
    skipped = dict.fromkeys(("power", "images", "throughput"), "left out with --skip")
    shown = text(make_result(power=None, missing=skipped), WIDE)
    tail = shown[shown.index("Not measured") :]
    assert "- Power and energy: left out" in tail
    assert "- images: left out" in tail
    assert "- throughput: left out" in tail


@pytest.mark.parametrize("part", sorted(NOTHING))
def test_each_part_may_be_missing_alone(make_result: MakeResult, part: str) -> None:
    shown = text(make_result(**{part: NOTHING[part]}), WIDE)
    assert "Not measured" in shown


def test_a_warm_up_that_was_not_steady_is_a_warning(make_result: MakeResult) -> None:
    result = make_result()
    warm_up = msgspec.structs.replace(result.closed[0].warm_up, steady=False, limit="30 s")
    moved = msgspec.structs.replace(
        result, closed=(msgspec.structs.replace(result.closed[0], warm_up=warm_up), *result.closed[1:])
    )
    shown = text(moved, WIDE)
    assert shown.index("the median still moved when the warm-up ended (30 s)") < shown.index("Latency, one run")
    assert "the median still moved" not in text(result, WIDE)


def test_frames_that_are_not_accounted_for_are_a_warning(make_result: MakeResult) -> None:
    result = make_result()
    lost = msgspec.structs.replace(result.opened[0], losses=result.opened[0].losses[1:])
    shown = text(msgspec.structs.replace(result, opened=(lost,)), WIDE)
    assert "300 frames arrived, 296 were answered and 3 are accounted for as lost" in shown
    assert "do not add up" not in text(result, WIDE)


def test_nothing_of_a_name_reaches_the_terminal_as_a_command(make_result: MakeResult) -> None:
    result = make_result()
    subject = msgspec.structs.replace(result.subject, network="a\x1b[2Jb\r\n\u202ec\udcff", bundle="[red]x[/red]")
    shown = text(msgspec.structs.replace(result, subject=subject), WIDE)
    assert "a�[2Jb  �c�" in shown
    assert "[red]x[/red]" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("width", [50, 120])
def test_a_comparison_has_every_figure_and_difference(make_result: MakeResult, width: int) -> None:
    comparison = compare([make_result(), make_result(1, median=0.03, gpu=True)])
    shown = comparison_text(comparison, Screen(width=width))
    assert [line for line in shown.splitlines() if len(line) > width] == []
    (other,) = comparison.others
    assert len(other.figures) > 3
    flat = " ".join(shown.split())
    for figure in other.figures:
        assert f"{figure.ratio.value:.3f}" in flat
        assert ("not comparable" if not figure.comparable else figure.ratio.verdict) in flat
    for difference in other.differences:
        assert difference.name in flat
    assert shown.startswith("WARNING")


def test_numbers_are_not_broken_at_their_spaces(make_result: MakeResult) -> None:
    result = make_result()
    subject = msgspec.structs.replace(result.subject, parameters=1_234_567_890)
    for width in range(40, 70, 3):
        shown = text(msgspec.structs.replace(result, subject=subject), Screen(width=width))
        assert "1 234 567 890" in shown
        assert "\u202f" not in shown
        assert "\u00a0" not in shown


def test_an_equal_result_is_within_noise(make_result: MakeResult) -> None:
    shown = comparison_text(compare([make_result(), make_result()]), WIDE)
    ends = [line.split("  ")[-1] for line in shown.splitlines()]
    assert ends.count("within noise") > 3
    assert not {"faster", "slower", "not comparable"} & set(ends)
    assert "WARNING" not in shown


def test_a_screen_is_as_wide_as_standard_output_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "77")
    assert Screen.here().width == 77
    monkeypatch.setattr(sys, "__stdout__", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert not Screen.here().unicode
    monkeypatch.setattr(sys, "__stdout__", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    assert Screen.here().unicode
    monkeypatch.setattr(sys, "__stdout__", None)
    monkeypatch.setenv("COLUMNS", "1")
    assert Screen.here().width == 40
