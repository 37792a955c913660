"""Ctrl-C, or a full disk, in every step of a build: what is there afterwards is whole, and nothing else is."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
cv2 = pytest.importorskip("cv2")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgefer.bundle.verify import verify_bundle  # noqa: E402
from edgefer.errors import EdgeferError  # noqa: E402
from edgefer_export import build as building  # noqa: E402
from edgefer_export import steps  # noqa: E402
from edgefer_export.build import build  # noqa: E402
from edgefer_export.simplify import SimplifyResult  # noqa: E402
from edgefer_export.spec import BuildSpec  # noqa: E402

INPUTS = {"net.onnx", "photographs"}
FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuildSpec:
    """INT8 and FP16 of a network without classes, from photographs without labels: every step of a build runs."""
    monkeypatch.setattr(steps, "simplify", lambda model: SimplifyResult(model, False, "not simplified: a test"))
    rng = np.random.default_rng(3)
    weight = rng.standard_normal((4, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "w"], ["map"], "conv")],
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 4, 14, 14])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "net.onnx")
    folder = tmp_path / "photographs" / "any"
    folder.mkdir(parents=True)
    for number in range(6):
        cv2.imwrite(str(folder / f"{number}.png"), rng.integers(0, 256, (20, 20, 3)).astype(np.uint8))
    return BuildSpec(
        network=str(tmp_path / "net.onnx"),
        calibration=str(tmp_path / "photographs"),
        precision="int8+fp16",
        output=tmp_path / "out.edgefer",
        cache=tmp_path / "cache",
        flavour="none",
    )


STEPS: dict[str, tuple[Any, str, set[str]]] = {
    "opening the data": (building, "resolve", set()),
    "simplifying": (steps, "simplify", set()),
    "quantising": (steps, "quantise", set()),
    "casting": (steps, "to_half", set()),
    "checking the targets": (building, "check_targets", set()),
    "making golden inputs": (building, "golden_inputs", set()),
    "answering them": (building, "answer", set()),
    "laying out the bundle": (building, "_bundle", set()),
    "writing the report": (building, "write_report", {"out.edgefer"}),
}


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), FULL, MemoryError()], ids=["ctrl-c", "full", "memory"])
@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_does_not_end(
    step: str, problem: BaseException, spec: BuildSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name, left = STEPS[step]
    monkeypatch.setattr(owner, name, raising(problem))
    with pytest.raises((type(problem), EdgeferError)):
        build(spec)
    assert {each.name for each in tmp_path.iterdir()} == INPUTS | left
    check_whole(tmp_path)


def test_a_disk_that_fills_up_at_any_file(spec: BuildSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed = os.fsync
    for room in range(20):
        left = iter(range(room))

        def fsync(handle: int, left: Any = left) -> None:
            if next(left, None) is None:
                raise FULL
            flushed(handle)

        monkeypatch.setattr(os, "fsync", fsync)
        try:
            build(spec)
        except (OSError, EdgeferError):
            check_whole(tmp_path)
            continue
        break
    else:
        pytest.fail("a build writes fewer files than that")
    assert room >= 2
    check_whole(tmp_path)


def test_an_older_bundle_survives(spec: BuildSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(spec)
    before = (tmp_path / "out.edgefer").read_bytes()
    monkeypatch.setattr(os, "fsync", raising(FULL))
    with pytest.raises((OSError, EdgeferError)):
        build(spec)
    assert (tmp_path / "out.edgefer").read_bytes() == before


def raising(problem: BaseException) -> Callable[..., None]:
    def fail(*arguments: object, **named: object) -> None:
        raise problem

    return fail


def check_whole(folder: Path) -> None:
    """Every output that is there can be read, and no part of one lies about."""
    for path in folder.rglob("*"):
        assert not path.name.endswith(".part"), path
    bundle = folder / "out.edgefer"
    if bundle.exists():
        report = verify_bundle(bundle)
        assert report.passed, report
    for path in folder.glob("*-report/*.json"):
        json.loads(path.read_text())
    for path in folder.glob("*-report/*.html"):
        assert path.read_text().rstrip().endswith("</html>")
