"""A real engine from one cache into another, by the command line, and taken from there where none may be built."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import (
    BudgetSpec,
    GateSpec,
    GraphSpec,
    ImageSpec,
    InputSpec,
    Manifest,
    NetworkSpec,
    OutputSpec,
    Provenance,
)
from edgefer.cli.main import main

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed"
)


@pytest.fixture
def bundle(make_graph: Callable[..., bytes], tmp_path: Path) -> str:
    image = ImageSpec(colour="rgb", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    graph = GraphSpec(
        role="fused",
        member="graphs/fused.onnx",
        inputs=(InputSpec(name="x", role="visible", shape=(1, 3, 32, 32), image=image),),
        outputs=(OutputSpec(name="y", role="logits", shape=(1, 4)),),
    )
    manifest = Manifest(
        network=NetworkSpec(name="tiny"),
        graphs=(graph,),
        labels=("a", "b", "c", "d"),
        precision="fp32",
        gate=GateSpec(verdict="not-run", reason="no data", budget=BudgetSpec()),
        provenance=Provenance(created="2025-01-01T00:00:00Z"),
    )
    made = Bundle.from_members(manifest, {graph.member: make_graph()})
    return str(made.write(tmp_path / "tiny.edgefer"))


def test_an_engine_is_built_once_and_served_from_another_cache(
    bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(*words: str, code: int = 0) -> Any:
        assert main([*words, "--json"]) == code
        return json.loads(capsys.readouterr().out)

    one, two, archive = str(tmp_path / "one"), str(tmp_path / "two"), str(tmp_path / "engines.edgefer-cache")
    build = ("build-engine", bundle, "--flavour", "tensorrt_rtx")
    required = (*build, "--require-cached", "--cache", two)
    assert answer(*required, code=3)["error"]["type"] == "EngineMissing"
    built = answer(*build, "--cache", one)["engine"]
    assert built["cached"] is False
    (exported,) = answer("cache", "export", bundle, "-o", archive, "--cache", one)["engines"]
    (imported,) = answer("cache", "import", archive, "--cache", two)["engines"]
    assert (imported["placed"], imported["digest"], imported["why"]) == ("stored", exported["digest"], [])
    taken = answer(*required)["engine"]
    assert taken["cached"] is True
    assert Path(taken["path"]).read_bytes() == Path(built["path"]).read_bytes()
    assert answer("verify", archive)["checks"][-1]["detail"] == "for this machine"
