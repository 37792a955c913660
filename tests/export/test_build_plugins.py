"""Plugins from the command of a build to the engine of a device: asked for, recorded, told, and overridden."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorrt_rtx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxsim")

from edgefer.bundle.container import Bundle  # noqa: E402
from edgefer.cli.main import main  # noqa: E402
from edgefer_export.build import build  # noqa: E402
from edgefer_export.result import BuildResult  # noqa: E402
from edgefer_export.spec import BuildSpec  # noqa: E402

OPERATORS = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plugins")


@pytest.fixture(scope="module")
def built(folder: Path) -> BuildResult:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return build(
            BuildSpec(
                network="cbam-early-fusion",
                options={"width": "0.125", "size": "32"},
                output=folder / "cbam.edgefer",
                precision="fp16",
                flavour="tensorrt_rtx",
                plugins="plugin",
                cache=folder / "cache",
            )
        )


def test_the_engine_has_them_and_the_reports_say_so(built: BuildResult) -> None:
    assert built.engine is not None
    assert built.engine.report is not None
    assert built.engine.report.counts.plugins == OPERATORS
    assert built.report.engine is not None
    assert built.report.engine.plugins == (f"{OPERATORS} CbamAttention: plugin was asked for",)
    assert f"{OPERATORS} CbamAttention: plugin was asked for" in built.report_html.read_text()
    assert "--dynamicPlugins=" in built.engine.trtexec


def test_the_bundle_says_what_was_asked_for(built: BuildResult, capsys: pytest.CaptureFixture[str]) -> None:
    assert built.bundle is not None
    assert Bundle.read(built.bundle).manifest.plugin_policy == "plugin"
    assert main(["inspect", str(built.bundle)]) == 0
    assert f"plugin, for {OPERATORS} CbamAttention" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "layers"), [((), OPERATORS), (("--plugins", "inline"), 0), (("--plugins", "auto"), 0)]
)
def test_a_device_follows_the_bundle_or_is_told_otherwise(
    built: BuildResult, folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], layers: int
) -> None:
    command = ["build-engine", str(built.bundle), "--flavour", "tensorrt_rtx", "--cache", str(folder / "cache"), *words]
    assert main([*command, "--json"]) == 0
    (graph,) = json.loads(capsys.readouterr().out)["engine"]["graphs"]
    assert graph["plugin_layers"] == layers
    assert graph["plugins"]["asked"] == (words[1] if words else "plugin")
    assert graph["plugins"]["taken"] == ("plugin" if layers else "inline")
    assert main(command) == 0
    shown = capsys.readouterr().out
    if "auto" in words:
        assert f"(auto was asked for): {graph['plugins']['reason']}" in shown
        assert "no GPU has measured it yet" in shown
    else:
        assert f": {graph['plugins']['asked']} was asked for" in shown
