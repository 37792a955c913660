"""docs/command-line.md is what the parser says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgefer.cli.reference import reference
from edgefer.cli.verbs import VERBS

ROOT = Path(__file__).parents[3]


def test_the_page_is_current() -> None:
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    assert page == reference(), "run: python -m edgefer.cli.reference"


def test_the_page_does_not_depend_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    page = reference()
    monkeypatch.setenv("COLUMNS", "40")
    assert reference() == page


def test_the_page_covers_every_verb() -> None:
    page = reference()
    assert all(f"## edgefer {verb.name}\n" in page for verb in VERBS)


def test_the_specification_on_the_page_can_be_read(tmp_path: Path) -> None:
    from edgefer_export.spec import BuildSpec

    example = reference().split("```toml\n")[1].split("```")[0]
    (tmp_path / "build.toml").write_text(example)
    spec = BuildSpec.from_toml(tmp_path / "build.toml")
    assert spec.target_precision == "int8"
    assert spec.budget.class_recall == 1.5


def test_the_module_writes_the_page(tmp_path: Path) -> None:
    target = tmp_path / "page.md"
    subprocess.run([sys.executable, "-m", "edgefer.cli.reference", str(target)], check=True, capture_output=True)
    assert target.read_text(encoding="utf-8") == reference()


def test_the_exclusion_on_the_page_finds_a_layer() -> None:
    pytest.importorskip("torch")
    from edgefer_export.networks import registry

    example = reference().split("```toml\n")[1].split("```")[0]
    (pattern,) = re.findall(r'^exclude = \["(.*)"\]$', example, flags=re.M)
    module = registry.create("viri-fusion", {"width": "0.125", "size": "32"}).module
    assert any(re.search(pattern, f"/{name}") for name, _ in module.named_children())
