"""Engines from one cache into another: for this machine alone, nothing lost, nothing sound replaced by damage."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from stand_in_engine import stand_in_engine

from edgefer import atomic
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
from edgefer.engine import key_difference
from edgefer.engine.archive import ArchivedEngine, EngineArchive
from edgefer.engine.cache import EngineCache
from edgefer.engine.cache_entry import PLAN
from edgefer.engine.cache_key import CacheKey, cache_key
from edgefer.engine.compile import CompiledEngine, CompileRequest
from edgefer.engine.driver import CudaDriver, Gpu
from edgefer.engine.flavours import Flavour
from edgefer.engine.this_platform import this_platform
from edgefer.engine.timing_file import TimingKey, packed
from edgefer.engine.timing_store import TimingStore
from edgefer.engine.transfer import export_engines, import_engines
from edgefer.errors import EngineIncompatible, EngineMissing, EnvironmentMismatch, InputError
from edgefer.progress import Silent

RELEASE = "10.3.0"
GPU = Gpu(name="Orin", compute_capability="8.7", memory_bytes=8 << 30, multiprocessors=8)
ORIN = CudaDriver(version="12.6", gpus=(GPU,))
THOR = CudaDriver(version="13.0", gpus=(Gpu(name="Thor", compute_capability="11.0", memory_bytes=128 << 30),))
DAY, NIGHT = b"day's graph", b"night's graph"


@pytest.fixture(autouse=True)
def tensorrt_of_the_fleet(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine has the TensorRT of a car, whatever it really has."""

    def load(name: str) -> Flavour:
        if name != "tensorrt":
            raise EnvironmentMismatch(f"{name} is not installed")
        return Flavour(name="tensorrt", module=None, version=RELEASE)

    monkeypatch.setattr(key_difference, "load", load)


def key_of(graph: bytes = DAY, driver: CudaDriver = ORIN, version: str = RELEASE, **request: Any) -> CacheKey:
    return cache_key(graph, CompileRequest("tensorrt", **request), version, driver)


def engine_of(key: CacheKey, plan: bytes = b"plan" * 100, timing: bytes = b"") -> CompiledEngine:
    return stand_in_engine(plan, version=key.version, onnx=b"parsed", timing=timing)


def archive_of(*keys: CacheKey, plan: bytes = b"plan" * 100) -> EngineArchive:
    return EngineArchive.of(
        "tiny", "d" * 64, [(ArchivedEngine(role="fused", key=key), engine_of(key, plan)) for key in keys]
    )


@pytest.fixture
def bundle() -> Bundle:
    image = ImageSpec(colour="rgb", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    graphs = {
        GraphSpec(
            role=role,  # type: ignore[arg-type]
            member=f"graphs/{role}.onnx",
            inputs=(InputSpec(name="x", role="visible", shape=(1, 3, 8, 8), image=image),),
            outputs=(OutputSpec(name="y", role="logits", shape=(1, 2)),),
        ): data
        for role, data in (("visible", DAY), ("infrared", NIGHT))
    }
    manifest = Manifest(
        network=NetworkSpec(name="tiny"),
        graphs=tuple(graphs),
        labels=("a", "b"),
        precision="fp32",
        gate=GateSpec(verdict="not-run", reason="no data", budget=BudgetSpec()),
        provenance=Provenance(created="2025-01-01T00:00:00Z"),
    )
    return Bundle.from_members(manifest, {each.member: data for each, data in graphs.items()})


def filled(folder: Path, *keys: CacheKey) -> EngineCache:
    cache = EngineCache(folder)
    for key in keys:
        cache.put(key, engine_of(key, timing=b"tactics"))
    return cache


def never() -> CompiledEngine:
    raise AssertionError("nothing should have been built")


def test_engines_move_to_a_machine_of_the_same_kind(bundle: Bundle, tmp_path: Path) -> None:
    keys = key_of(DAY), key_of(NIGHT)
    exported = export_engines(bundle, filled(tmp_path / "one", *keys, key_of(b"another bundle")))
    assert [entry.role for entry, _ in exported.engines] == ["visible", "infrared"]
    assert exported.manifest.bundle == bundle.digest
    path = exported.write(tmp_path / "e.edgefer-cache")
    there = EngineCache(tmp_path / "two")
    done = import_engines(EngineArchive.read(path), there, driver=ORIN)
    assert [each.placed for each in done] == ["stored", "stored"]
    for key in keys:
        plan, report, hit = there.fetch(key, never)
        assert (plan.read_bytes(), report.version, hit) == (b"plan" * 100, RELEASE, True)
        assert there.engine(key) == EngineCache(tmp_path / "one").engine(key)
    found = there.engine(keys[0])
    assert found is not None
    assert found.timing == b"tactics"
    assert [each.placed for each in import_engines(exported, there, driver=ORIN)] == ["there", "there"]


def test_a_timing_cache_moves_along(bundle: Bundle, tmp_path: Path) -> None:
    key = key_of(DAY)
    of_key, told = TimingKey.of(key), Silent()
    one, two = EngineCache(tmp_path / "one"), EngineCache(tmp_path / "two")
    for graph, times in ((DAY, b"day's times"), (NIGHT, b"night's times")):
        one.put(key_of(graph), engine_of(key, timing=packed(of_key, times)))
    archive = EngineArchive.from_bytes(export_engines(bundle, one).to_bytes())
    import_engines(archive, two, driver=ORIN, reporter=told)
    found = TimingStore(two.timing_folder, of_key).read()
    assert (found.main, list(found.imports.values())) == (b"day's times", [b"night's times"])
    assert told.notes == found.notes == []


@pytest.mark.parametrize("kind", ["noise", "damaged", "another GPU's"])
def test_a_timing_cache_that_is_not_for_this_machine_is_a_note(kind: str, bundle: Bundle, tmp_path: Path) -> None:
    key = key_of(DAY)
    sound = packed(TimingKey.of(key), b"times")
    other = packed(TimingKey.of(key_of(DAY, THOR)), b"times")
    timing = {"noise": b"tactics", "damaged": sound[:-1], "another GPU's": other}[kind]
    made = EngineArchive.of("tiny", "d" * 64, [(ArchivedEngine(role="fused", key=key), engine_of(key, timing=timing))])
    cache, told = EngineCache(tmp_path), Silent()
    assert import_engines(made, cache, driver=ORIN, reporter=told)[0].placed == "stored"
    assert len(told.notes) == 1
    assert "is not taken" in told.notes[0]
    assert not cache.timing_folder.exists()


def test_one_graph_alone(bundle: Bundle, tmp_path: Path) -> None:
    cache = filled(tmp_path, key_of(NIGHT))
    assert [entry.role for entry, _ in export_engines(bundle, cache, "infrared").engines] == ["infrared"]
    with pytest.raises(EngineMissing, match="'visible'"):
        export_engines(bundle, cache)
    with pytest.raises(InputError, match="no graph with the role 'fused'"):
        export_engines(bundle, cache, "fused")


def test_a_damaged_engine_is_not_exported(bundle: Bundle, tmp_path: Path) -> None:
    cache = filled(tmp_path, key_of(DAY), key_of(NIGHT))
    (cache.directory / key_of(DAY).digest() / PLAN).write_bytes(b"plan")
    with pytest.raises(EngineMissing, match="'visible'"):
        export_engines(bundle, cache)


CHANGES: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"gpu": "Orin NX"}, ("GPU", "Orin NX", "Orin")),
    ({"compute_capability": "7.2"}, ("compute capability", "7.2", "8.7")),
    ({"multiprocessors": 16}, ("multiprocessors", "16", "8")),  # an AGX Orin and an Orin NX have one name
    ({"driver": "12.2"}, ("CUDA of the driver", "12.2", "12.6")),
    ({"gpu": None}, ("GPU", "none", "Orin")),
    ({"platform": "Linux-riscv64"}, ("platform", "Linux-riscv64", this_platform())),
    ({"rules": 0}, ("rules", "0")),
    ({"schema": 0}, ("schema", "0")),
]


@pytest.mark.parametrize(("change", "said"), CHANGES, ids=lambda value: str(value)[:40])
def test_what_is_for_another_machine_is_refused_naming_both_sides(
    change: dict[str, Any], said: tuple[str, ...], tmp_path: Path
) -> None:
    cache, key = EngineCache(tmp_path), msgspec.structs.replace(key_of(), **change)
    with pytest.raises(EngineIncompatible) as caught:
        import_engines(archive_of(key), cache, driver=ORIN)
    assert all(word in caught.value.message for word in said)
    assert "--any" in caught.value.hint
    assert cache.entries() == ()


def test_another_tensorrt_is_refused_naming_both_sides(tmp_path: Path) -> None:
    with pytest.raises(EngineIncompatible, match=r"built for 10\.13\.0, here 10\.3\.0"):
        import_engines(archive_of(key_of(version="10.13.0")), EngineCache(tmp_path), driver=ORIN)


@pytest.mark.parametrize("flavour", ["tensorrt_rtx", "os", "antigravity"])
def test_a_flavour_that_is_not_here_is_said_and_no_module_of_that_name_imported(flavour: str, tmp_path: Path) -> None:
    import sys

    key = msgspec.structs.replace(key_of(), flavour=flavour)
    report = msgspec.structs.replace(engine_of(key).report, flavour=flavour)
    made = CompiledEngine(plan=b"plan" * 100, report=report, onnx=b"")
    archive = EngineArchive.of("tiny", "", [(ArchivedEngine(role="fused", key=key), made)])
    with pytest.raises(EngineIncompatible, match="not installed"):
        import_engines(archive, EngineCache(tmp_path), driver=ORIN)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("field", ["operators", "kernels", "code", "library"])
def test_other_plugins_are_refused_by_field(field: str, tmp_path: Path) -> None:
    key = key_of(way="plugin")
    assert import_engines(archive_of(key), EngineCache(tmp_path / "same"), driver=ORIN)[0].placed == "stored"
    other: Any = ("edgefer::Old",) if field == "operators" else "0" * 64
    odd = msgspec.structs.replace(key, plugins=msgspec.structs.replace(key.plugins, **{field: other}))
    with pytest.raises(EngineIncompatible, match=f"plugins, {field}: built for"):
        import_engines(archive_of(odd), EngineCache(tmp_path / "other"), driver=ORIN)


def test_every_field_of_a_key_is_named_where_it_alone_differs() -> None:
    key = key_of(way="plugin")
    values: dict[str, Any] = {"batches": (2,), "workspace_bytes": 1, "rules": -1, "schema": -1}
    for field in CacheKey.__struct_fields__:
        if field == "plugins":
            other = msgspec.structs.replace(key, plugins=msgspec.structs.replace(key.plugins, code="x"))
        else:
            other = msgspec.structs.replace(key, **{field: values.get(field, "another")})
        (found,) = key_difference.differences(key, other)
        assert found.there != found.here
        assert found.text().count("built for") == 1
        assert len(key_difference.describe(other).splitlines()) == len(CacheKey.__struct_fields__)
    assert key_difference.differences(key, key) == ()


def test_of_several_machines_each_takes_its_own(tmp_path: Path) -> None:
    orin, thor = key_of(), key_of(driver=THOR)
    for index, (driver, taken) in enumerate(((ORIN, orin), (THOR, thor))):
        cache = EngineCache(tmp_path / str(index))
        done = import_engines(archive_of(orin, thor), cache, driver=driver)
        assert {each.placed for each in done} == {"stored", "skipped"}
        assert [entry.key for entry in cache.entries()] == [taken]
        assert all(each.why for each in done if each.placed == "skipped")


def test_a_graph_without_an_engine_for_this_machine_leaves_everything_as_it_was(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    with pytest.raises(EngineIncompatible, match="Thor"):
        import_engines(archive_of(key_of(DAY), key_of(NIGHT, THOR)), cache, driver=ORIN)
    assert cache.entries() == ()


def test_the_cache_of_another_machine_can_be_prepared(tmp_path: Path) -> None:
    key, here = key_of(driver=THOR, version="11.4.1"), EngineCache(tmp_path / "here")
    (done,) = import_engines(archive_of(key), here, any_machine=True, driver=ORIN)
    assert (done.placed, bool(done.why)) == ("stored", True)
    shutil.copytree(here.directory, tmp_path / "thor" / "engines")
    assert EngineCache(tmp_path / "thor").fetch(key, never)[2]


def test_another_plan_of_the_same_key_takes_the_place_of_the_first(tmp_path: Path) -> None:
    cache = filled(tmp_path, key_of())
    (done,) = import_engines(archive_of(key_of(), plan=b"fleet"), cache, driver=ORIN)
    assert done.placed == "replaced"
    assert cache.fetch(key_of(), never)[0].read_bytes() == b"fleet"


def test_a_damaged_entry_is_replaced(tmp_path: Path) -> None:
    cache = filled(tmp_path, key_of())
    (cache.directory / key_of().digest() / PLAN).write_bytes(b"plan")
    assert import_engines(archive_of(key_of()), cache, driver=ORIN)[0].placed == "stored"
    assert cache.fetch(key_of(), never)[0].read_bytes() == b"plan" * 100


def test_a_sound_entry_is_never_replaced_by_a_damaged_one(tmp_path: Path) -> None:
    cache, made = filled(tmp_path, key_of()), engine_of(key_of())
    with pytest.raises(InputError, match="not the one that its report is of"):
        cache.put(key_of(), CompiledEngine(plan=made.plan[:10], report=made.report, onnx=b""))
    assert cache.fetch(key_of(), never)[0].read_bytes() == b"plan" * 100


@pytest.mark.parametrize("stage", ["write", "rename"])
def test_a_full_disk_loses_nothing(stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = filled(tmp_path, key_of())

    def full(path: Path, *rest: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    real: Callable[..., Any] = Path.rename

    def into_place(path: Path, target: Path) -> Any:
        return full(path) if path.name.startswith(".part-") else real(path, target)

    with monkeypatch.context() as patch:
        if stage == "write":
            patch.setattr(atomic, "write_bytes", full)
        else:
            patch.setattr(Path, "rename", into_place)
        with pytest.raises(EnvironmentMismatch, match="is full"):
            import_engines(archive_of(key_of(), plan=b"fleet"), cache, driver=ORIN)
    assert cache.fetch(key_of(), never)[0].read_bytes() == b"plan" * 100
    assert sorted(each.name for each in cache.directory.iterdir()) == sorted([".locks", key_of().digest()])


def test_an_import_keeps_all_its_engines_though_they_pass_the_bound(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path, max_bytes=10)
    cache.put(key_of(b"older"), engine_of(key_of(b"older")))
    import_engines(archive_of(key_of(DAY), key_of(NIGHT)), cache, driver=ORIN)
    assert {entry.key for entry in cache.entries()} == {key_of(DAY), key_of(NIGHT)}


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EnvironmentMismatch, match="cannot be used"):
        import_engines(archive_of(key_of()), EngineCache(tmp_path / "file"), driver=ORIN)
