"""trtexec, from a stand-in that prints what its versions print. No TensorRT has been asked: the texts are synthetic."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgefer.benchmark.rivals import measure, measure_rivals
from edgefer.benchmark.rivals import table as rival_table
from edgefer.benchmark.rivals.rival import Absent, Sampled, Task
from edgefer.benchmark.rivals.trtexec import TrtexecRival, flags_for
from edgefer.benchmark.rivals.trtexec_output import Ran, settings_of, times_of
from edgefer.benchmark.steady import Patience
from edgefer.benchmark.timeline import Effort
from edgefer.bundle.container import Bundle
from edgefer.errors import EdgeferError
from edgefer.runtime.session import Session

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

TEN = """\
&&&& RUNNING TensorRT.trtexec [TensorRT v100300] [b1] # trtexec --loadEngine=engine.plan
[11/22/2026-04:00:00] [I] === Inference Options ===
[11/22/2026-04:00:00] [I] Inference Streams: 1
[11/22/2026-04:00:00] [I] ExposeDMA: Disabled
[11/22/2026-04:00:00] [I] Data transfers: Enabled
[11/22/2026-04:00:00] [I] Spin-wait: Disabled
[11/22/2026-04:00:00] [I] CUDA Graph: Disabled
[11/22/2026-04:00:00] [I] TensorRT version: 10.3.0
[11/22/2026-04:00:05] [I] === Performance summary ===
[11/22/2026-04:00:05] [I] Latency: min = 0.61 ms, max = 0.72 ms, mean = 0.64 ms, median = 0.64 ms
&&&& PASSED TensorRT.trtexec [TensorRT v100300] [b1] # trtexec --loadEngine=engine.plan
"""
ELEVEN = (
    TEN.replace("v100300", "v110100")
    .replace("10.3.0", "11.1.0")
    .replace("Data transfers: Enabled", "Data transfers: Disabled")
    .replace("Spin-wait: Disabled", "Spin-wait: Enabled")
    .replace("CUDA Graph: Disabled", "CUDA Graph: Enabled")
)
BRIEFLY = Patience(runs=4, seconds=0.0, most_seconds=0.1)
TIMES = (
    '[\n  { "startEnqMs" : 1.5, "endEnqMs" : 1.6, "computeMs" : 0.5, "latencyMs" : 0.625 }\n'
    ', { "startEnqMs" : 2.5, "endEnqMs" : 2.6, "computeMs" : 0.5, "latencyMs" : 0.75 }\n]\n'
)


def test_each_version_is_taken_at_its_word() -> None:
    assert settings_of(TEN) == Ran(copies="on", graph="off", wait="block", streams=1, version="10.3.0")
    assert settings_of(ELEVEN) == Ran(copies="off", graph="on", wait="spin", streams=1, version="11.1.0")
    unversioned = TEN.replace("[11/22/2026-04:00:00] [I] TensorRT version: 10.3.0\n", "")
    assert settings_of(unversioned).version == "10.3.0"
    assert settings_of(unversioned.replace("v100300", "v8601")).version == "8.6.1"
    assert settings_of(unversioned.replace("[TensorRT v100300]", "")).version == ""


def test_output_that_does_not_say_how_it_ran_is_an_error() -> None:
    with pytest.raises(EdgeferError, match="'CUDA Graph' is missing") as caught:
        settings_of(TEN.replace("CUDA Graph", "CUDA Graphs"))
    assert "PASSED" in caught.value.details


def test_times_are_those_of_each_inference() -> None:
    assert times_of(TIMES) == pytest.approx((0.625e-3, 0.75e-3))
    for wrong in ("", "[]", "{}", '[{"latency": 1}]', "[1]"):
        with pytest.raises(EdgeferError, match="trtexec exported no times"):
            times_of(wrong)


def test_flags_bring_both_kinds_to_the_same_state() -> None:
    assert flags_for("  --useSpinWait  --useCudaGraph  --noDataTransfers").run == ("--useCudaGraph", "--useSpinWait")
    assert flags_for("  --includeDataTransfers  --noSpinWait").run == ("--includeDataTransfers",)
    assert flags_for("  --includeDataTransfers  --noTF32").build == ("--noTF32",)
    assert flags_for("  --noTF32").build == ("--stronglyTyped", "--noTF32")
    assert flags_for("").build == ("--stronglyTyped",)


@pytest.fixture
def stand_in(tmp_path: Path) -> Callable[..., Path]:
    """`stand_in(printed, code)`: a program that prints what trtexec would, and writes the times it is asked for."""

    def make(printed: str, code: int = 0) -> Path:
        (tmp_path / "printed").write_text(printed)
        (tmp_path / "times").write_text(TIMES)
        path = tmp_path / "trtexec"
        path.write_text(
            f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n'
            f'for each in "$@"; do case $each in --exportTimes=*) cp {tmp_path}/times "${{each#*=}}";; esac; done\n'
            f"cat {tmp_path}/printed; exit {code}\n"
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return make


def task_of(bundle: Bundle, inputs: dict[str, np.ndarray]) -> Task:
    return Task(bundle, bundle.graph(), inputs, 1)


def test_the_tool_is_run_and_believed(
    stand_in: Callable[..., Path],
    tmp_path: Path,
    tiny_bundle: Bundle,
    tiny_inputs: Callable[..., dict[str, np.ndarray]],
) -> None:
    prepared = TrtexecRival(stand_in(TEN)).prepare(task_of(tiny_bundle, tiny_inputs()))
    assert isinstance(prepared, Sampled)
    settings = prepared.settings
    assert (settings.copies, settings.graph, settings.wait) == ("on", "off", "block")
    assert settings.versions == {"tensorrt": "10.3.0"}
    assert list(prepared.sample(3.0)) == pytest.approx([0.625e-3, 0.75e-3])
    prepared.close()
    helped, built, first, sampled = (tmp_path / "calls").read_text().splitlines()
    assert helped == "--help"
    assert "--skipInference" in built
    assert "--stronglyTyped" in built
    assert "--duration=1" in first
    assert "--duration=3" in sampled
    for flag in ("--useCudaGraph", "--useSpinWait", "--infStreams=1"):
        assert flag in sampled
    assert "Shapes" not in built
    folder = Path(sampled.split("--loadEngine=")[1].split("/engine.plan")[0])
    assert not folder.exists()


def test_shapes_are_given_where_the_batch_is_free(
    stand_in: Callable[..., Path],
    tmp_path: Path,
    tiny_bundle_factory: Callable[..., Bundle],
    tiny_inputs: Callable[..., dict[str, np.ndarray]],
) -> None:
    TrtexecRival(stand_in(ELEVEN)).prepare(task_of(tiny_bundle_factory(batches=(1, 4)), tiny_inputs()))
    _, built, first = (tmp_path / "calls").read_text().splitlines()
    assert "--optShapes=visible:1x3x8x8,infrared:1x1x8x8" in built
    assert "--shapes=visible:1x3x8x8,infrared:1x1x8x8" in first


def test_what_fails_is_a_reason_and_no_exception(
    stand_in: Callable[..., Path],
    tmp_path: Path,
    tiny_bundle: Bundle,
    tiny_inputs: Callable[..., dict[str, np.ndarray]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = task_of(tiny_bundle, tiny_inputs())
    for make, says in (
        (lambda: stand_in("Cuda failure: 35", code=1), "Cuda failure: 35"),
        (lambda: stand_in("nothing"), "did not say how it ran"),
        (lambda: tmp_path / "none", "cannot be started"),
    ):
        absent = TrtexecRival(make()).prepare(task)
        assert isinstance(absent, Absent)
        assert says in absent.reason
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr("edgefer.benchmark.rivals.trtexec.PLACES", (tmp_path / "nowhere",))
    absent = TrtexecRival().prepare(task)
    assert isinstance(absent, Absent)
    assert "no trtexec on the search path" in absent.reason


def test_it_takes_turns_in_blocks(
    stand_in: Callable[..., Path], tmp_path: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rival_table, "RIVALS", (TrtexecRival(stand_in(ELEVEN)),))
    monkeypatch.setattr(measure, "SHORTEST_BLOCK", 0.01)
    with Session(tiny_bundle, device="onnxruntime", threads=1) as session:
        (found,), absent = measure_rivals(
            session, tiny_bundle, ["trtexec"], effort=Effort(1, 0.0, 0.1), patience=BRIEFLY
        )
    assert absent == {}
    assert (tmp_path / "calls").read_text().count("--exportTimes") == 1 + 4
    assert found.theirs.p50 == pytest.approx(0.6875e-3)
    assert found.max_error is None
    assert found.settings.device == "gpu"
    assert found.ratio.value > 0
