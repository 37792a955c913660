"""The commands that the pages give for the published systems are ones that the command line takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

from edgefer.cli.parser import parse
from edgefer_export.data.layouts import parse_layout
from edgefer_export.networks import registry
from edgefer_export.networks.options import read
from edgefer_export.train.recipes import find

PAGES = Path(__file__).resolve().parents[2] / "docs"
FENCE = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(*pages: str) -> list[str]:
    """The lines in fences that call edgefer, those that a backslash continues joined."""
    found = []
    for page in pages:
        for block in FENCE.findall((PAGES / page).read_text()):
            lines = block.replace("\\\n", " ").splitlines()
            found += [line for line in lines if line.startswith(("edgefer train ", "edgefer build-engine "))]
    return found


COMMANDS = commands("published-systems.md", "training.md", "saliency.md")


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 20


@pytest.mark.parametrize("command", COMMANDS)
def test_it_is_taken(command: str) -> None:
    given = vars(parse(shlex.split(command)[1:]))
    network = given.get("network")
    if network is None:
        assert "recipes" in given
        return
    described = registry.describe(network)
    options = dict(option.split("=", 1) for option in given.get("option") or ())
    read(described.options, options, network)
    if given.get("layout"):
        parse_layout(given["layout"])
    if given.get("recipe"):
        recipe = find(given["recipe"], network)
        read(described.options, {**recipe.options, **options}, network)
