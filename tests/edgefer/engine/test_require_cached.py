"""An engine from the cache or an error that says what was looked for: nothing is built."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import msgspec
import pytest
from stand_in_engine import stand_in_engine

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
from edgefer.engine import bundle_engine, bundle_work
from edgefer.engine.bundle_engine import compile_bundle
from edgefer.engine.cache import EngineCache
from edgefer.engine.cache_entry import PLAN
from edgefer.engine.cache_key import CacheKey, cache_key
from edgefer.engine.choose import Choice
from edgefer.engine.compile import CompiledEngine, CompileRequest
from edgefer.engine.driver import CudaDriver, Gpu
from edgefer.engine.flavours import Flavour
from edgefer.errors import EngineMissing, EnvironmentMismatch, UsageError

ORIN = CudaDriver(version="12.6", gpus=(Gpu(name="Orin", compute_capability="8.7", memory_bytes=8 << 30),))
GRAPH = b"a graph"


@pytest.fixture(autouse=True)
def an_orin(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine is an Orin with TensorRT 10.3, and cannot compile."""

    def never(*arguments: object, **named: object) -> CompiledEngine:
        raise AssertionError("nothing should have been built")

    monkeypatch.setattr(bundle_engine, "cuda_driver", lambda: ORIN)
    monkeypatch.setattr(bundle_engine, "detect", lambda name, driver: Flavour("tensorrt", None, "10.3.0"))
    monkeypatch.setattr(bundle_work, "compile_onnx", never)
    monkeypatch.setattr(bundle_work, "build_faster", never)


@pytest.fixture
def bundle() -> Bundle:
    image = ImageSpec(colour="rgb", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    graph = GraphSpec(
        role="fused",
        member="graphs/fused.onnx",
        inputs=(InputSpec(name="x", role="visible", shape=(1, 3, 8, 8), image=image),),
        outputs=(OutputSpec(name="y", role="logits", shape=(1, 2)),),
    )
    manifest = Manifest(
        network=NetworkSpec(name="tiny"),
        graphs=(graph,),
        labels=("a", "b"),
        precision="fp32",
        gate=GateSpec(verdict="not-run", reason="no data", budget=BudgetSpec()),
        provenance=Provenance(created="2025-01-01T00:00:00Z"),
    )
    return Bundle.from_members(manifest, {graph.member: GRAPH})


def key(**request: object) -> CacheKey:
    return cache_key(GRAPH, CompileRequest("tensorrt", **request), "10.3.0", ORIN)  # type: ignore[arg-type]


def put(cache: EngineCache, at: CacheKey) -> None:
    cache.put(at, stand_in_engine(b"plan" * 100, version=at.version, onnx=GRAPH))


def test_an_engine_that_is_there_is_taken(bundle: Bundle, tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    put(cache, key())
    result = compile_bundle(bundle, cache=cache, require_cached=True)
    assert result.cached
    assert result.path is not None
    assert result.path.read_bytes() == b"plan" * 100
    assert result.graphs[0].report.decision is not None


def test_without_one_every_field_of_the_key_is_named(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(EngineMissing, match="no other engine of this graph") as caught:
        compile_bundle(bundle, cache=EngineCache(tmp_path), require_cached=True)
    assert caught.value.exit_code == 3
    for part in (
        "GPU: Orin",
        "version of TensorRT: 10.3.0",
        "CUDA of the driver: 12.6",
        hashlib.sha256(GRAPH).hexdigest(),
    ):
        assert part in caught.value.details
    assert len(caught.value.details.splitlines()) == len(CacheKey.__struct_fields__)
    assert "edgefer cache import" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"driver": "12.2"}, "CUDA of the driver: built for 12.2, here 12.6"),
        ({"version": "10.7.0"}, "version of TensorRT: built for 10.7.0, here 10.3.0"),
        ({"gpu": "Orin NX"}, "GPU: built for Orin NX, here Orin"),
        ({"batches": (1, 4)}, "batch sizes: built for 1, 4, here 1"),
        ({"rules": 0}, "edgefer's rules for graphs: built for 0, here"),
    ],
)
def test_the_nearest_engine_is_held_against_what_is_needed(
    change: dict[str, object], said: str, bundle: Bundle, tmp_path: Path
) -> None:
    cache = EngineCache(tmp_path)
    put(cache, msgspec.structs.replace(key(), **change))
    put(cache, msgspec.structs.replace(key(), **{"platform": "Other-x", "schema": 0, "judged_by": "x", **change}))
    put(cache, msgspec.structs.replace(key(), onnx_sha256="of another graph"))
    with pytest.raises(EngineMissing) as caught:
        compile_bundle(bundle, cache=cache, require_cached=True)
    assert said in caught.value.message
    assert caught.value.message.count("built for") == 1


def test_a_damaged_engine_is_none(bundle: Bundle, tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    put(cache, key())
    (cache.directory / key().digest() / PLAN).write_bytes(b"cut")
    with pytest.raises(EngineMissing):
        compile_bundle(bundle, cache=cache, require_cached=True)


@pytest.mark.parametrize(("asked", "taken"), [("auto", True), ("plugin", False)])
def test_the_engine_that_was_built_when_plugins_could_not_be_is_taken(
    asked: str, taken: bool, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = Choice(asked, "plugin", "measured elsewhere")  # type: ignore[arg-type]
    monkeypatch.setattr(bundle_work, "choose", lambda *arguments, **named: choice)
    cache = EngineCache(tmp_path)
    put(cache, key(way="inline"))
    if taken:
        assert compile_bundle(bundle, cache=cache, require_cached=True).cached
    else:
        with pytest.raises(EngineMissing, match="policy for plugins: built for inline, here plugin"):
            compile_bundle(bundle, cache=cache, require_cached=True)
    put(cache, key(way="plugin"))
    result = compile_bundle(bundle, cache=cache, require_cached=True)
    assert result.path is not None
    assert key(way="plugin").digest() in str(result.path)


def test_without_a_tensorrt_or_with_none_asked_for_nothing_is_passed_over(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_tensorrt(name: str, driver: CudaDriver) -> Flavour:
        raise EnvironmentMismatch("no TensorRT is installed")

    monkeypatch.setattr(bundle_engine, "detect", no_tensorrt)
    assert compile_bundle(bundle, cache=EngineCache(tmp_path)).graphs == ()
    with pytest.raises(EnvironmentMismatch, match="no TensorRT"):
        compile_bundle(bundle, cache=EngineCache(tmp_path), require_cached=True)
    with pytest.raises(UsageError, match="required"):
        compile_bundle(bundle, "none", cache=EngineCache(tmp_path), require_cached=True)


def test_on_the_command_line(bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("edgefer_export")
    path = bundle.write(tmp_path / "tiny.edgefer")
    words = ["build-engine", str(path), "--require-cached", "--cache", str(tmp_path / "cache"), "--json"]
    assert main(words) == 3
    assert json.loads(capsys.readouterr().out)["error"]["type"] == "EngineMissing"
    put(EngineCache(tmp_path / "cache"), key())
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["engine"]["cached"] is True
    network = ["build-engine", "viri-fusion", "-o", str(tmp_path / "o.edgefer"), "--require-cached", "--json"]
    assert main(network) == 2
    assert "no bundle" in json.loads(capsys.readouterr().out)["error"]["message"]
