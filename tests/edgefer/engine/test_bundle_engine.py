"""From a bundle to engines: cached, copied, several graphs, none; and what is not needed for it."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

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
from edgefer.engine import bundle_engine
from edgefer.engine.bundle_engine import cached_report, compile_bundle
from edgefer.engine.cache import EngineCache
from edgefer.engine.driver import CudaDriver
from edgefer.engine.known_bad import KnownBad
from edgefer.errors import CompileError, EnvironmentMismatch, UsageError
from edgefer.progress import Silent

needs_rtx = pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed")


def graph(member: str, batches: tuple[int, ...] = (1,), role: str = "fused") -> GraphSpec:
    image = ImageSpec(colour="rgb", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return GraphSpec(
        role=role,  # type: ignore[arg-type]
        member=f"graphs/{member}.onnx",
        inputs=(InputSpec(name="x", role="visible", shape=(1, 3, 32, 32), image=image),),
        outputs=(OutputSpec(name="y", role="logits", shape=(1, 4)),),
        batches=batches,
    )


def make_bundle(graphs: dict[GraphSpec, bytes]) -> Bundle:
    manifest = Manifest(
        network=NetworkSpec(name="tiny"),
        graphs=tuple(graphs),
        labels=("a", "b", "c", "d"),
        precision="fp32",
        gate=GateSpec(verdict="not-run", reason="no data", budget=BudgetSpec()),
        provenance=Provenance(created="2025-01-01T00:00:00Z"),
    )
    return Bundle.from_members(manifest, {each.member: data for each, data in graphs.items()})


@pytest.fixture
def bundle(make_graph: Callable[..., bytes]) -> Bundle:
    return make_bundle({graph("fused"): make_graph()})


@needs_rtx
def test_the_engine_is_built_once_and_then_found(bundle: Bundle, tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    first = compile_bundle(bundle, "tensorrt_rtx", cache=cache)
    second = compile_bundle(bundle, "tensorrt_rtx", cache=cache)
    assert (first.cached, second.cached) == (False, True)
    assert first.path == second.path
    assert first.path is not None
    assert first.report is not None
    assert first.path.stat().st_size == first.report.plan_bytes
    assert tmp_path in first.path.parents
    assert any("not for a Jetson" in note for note in first.notes)


@needs_rtx
def test_the_report_of_an_engine_is_found_without_building_one(bundle: Bundle, tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    assert cached_report(bundle, bundle.graph(), "tensorrt_rtx", cache) is None
    built = compile_bundle(bundle, "tensorrt_rtx", cache=cache)
    assert cached_report(bundle, bundle.graph(), "tensorrt_rtx", cache) == built.report


def test_without_a_tensorrt_there_is_no_report(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)
    assert cached_report(bundle, bundle.graph()) is None


@needs_rtx
def test_the_printed_line_names_files_that_exist(bundle: Bundle, tmp_path: Path) -> None:
    result = compile_bundle(bundle, "tensorrt_rtx", cache=EngineCache(tmp_path))
    binary, onnx, *_ = shlex.split(result.trtexec)
    assert binary == "tensorrt_rtx"
    assert Path(onnx.removeprefix("--onnx=")).read_bytes() == bundle.onnx(bundle.graph())


@needs_rtx
def test_a_copy_is_put_where_it_was_asked_for(bundle: Bundle, tmp_path: Path) -> None:
    target = tmp_path / "out.plan"
    target.write_bytes(b"old")
    result = compile_bundle(bundle, "tensorrt_rtx", cache=EngineCache(tmp_path / "cache"), engine_out=target)
    assert result.path is not None
    assert target.read_bytes() == result.path.read_bytes()
    assert result.graphs[0].copy == target
    with pytest.raises(EnvironmentMismatch, match="cannot copy"):
        compile_bundle(
            bundle, "tensorrt_rtx", cache=EngineCache(tmp_path / "cache"), engine_out=tmp_path / "no" / "out.plan"
        )


@needs_rtx
def test_every_graph_gets_an_engine(make_graph: Callable[..., bytes], tmp_path: Path) -> None:
    bundle = make_bundle({graph("day"): make_graph(), graph("night", (1, 4), "visible"): make_graph("int8", "N")})
    result = compile_bundle(
        bundle, "tensorrt_rtx", cache=EngineCache(tmp_path / "cache"), engine_out=tmp_path / "e.plan"
    )
    assert [each.role for each in result.graphs] == ["fused", "visible"]
    assert [each.copy.name for each in result.graphs if each.copy] == ["e.day.plan", "e.night.plan"]
    assert result.graphs[1].report.dynamic
    assert result.graphs[1].report.counts.int8_convolutions == 2
    assert len(result.trtexec.splitlines()) == 2
    assert "--profile=1" in result.trtexec


@needs_rtx
def test_a_refused_graph_leaves_no_entry_and_no_copy(make_graph: Callable[..., bytes], tmp_path: Path) -> None:
    bundle = make_bundle({graph("fused"): make_graph("unknown")})
    target = tmp_path / "out.plan"
    with pytest.raises(CompileError, match="Wibble"):
        compile_bundle(bundle, "tensorrt_rtx", cache=EngineCache(tmp_path / "cache"), engine_out=target)
    assert not target.exists()
    assert [each.name for each in (tmp_path / "cache" / "engines").iterdir()] == [".locks"]


def test_no_engine_is_said_so_and_the_line_is_still_given(bundle: Bundle) -> None:
    reporter = Silent()
    result = compile_bundle(bundle, "none", reporter=reporter)
    assert (result.flavour, result.path, result.report, result.cached, result.graphs) == ("none", None, None, False, ())
    assert "no engine was asked for" in result.notes[0]
    assert reporter.notes == list(result.notes)
    assert result.trtexec.startswith("trtexec --onnx=fused.onnx")


def test_auto_without_tensorrt_builds_none_and_says_why(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    result = compile_bundle(bundle)
    assert result.flavour == "none"
    assert "no TensorRT is installed" in result.notes[0]
    with pytest.raises(EnvironmentMismatch):
        compile_bundle(bundle, "tensorrt")


def test_auto_with_a_tensorrt_that_lacks_its_gpu_builds_none_and_says_why(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = SimpleNamespace(__version__="10.3.0", Builder=object, OnnxParser=object)
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    monkeypatch.setattr(bundle_engine, "cuda_driver", lambda: CudaDriver(version=None, problem="no CUDA driver"))
    result = compile_bundle(bundle)
    assert result.flavour == "none"
    assert "on the GPU it will run on" in result.notes[0]


def test_an_unknown_flavour_is_a_usage_error(bundle: Bundle) -> None:
    with pytest.raises(UsageError):
        compile_bundle(bundle, "openvino")


@needs_rtx
def test_a_known_bad_release_is_named_with_its_link(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = KnownBad(
        package="tensorrt_rtx", release="1", severity="avoid", affects="everything", link="https://example.org/1"
    )
    monkeypatch.setattr(bundle_engine, "known_bad", lambda package, version: (line,))
    reporter = Silent()
    result = compile_bundle(bundle, "tensorrt_rtx", cache=EngineCache(tmp_path), reporter=reporter)
    assert any("https://example.org/1" in note for note in result.notes)
    assert reporter.notes == list(result.notes)


COMPILE = """
import json, sys
from edgefer.bundle.container import Bundle
from edgefer.engine.bundle_engine import cached_report, compile_bundle
from edgefer.errors import EdgeferError
try:
    result = compile_bundle(Bundle.read(sys.argv[1]), "tensorrt_rtx")
except EdgeferError as error:
    print(json.dumps({"error": type(error).__name__, "hint": error.hint}))
else:
    print(json.dumps({"cached": result.cached, "modules": [name for name in BLOCKED if name in sys.modules]}))
"""


def compile_without(blocked: list[str], bundle: Path, folder: Path) -> dict[str, object]:
    """Compile in a process of its own, where neither it nor its children can import what is blocked."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "class Blocker:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {blocked!r}:\n"
        "            raise ModuleNotFoundError(f'{name} is blocked', name=name)\n"
        "sys.meta_path.insert(0, Blocker())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"BLOCKED = {blocked!r}\n{COMPILE}", str(bundle)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(folder), "EDGEFER_CACHE": str(folder.parent / "cache")},
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


@needs_rtx
def test_a_bundle_compiles_without_the_host_half_and_is_found_without_onnx(bundle: Bundle, tmp_path: Path) -> None:
    path = bundle.write(tmp_path / "tiny.edgefer")
    host = ["torch", "onnxsim", "onnxscript", "edgefer_export", "matplotlib", "cv2", "onnxruntime"]
    missing = compile_without(["onnx"], path, tmp_path / "no-onnx")
    assert missing == {"error": "EnvironmentMismatch", "hint": "pip install 'edgefer[device]'"}
    assert compile_without(host, path, tmp_path / "no-host") == {"cached": False, "modules": []}
    assert compile_without([*host, "onnx"], path, tmp_path / "neither") == {"cached": True, "modules": []}
