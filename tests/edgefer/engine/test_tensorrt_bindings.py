"""Every attribute and signature of TensorRT that edgefer uses, held against the real bindings of five releases.

The tables are `signatures.TENSORRT` for what runs engines and `building_calls` for what builds them; other tests see to
it that no module of edgefer uses a name that is in neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from building_calls import BUILDING, BUILDING_MEMBERS, BUILDING_OPTIONAL, OVERLOADS
from real_bindings import MODULE, ROOT, VERSIONS, answer_of, environment, needs_stubs
from signatures import TENSORRT, TENSORRT_MEMBERS, TENSORRT_OPTIONAL, parameters
from tensorrt_names import HOLDERS, UNLISTED, names_in, used_in

import edgefer

CHILD = Path(__file__).parents[1] / "stand_ins" / "bindings" / "api_child.py"
RTX = "tensorrt_rtx"
RELEASES = [*(pytest.param(version, marks=needs_stubs) for version in VERSIONS), RTX]

CALLS = {**BUILDING, **TENSORRT}
OPTIONAL = BUILDING_OPTIONAL | TENSORRT_OPTIONAL
MEMBERS = {f"{owner}.{name}" if owner else name for owner, names in BUILDING_MEMBERS.items() for name in names}
MEMBERS |= {f"{owner}.{name}" for owner, names in TENSORRT_MEMBERS.items() for name in names}
MEMBERS |= {owner for owner in (*BUILDING_MEMBERS, *TENSORRT_MEMBERS) if owner}

OF_RTX = {
    *("ComputeCapability", "ComputeCapability.__members__"),
    *("DynamicShapesKernelSpecializationStrategy", "DynamicShapesKernelSpecializationStrategy.EAGER"),
    "IRuntimeConfig.dynamic_shapes_kernel_specialization_strategy",
}
LACKING = {
    "10.3.0": {
        *OF_RTX,
        *("IRuntimeConfig", "ICudaEngine.create_runtime_config"),
        "IRuntimeConfig.set_execution_context_allocation_strategy",
    },
    "10.13.3.9": OF_RTX,
    "10.16.1.11": OF_RTX,
    "11.4.0.106": {
        *OF_RTX,
        "ICudaEngine.create_execution_context_without_device_memory",
        *("ICudaEngine.device_memory_size", "ICudaEngine.get_device_memory_size_for_profile"),
    },
    RTX: {
        "ICudaEngine.create_execution_context_without_device_memory",
        *("ICudaEngine.device_memory_size", "ICudaEngine.get_device_memory_size_for_profile"),
    },
}
"""What each release is without, of what is used at all: what a probe has to find out."""

PROBES: Mapping[str, Mapping[str, Any]] = {
    version: {
        "builds without a GPU": version == RTX,
        "network flags": 2 if version.startswith("10.") else 1,  # STRONGLY_TYPED has another number from 11 on
        "timing cache": version != RTX,
        "progress": True,
        "log": True,
    }
    for version in (*VERSIONS, RTX)
}


@cache
def asked(version: str, folder: Path) -> dict[str, Any]:
    names = sorted({*CALLS, *MEMBERS})
    if version == RTX:
        pytest.importorskip("tensorrt_rtx")
        return answer_of(CHILD, RTX, {"PYTHONPATH": str(ROOT)}, names)
    return answer_of(CHILD, MODULE, environment(version, folder), names)


@pytest.fixture(scope="module", params=RELEASES)
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """A release, and what its bindings say."""
    return request.param, asked(request.param, tmp_path_factory.mktemp("stubs"))


Release = tuple[str, dict[str, Any]]


def test_the_release_is_the_one_meant(release: Release) -> None:
    version, said = release
    if version != RTX:
        assert said["version"].startswith(version.rsplit(".", 1)[0])


def test_everything_that_is_used_is_there_or_is_asked_for_first(release: Release) -> None:
    version, said = release
    lacking = {name for name, found in said["names"].items() if not found["there"]}
    assert lacking == LACKING[version]
    assert lacking <= OPTIONAL


def test_everything_is_called_as_the_release_wants_it(release: Release) -> None:
    """By docstring: parameters have these names in this order; those that edgefer leaves out have a default."""
    _, said = release
    wrong = []
    for name, (text, _) in CALLS.items():
        found = said["names"][name]
        if found["there"] and not any(_callable(text, overload) for overload in found["overloads"]):
            wrong.append(f"{name}({text}): {found['overloads']}")
    if said["names"]["IRuntimeConfig"]["there"]:
        for name, (text, _) in OVERLOADS.items():
            assert any(_callable(text, overload) for overload in said["names"][name]["overloads"])
    assert wrong == []


def _callable(text: str, overload: list[list[Any]]) -> bool:
    wanted = parameters(text)
    real = dict(overload)
    left_out = [optional for name, optional in overload[len(wanted) :]]
    in_order = [name for name, _ in overload[: len(wanted)]] == [each.name for each in wanted]
    # What the table calls optional is left out somewhere, so the release has to have a default for it.
    return in_order and all(left_out) and all(real[each.name] for each in wanted if each.optional)


@pytest.mark.parametrize(
    ("overload", "fits"),
    [
        ([["cache", False], ["ignore_mismatch", False]], True),
        ([["cache", False], ["ignore_mismatch", False], ["further", True]], True),
        ([["cache", False], ["ignore_mismatch", False], ["further", False]], False),
        ([["ignore_mismatch", False], ["cache", False]], False),
        ([["cache", False]], False),
        ([["cache", False], ["force", False]], False),
    ],
)
def test_a_signature_that_edgefer_could_not_call_is_seen(overload: list[list[Any]], fits: bool) -> None:
    assert _callable(BUILDING["IBuilderConfig.set_timing_cache"][0], overload) == fits


def test_probes_decide_right(release: Release) -> None:
    version, said = release
    assert said["probes"] == PROBES[version]


def test_a_library_that_gives_nothing_is_a_typed_error(release: Release) -> None:
    version, said = release
    if version == RTX:
        pytest.skip("the library is the real one")
    assert said["nothing"]["builder"].startswith("CompileError: TensorRT gave no builder")
    assert said["nothing"]["runtime"].startswith("EngineIncompatible: TensorRT gave no runtime")


def test_no_module_uses_what_is_in_no_table(release: Release) -> None:
    """By name: what a class of TensorRT has under a name of several words is in a table where edgefer says it."""
    _, said = release
    known = {name.rpartition(".")[2] for name in (*CALLS, *MEMBERS)} | UNLISTED.keys()
    theirs = {name for members in said["members"].values() for name in members if "_" in name}
    found = {}
    for path in modules():
        if odd := (names_in(path.read_text(encoding="utf-8")) & theirs) - known:
            found[path.name] = sorted(odd)
    assert found == {}


def modules() -> list[Path]:
    """The modules in which objects of TensorRT may turn up; plugins have a table of their own."""
    folder = Path(edgefer.__file__).parent
    found = [path for part in ("engine", "runtime") for path in (folder / part).rglob("*.py")]
    return sorted([*found, folder / "benchmark" / "layers" / "tensorrt_profile.py"])


def test_every_module_that_is_handed_tensorrt_uses_what_is_in_a_table() -> None:
    """By owner: `trt.NAME`, and the attributes of variables that hold TensorRT's objects."""
    listed = {*CALLS, *MEMBERS}
    found = {path.name: used_in(path.read_text(encoding="utf-8"), HOLDERS.get(path.name)) for path in modules()}
    assert {name: sorted(used - listed) for name, used in found.items() if used - listed} == {}
    assert HOLDERS.keys() <= found.keys()
    # The walk sees what it is there to see.
    assert {"Builder", "Builder.build_serialized_network", "IBuilderConfig.profiling_verbosity"} <= found["builder.py"]
    assert "ITimingCache.combine" in found["timing_cache.py"]
    assert {"ICudaEngine.num_io_tensors", "IExecutionContext.set_tensor_address"} <= found["loaded.py"]
    assert "IExecutionContext.execute_async_v3" in found["inference.py"]


def test_every_name_in_the_tables_is_used_somewhere() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in modules())
    spoken = names_in(text)
    unused = {name for name in CALLS if name.rpartition(".")[2] not in spoken}
    # What only the simulation of TensorRT is asked, by its own tests.
    assert unused <= {"IExecutionContext.get_tensor_address", "init_libnvinfer_plugins"}


@pytest.mark.parametrize(
    ("code", "used"),
    [
        ("trt.Wibble", {"Wibble"}),
        ("self._trt.DataType.FP4", {"DataType", "DataType.FP4"}),
        ("flavour.module.Refitter(1)", {"Refitter"}),
        ("getattr(trt, 'Wobble', None)", {"Wobble"}),
        ("hasattr(config, 'wobble')", {"IBuilderConfig.wobble"}),
        ("config.max_aux_streams = 3", {"IBuilderConfig.max_aux_streams"}),
        ("begun.parser.parse_from_file('x')", {"OnnxParser.parse_from_file"}),
        ("self._engine.serialize()", {"ICudaEngine.serialize"}),
        ("context.execute_v2()", {"IExecutionContext.execute_v2"}),
        ("class Monitor(trt.IProgressMonitor):\n    def report(self): ...", {"IProgressMonitor"}),
        ("words.config", set()),
        ("trt.TensorIOMode.INPUT", {"TensorIOMode", "TensorIOMode.INPUT"}),
    ],
)
def test_the_walk_sees_uses_of_every_form(code: str, used: set[str]) -> None:
    assert used_in(code, {**HOLDERS["loaded.py"], **HOLDERS["builder.py"]}) == used
