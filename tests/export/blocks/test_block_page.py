"""The page on attention blocks: its figures are counted, its code is executed, its options exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.networks.blocks import choose  # noqa: E402
from edgefer_export.networks.resnet import ResNetTrunk  # noqa: E402
from edgefer_export.onnx_export import export_onnx  # noqa: E402
from edgefer_export.operators import operator_counts  # noqa: E402

PAGE = (Path(__file__).parents[3] / "docs" / "attention.md").read_text()


def rows() -> dict[str, list[str]]:
    """The cells of the table by the name of the block."""
    lines = [line for line in PAGE.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first.strip("`"): rest for first, *rest in cells}


def code() -> str:
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    return str(block)


@cache
def parameters(name: str, depth: int) -> int:
    attention = choose.choose(name)
    with torch.device("meta"):
        trunk = ResNetTrunk(3, 1.0, attention.block, between=attention.between, depth=depth)
    return sum(parameter.numel() for parameter in trunk.parameters())


def test_the_table_has_every_attention_with_its_figures() -> None:
    assert set(rows()) == set(choose.names()) - {"none"}
    for name, (*_, operator, small, large) in rows().items():
        for depth, stated in ((18, small), (34, large)):
            assert parameters(name, depth) - parameters("none", depth) == int(stated.replace(",", "")), (name, depth)
        attention = choose.choose(name)
        if attention.stage is not None:
            module = attention.stage(16)
            kinds = {type(each).__name__ for each in module.modules()}
            assert operator == next(
                (f"`edgefer::{k}`" for k in kinds & {"ChannelGate", "CbamAttention"}), "plain operators"
            )


def test_the_options_are_those_of_the_page() -> None:
    section = PAGE.partition("## By an option")[2].partition("\n## ")[0]
    stated = set(
        re.findall(r"`([\w-]+)`", section.partition("`attention` is an option of")[2].partition("edgefer networks")[0])
    )
    options = {
        name: option
        for name in registry.names()
        for option in registry.describe(name).options
        if option.name == "attention"
    }
    assert set(options) == stated & set(registry.names())
    for name, option in options.items():
        assert option.default == ("cbam" if name == "cbam-early-fusion" else "none")
        left_out = set(choose.names()) - set(option.choices)
        if name.startswith("viri") or name == "cbam-early-fusion":
            assert left_out == set(), name
        else:
            assert left_out == ({"aff", "bam"} if name.startswith("feratt") else {"aff"}), name


def test_the_code_of_the_page_exports() -> None:
    space: dict[str, Any] = {"__name__": "blocks"}
    exec(code(), space)
    labels = ("a", "b", "c")
    specs = registry.input_specs({"image": (3, 32, 32)})
    found = {}
    for factory in ("make", "make_trunk"):
        network = registry.LoadedNetwork(space[factory](), factory, {}, specs, labels, "visible", "test", "torchscript")
        found[factory] = operator_counts(export_onnx(network).model)
    assert found == {"make": {"CbamAttention": 1, "ChannelGate": 1}, "make_trunk": {}}
    assert set(re.findall(r"blocks\.py:(\w+)", PAGE)) == set(found)


@pytest.mark.slow
def test_the_commands_of_the_page_run(tmp_path: Path) -> None:
    (tmp_path / "blocks.py").write_text(code())
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    shell = "".join(text for language, text in blocks if not language).replace("\\\n", " ")
    commands = [shlex.split(line) for line in shell.splitlines()]
    assert len(commands) == 3
    for command in commands:
        assert command[0] == "edgefer"
        done = subprocess.run(
            [sys.executable, "-m", *command], capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.glob("*.edgefer")} == {"se.edgefer", "blocks.edgefer", "trunk.edgefer"}
