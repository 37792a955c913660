"""The table of launches and bytes, and that the page on the kernels has the present one."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernels.tools import traffic

PAGE = Path(__file__).parents[2] / "docs/kernels.md"


def test_the_page_has_the_tables_that_the_plans_give() -> None:
    page = PAGE.read_text()
    assert traffic.written(page) == page, "python -m kernels.tools.traffic --write docs/kernels.md"


@pytest.mark.parametrize("images", traffic.IMAGES)
def test_no_operation_takes_more_than_two_launches_or_less_than_its_floor(images: int) -> None:
    rows = list(traffic.rows(images))
    assert {row.operation for row in rows} == {
        *("CbamAttention", "ChannelGate", "GatedPool", "GatedFusion", "LocalGate")
    }
    assert {row.form for row in rows} == {"f16h", "i8c"}
    for row in rows:
        assert 1 <= len(row.plan.launches) <= 2
        assert row.moved >= row.floor > 0
        assert row.requested is None or row.requested >= row.moved


def test_a_row_says_what_its_plan_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert traffic.main([]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("| GatedPool | `f16h`"))
    (row,) = (row for row in traffic.rows(1) if row.operation == "GatedPool" and row.form == "f16h")
    launch = row.plan.launches[0]
    shared = f"{launch.shared_bytes / 1000:.1f} KB"
    assert line == (f"| GatedPool | `f16h` | 512×7×7 | 16 × 256, {shared} | 577 KB | 577 KB | 1.00 | 1,329 KB |")


def test_tables_are_put_between_their_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text().replace("| GatedPool |", "| old |"))
    traffic.main(["--write", str(page)])
    assert page.read_text() == traffic.written(PAGE.read_text())
    with pytest.raises(ValueError, match="0 pairs of marks for 1 images"):
        traffic.written("a page without marks")
