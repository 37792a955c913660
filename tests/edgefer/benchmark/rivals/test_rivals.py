"""Ours and the rivals in turn: the same answers, the same threads, and a reason for each that is not there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from edgefer.benchmark.rivals import measure_rivals, rival_names
from edgefer.benchmark.rivals import table as rival_table
from edgefer.benchmark.rivals.onnxruntime_session import OnnxRuntimeRival
from edgefer.benchmark.rivals.opencv_dnn import OpenCvRival
from edgefer.benchmark.rivals.openvino_model import OpenVinoRival
from edgefer.benchmark.rivals.rival import Absent, Prepared, Task
from edgefer.benchmark.rivals.torch_eager import TorchRival
from edgefer.benchmark.steady import Patience
from edgefer.benchmark.timeline import Effort
from edgefer.bundle.container import Bundle
from edgefer.errors import UsageError
from edgefer.runtime.session import Session

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

BRIEF = Effort(8, 0.0, 5.0)
BRIEFLY = Patience(runs=4, seconds=0.0, most_seconds=0.1)
HERE = [
    pytest.param(OnnxRuntimeRival(), "onnxruntime"),
    pytest.param(OpenVinoRival(), "openvino"),
    pytest.param(OpenCvRival(), "cv2"),
    pytest.param(TorchRival(), "torch"),
]
Factory = Callable[..., Any]


def task_of(bundle: Bundle, inputs: Any, threads: int = 1) -> Task:
    return Task(bundle, bundle.graph(), inputs, threads)


@pytest.mark.parametrize(("rival", "package"), HERE)
def test_each_answers_as_the_network_does(
    rival: Any, package: str, tiny_bundle: Bundle, tiny_inputs: Factory, tiny_logits: Factory
) -> None:
    pytest.importorskip(package)
    prepared = rival.prepare(task_of(tiny_bundle, tiny_inputs()))
    assert isinstance(prepared, Prepared), prepared
    first = prepared.run()
    np.testing.assert_allclose(np.asarray(first["logits"]), tiny_logits(tiny_inputs()), atol=1e-4)
    assert set(first) == {"logits", "embedding"}
    np.testing.assert_array_equal(np.asarray(prepared.run()["logits"]), np.asarray(first["logits"]))
    assert prepared.settings.threads == 1
    assert prepared.settings.versions
    prepared.close()


@pytest.mark.parametrize(("rival", "package"), HERE)
def test_each_that_is_missing_says_so(
    rival: Any, package: str, tiny_bundle: Bundle, tiny_inputs: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    absent = rival.prepare(task_of(tiny_bundle, tiny_inputs()))
    assert isinstance(absent, Absent)
    assert "cannot be imported" in absent.reason


def test_a_graph_that_nobody_can_load_is_a_reason(plain_bundle: Bundle, tiny_inputs: Factory) -> None:
    for parameters in HERE:
        rival, package = parameters.values
        pytest.importorskip(package)
        absent = rival.prepare(task_of(plain_bundle, tiny_inputs()))
        assert isinstance(absent, Absent)
        assert absent.reason


def test_threads_of_the_process_are_put_back(tiny_bundle: Bundle, tiny_inputs: Factory) -> None:
    cv2, torch = pytest.importorskip("cv2"), pytest.importorskip("torch")
    before = cv2.getNumThreads(), torch.get_num_threads()
    prepared = [
        rival.prepare(task_of(tiny_bundle, tiny_inputs(), before[1] + 1)) for rival in (OpenCvRival(), TorchRival())
    ]
    assert torch.get_num_threads() == before[1] + 1
    for each in prepared:
        assert isinstance(each, Prepared)
        each.close()
    assert (cv2.getNumThreads(), torch.get_num_threads()) == before


def test_rivals_take_turns_with_ours(tiny_bundle: Bundle) -> None:
    with Session(tiny_bundle, device="onnxruntime", threads=1) as session:
        found, absent = measure_rivals(
            session, tiny_bundle, ["torch", "onnxruntime"], threads=1, effort=BRIEF, patience=BRIEFLY
        )
    names = [each.name for each in found]
    assert names + list(absent) == (["torch", "onnxruntime"] if "torch" in names else ["onnxruntime", "torch"])
    (bare,) = (each for each in found if each.name == "onnxruntime")
    assert bare.ours.count == bare.theirs.count >= 8
    assert bare.max_error is not None
    assert bare.max_error < 1e-6
    assert "run that does not count" in bare.note
    assert bare.ratio.interval.low <= bare.ratio.value <= bare.ratio.interval.high


def test_a_rival_that_computes_something_else_is_noted(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong:
        name = "wrong"

        def prepare(self, task: Task) -> Prepared:
            outputs = {"logits": np.full((1, 5), 7, np.float32), "embedding": np.zeros((1, 8), np.float32)}
            return Prepared(lambda: outputs, task.settings(self.name, {}))

    class Less(Wrong):
        name = "less"

        def prepare(self, task: Task) -> Prepared:
            return Prepared(lambda: {"logits": np.zeros((1, 4), np.float32)}, task.settings(self.name, {}))

    monkeypatch.setattr(rival_table, "RIVALS", (Wrong(), Less()))
    with Session(tiny_bundle, device="onnxruntime", threads=1) as session:
        found, _ = measure_rivals(session, tiny_bundle, ["wrong", "less"], effort=BRIEF, patience=BRIEFLY)
    assert all("may not compute the same" in each.note for each in found)
    assert found[1].max_error == float("inf")


def test_each_output_has_a_tolerance_of_its_own(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    class Off:
        name = "off"

        def prepare(self, task: Task) -> Prepared:
            with Session(task.bundle, device="onnxruntime", threads=1) as session:
                outputs = dict(session.run(task.feeds))
            outputs["logits"] = outputs["logits"] + np.float32(0.05)
            return Prepared(lambda: outputs, task.settings(self.name, {}))

    monkeypatch.setattr(rival_table, "RIVALS", (Off(),))
    members = {name: tiny_bundle.member(name) for name in tiny_bundle.members}
    noted = []
    for tolerance, tolerances in ((1e-3, {"logits": 1.0}), (1.0, {"logits": 1e-3}), (1.0, {})):
        golden = msgspec.structs.replace(tiny_bundle.manifest.golden, tolerance=tolerance, tolerances=tolerances)
        manifest = msgspec.structs.replace(tiny_bundle.manifest, golden=golden)
        bundle = Bundle.from_members(manifest, members)
        with Session(bundle, device="onnxruntime", threads=1) as session:
            found, _ = measure_rivals(session, bundle, ["off"], effort=BRIEF, patience=BRIEFLY)
        noted.append("output 'logits' differs" in found[0].note)
    assert noted == [False, True, False]


def test_closing_is_not_forgotten_when_measuring_fails(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []

    class Breaks:
        name = "breaks"

        def prepare(self, task: Task) -> Prepared:
            def run() -> Any:
                raise RuntimeError("broken")

            return Prepared(run, task.settings(self.name, {}), lambda: closed.append(True))

    monkeypatch.setattr(rival_table, "RIVALS", (Breaks(),))
    with Session(tiny_bundle, device="onnxruntime", threads=1) as session, pytest.raises(RuntimeError, match="broken"):
        measure_rivals(session, tiny_bundle, ["breaks"], effort=BRIEF, patience=BRIEFLY)
    assert closed == [True]


def test_a_name_that_nobody_has_is_an_error(tiny_bundle: Bundle) -> None:
    assert rival_names() == ("onnxruntime", "openvino", "opencv", "torch", "torch-compile", "trtexec")
    with Session(tiny_bundle, device="onnxruntime", threads=1) as session:
        with pytest.raises(UsageError, match="no rival openvin") as caught:
            measure_rivals(session, tiny_bundle, ["openvin"])
        assert "torch-compile" in caught.value.hint
        assert measure_rivals(session, tiny_bundle, []) == ((), {})


def test_graphs_for_larger_batches_are_measured_too(tiny_bundle_factory: Factory) -> None:
    bundle = tiny_bundle_factory(batches=(3,))
    with Session(bundle, device="onnxruntime", threads=1) as session:
        found, absent = measure_rivals(session, bundle, ["onnxruntime"], threads=1, effort=BRIEF, patience=BRIEFLY)
    assert absent == {}
    assert found[0].settings.batch == 3
