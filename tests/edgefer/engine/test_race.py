"""The race as its parent sees it: what is written for the child, and what each way of ending says."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgefer.bundle.container import Bundle
from edgefer.engine.decision import Contender, RaceResult
from edgefer.engine.race import RaceData, RaceRequest, judged, race, race_data

X = np.arange(12, dtype=np.float32).reshape(2, 6)
DATA = RaceData({"x": X}, {"y": 2 * X}, {"y": 0.05}, 1)
PLANS = {"plugin": b"with", "inline": b"without"}


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Whatever a test does, its temporary folders are gone afterwards."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def worker(code: str) -> tuple[str, ...]:
    """A stand-in for the child that runs `code` with the request's folder in `folder`."""
    return (sys.executable, "-c", f"import sys, os, signal, time, pathlib\nfolder = pathlib.Path(sys.argv[1])\n{code}")


def test_the_child_is_given_plans_answers_and_tolerances(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    code = f"import shutil; shutil.copytree(folder, {str(kept)!r}); sys.exit(3)"
    race(PLANS, DATA, "tensorrt", command=worker(code))
    assert (kept / "plugin.plan").read_bytes() == b"with"
    assert (kept / "inline.plan").read_bytes() == b"without"
    np.testing.assert_array_equal(np.load(kept / "input_0.npy"), X)
    np.testing.assert_array_equal(np.load(kept / "output_0.npy"), 2 * X)
    request = msgspec.json.decode((kept / "request.json").read_bytes(), type=RaceRequest)
    assert (request.inputs, request.outputs, request.tolerances, request.batch) == (("x",), ("y",), (0.05,), 1)


def test_the_result_of_the_child_comes_back(tmp_path: Path) -> None:
    told = RaceResult(plugin=Contender(right=True, seconds=1.0), inline=Contender(right=True, seconds=2.0), batch=1)
    (tmp_path / "told.json").write_bytes(msgspec.json.encode(told))
    code = f"import shutil; shutil.copy({str(tmp_path / 'told.json')!r}, folder / 'result.json')"
    assert race(PLANS, DATA, "tensorrt", command=worker(code)) == told


@pytest.mark.parametrize("at_work", ["plugin", "inline"])
def test_an_engine_that_ends_the_process_is_to_blame_and_nothing_else_is_taken(at_work: str) -> None:
    code = f"(folder / 'stage.txt').write_text({at_work!r}); os.kill(os.getpid(), signal.SIGSEGV)"
    result = race(PLANS, DATA, "tensorrt", command=worker(code))
    guilty, other = getattr(result, at_work), result.inline if at_work == "plugin" else result.plugin
    assert "SIGSEGV" in guilty.problem
    assert "before it was judged" in other.problem
    way, reason = judged(result)
    assert way == "inline"
    assert "SIGSEGV" in reason


def test_too_long_is_no_error() -> None:
    result = race(PLANS, DATA, "tensorrt", timeout=1, command=worker("time.sleep(60)"))
    assert "longer than 1 s" in result.plugin.problem
    assert judged(result)[0] == "inline"


def test_a_child_without_a_gpu_says_so() -> None:
    code = (
        '(folder / \'failure.json\').write_text(\'{"kind": "DeviceError", "message": "there is no CUDA driver"}\')\n'
        "sys.exit(1)"
    )
    way, reason = judged(race(PLANS, DATA, "tensorrt", command=worker(code)))
    assert way == "inline"
    assert "no CUDA driver" in reason


def test_a_child_that_ends_without_a_word_is_no_error() -> None:
    result = race(PLANS, DATA, "tensorrt", command=worker("print('oh'); sys.exit(5)"))
    assert "status 5: oh" in result.plugin.problem


def test_the_real_child_without_a_gpu_leaves_the_engine_without_plugins() -> None:
    pytest.importorskip("tensorrt_rtx")
    from edgefer.engine.driver import cuda_driver

    if cuda_driver().gpus:
        pytest.skip("there is a GPU here")
    result = race(PLANS, DATA, "tensorrt_rtx")
    assert "cannot be run here" in result.plugin.problem
    assert judged(result)[0] == "inline"


@pytest.mark.parametrize(
    ("plugin", "inline", "verdict", "way"),
    [
        (Contender(right=True, seconds=1e-3), Contender(right=True, seconds=2e-3), "faster", "plugin"),
        (Contender(right=True, seconds=2e-3), Contender(right=True, seconds=1e-3), "slower", "inline"),
        (Contender(right=True, seconds=1e-3), Contender(right=True, seconds=1e-3), "within-noise", "inline"),
        (Contender(right=False, seconds=1e-3), Contender(right=True, seconds=2e-3), "faster", "inline"),
        (Contender(right=True), Contender(right=True), None, "inline"),
        (Contender(right=True), Contender(problem="it died"), None, "plugin"),
        (Contender(problem="it died"), Contender(right=True), None, "inline"),
        (Contender(right=False), Contender(problem="it died"), None, "inline"),
    ],
)
def test_what_a_result_means(plugin: Contender, inline: Contender, verdict: str | None, way: str) -> None:
    ratio = None if verdict is None else (plugin.seconds or 0) / (inline.seconds or 1)
    result = RaceResult(
        plugin=plugin,
        inline=inline,
        batch=1,
        ratio=ratio,
        low=ratio,
        high=ratio,
        confidence=0.99,
        verdict=verdict,  # type: ignore[arg-type]
    )
    assert judged(result)[0] == way


def test_a_bundle_gives_its_golden_answers(tiny_bundle: Bundle) -> None:
    data, reason = race_data(tiny_bundle, tiny_bundle.graph())
    assert data is not None
    assert reason == ""
    golden = tiny_bundle.manifest.golden
    assert golden is not None
    assert {len(values) for values in data.inputs.values()} == {golden.count}
    assert set(data.expected) == set(golden.expected) == {"logits"}
    assert set(data.tolerances.values()) == {golden.tolerance}
    assert data.batch == tiny_bundle.graph().batches[0]


def test_a_bundle_without_golden_answers_cannot_judge(tiny_bundle: Bundle) -> None:
    members = {name: tiny_bundle.member(name) for name in tiny_bundle.members if not name.startswith("golden")}
    manifest = msgspec.structs.replace(tiny_bundle.manifest, golden=None, members={})
    data, reason = race_data(Bundle.from_members(manifest, members), tiny_bundle.graph())
    assert data is None
    assert "no golden answers" in reason


def test_what_is_judged_by_has_a_digest_of_all_of_it() -> None:
    others = [
        replace(DATA, batch=2),
        replace(DATA, tolerances={"y": 0.1}),
        replace(DATA, inputs={"x": X + 1}),
        replace(DATA, expected={"y": X}),
        replace(DATA, inputs={"z": X}),
    ]
    digests = {each.digest() for each in (DATA, *others)}
    assert len(digests) == len(others) + 1
    assert replace(DATA).digest() == DATA.digest()
