"""docs/datasets.md names every layout with its options, and every order of labels as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from edgefer_export.data.label_sets import LABEL_SETS
from edgefer_export.data.layouts import LAYOUTS, parse_layout
from edgefer_export.train.composite.ranges import PRESETS

PAGE = (Path(__file__).parents[3] / "docs" / "datasets.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_on_the_page_with_its_options(name: str) -> None:
    assert f"\n| `{name}` |" in PAGE
    options = [option for option in parse_layout(name).options if option != "labels"]
    if options:
        (grammar,) = {line.split(f" {name}[:")[1] for line in PAGE.splitlines() if f" {name}[:" in line}
        assert [part.partition("=")[0] for part in grammar.rstrip("]").split(",")] == options


@pytest.mark.parametrize("name", [name for name in LABEL_SETS if name not in ("rafd", "cfee")])
def test_every_order_of_labels_is_on_the_page(name: str) -> None:
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}`") and "," in line.split("|")[2]][-1:]
    assert row.split("|")[2].strip() == ", ".join(LABEL_SETS[name])


def test_the_longer_orders_add_to_the_shared_one() -> None:
    assert LABEL_SETS["rafd"] == (*LABEL_SETS["basic-7"], "contempt")
    assert f"`basic-7`, then {', '.join(LABEL_SETS['cfee'][7:])} |" in PAGE


@pytest.mark.parametrize("name", PRESETS)
def test_every_form_of_the_compositing_is_on_the_page(name: str) -> None:
    pose = PRESETS[name].pose
    assert f"| `{name}` | ±{pose.rotation:g}° | ±{pose.translation:g} | ±{pose.warp:g} | ±{pose.scale:g} |" in PAGE
