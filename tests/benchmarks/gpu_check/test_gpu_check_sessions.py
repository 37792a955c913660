"""The parts about sessions, on a simulated GPU: what they find where all is well, and that each finds what is not."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
import simulated_preprocess
from hand_built_kernels import teach
from rich.console import Console
from simulated_session import bundle, in_place
from simulation import Simulation, simulate

from benchmarks.gpu_check import hand_session, run, sanitiser, session_figures, sessions, trt_session
from benchmarks.gpu_check.figures import figure
from benchmarks.gpu_check.goals import goals
from benchmarks.gpu_check.gpu import Gpu
from benchmarks.gpu_check.hand_built import CAMERAS, HandBuilt
from benchmarks.gpu_check.hand_session import hand_subject
from benchmarks.gpu_check.known import Wrong
from benchmarks.gpu_check.report import show
from benchmarks.gpu_check.result import Check, GpuCheck, MemoryLine, Part, SessionFigures, SoakFigures
from benchmarks.gpu_check.session_checks import CHECKS, session_checks
from benchmarks.gpu_check.soak import soak
from benchmarks.gpu_check.subject import Subject, counted
from edgefer.errors import DeviceError, EnvironmentMismatch, PluginMissing
from edgefer.kernels.streams import Graph
from edgefer.runtime.gpu.lane import Lane
from edgefer.runtime.gpu_settings import GpuSettings

SMALL = HandBuilt(side=16, gates=3)


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulation]:
    """In the places of cuda.bindings and pycuda; nothing may be left, and nothing undefined have happened."""
    found = simulate()
    teach(found.gpu)
    simulated_preprocess.register(found.gpu)
    for name, module in found.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    yield found
    found.gpu.assert_clean()


@pytest.fixture
def subject(simulation: Simulation, folder: Path) -> Subject:
    return hand_subject(SMALL, folder)


def forget(simulation: Simulation, kept: list[int]) -> None:
    """Free what a test has leaked, for which the simulation complains when the context goes."""
    for address in kept:
        simulation.gpu.memory.free(address)
    simulation.gpu.violations.clear()


def states(checks: list[Check]) -> dict[str, str]:
    return {check.name.partition(": ")[2]: check.state for check in checks}


def test_the_network_that_is_built_by_hand_answers_as_numpy_does(subject: Subject) -> None:
    with subject.open(GpuSettings()) as session:
        for batch in SMALL.batches:
            feeds = SMALL.feeds(batch, seed=3)
            np.testing.assert_allclose(session.run(feeds)["logits"], SMALL.reference(feeds), rtol=1e-4, atol=1e-6)
        assert session.info["loading"] == "built by hand"
        assert set(session.info["seconds"]) >= {"deserialise", "capture", "golden"}  # type: ignore[call-overload]


def test_everything_is_right_on_a_gpu_that_is_right(subject: Subject) -> None:
    found = session_checks(subject)
    assert list(states(found)) == ["plain enqueues", *CHECKS]
    assert {name: state for name, state in states(found).items() if state != "passed"} == {"beside PyTorch": "absent"}


def test_a_graph_that_does_nothing_is_found_out(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Graph, "replay", lambda self: None)
    monkeypatch.setattr(hand_session.engine_check, "judge", lambda *_: "")
    found = states(session_checks(subject, ("golden inputs", "graphs against plain enqueues", "out=")))
    assert found["plain enqueues"] == "passed"
    assert {found[name] for name in ("graphs against plain enqueues", "out=")} == {"failed"}


def test_a_network_that_answers_everything_alike_is_found_out(subject: Subject, simulation: Simulation) -> None:
    gpu, entry = simulation.gpu, "edgefer_gated_fusion_gate_w32"
    structure = gpu.kernels[entry].structure
    alike = SMALL.reference(SMALL.feeds(4, seed=7)).astype(np.float32)[:1]
    opened = subject.open

    def deaf(settings: GpuSettings) -> Any:
        session = opened(settings)
        gpu.kernel(entry, structure, lambda gpu, p, grid: np.copyto(gpu.view(p.f, (p.images, 6), np.float32), alike))
        return session

    (first,) = session_checks(replace(subject, open=deaf))
    assert (first.state, "fewer answers" in first.found) == ("failed", True)


def test_arrays_that_are_copied_although_they_are_bound_are_found_out(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgefer.runtime.session.Session.bind", lambda self, **arrays: None)
    assert states(session_checks(subject, ("bound arrays",)))["bound arrays"] == "failed"


def test_memory_that_is_not_given_back_is_found_out(
    subject: Subject, monkeypatch: pytest.MonkeyPatch, simulation: Simulation
) -> None:
    kept: list[int] = []
    opened = subject.open

    def leaking(settings: GpuSettings) -> Any:
        session = opened(settings)
        kept.append(simulation.gpu.memory.allocate(8 << 20).address)
        return session

    found = states(session_checks(replace(subject, open=leaking), ("memory is given back",)))
    assert found["memory is given back"] == "failed"
    forget(simulation, kept)


def test_a_check_that_breaks_loses_no_other(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(known: object) -> str:
        raise AttributeError("a binding is not as expected")

    kept: list[list[str]] = []
    monkeypatch.setitem(CHECKS, "batches", broken)
    found = session_checks(subject, ("batches", "out="), lambda checks: kept.append([each.state for each in checks]))
    assert [check.state for check in found] == ["passed", "failed", "passed"]
    assert found[1].found == "AttributeError: a binding is not as expected"
    assert kept == [["passed"], ["passed", "failed"], ["passed", "failed", "passed"]]


def test_what_a_child_found_before_it_died_is_kept(
    tmp_path: Path, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> Any:
        raise SystemExit(139)

    monkeypatch.setattr(hand_session, "hand_subject", lambda *_: subject)
    monkeypatch.setattr(sessions, "session_figures", killed)
    with pytest.raises(SystemExit):
        sessions.main([str(tmp_path), "runtime", "hand", "400"])
    answer = sessions._kept(tmp_path, "hand", "it ended with status -11: Segmentation fault")
    assert len(answer.checks) == 2 + len(CHECKS)
    assert answer.checks[0].state == "passed"
    assert (answer.checks[-1].name, answer.checks[-1].state) == ("hand", "failed")


def test_without_a_session_that_answers_nothing_is_timed(
    tmp_path: Path, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(settings: GpuSettings) -> Any:
        raise DeviceError("cuInit failed")

    monkeypatch.setattr(hand_session, "hand_subject", lambda *_: replace(subject, open=lost))
    (check,) = sessions.answer_of(tmp_path, "runtime", "hand", 1).checks
    assert (check.name, check.state) == ("built by hand: plain enqueues", "failed")


def test_figures_that_cannot_be_had_lose_no_check(
    tmp_path: Path, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> Any:
        raise DeviceError("cuEventRecord failed")

    monkeypatch.setattr(hand_session, "hand_subject", lambda *_: subject)
    monkeypatch.setattr(sessions, "session_figures", refused)
    answer = sessions.answer_of(tmp_path, "runtime", "hand", 1)
    assert (len(answer.checks), answer.sessions) == (2 + len(CHECKS), ())
    assert "cuEventRecord" in answer.checks[-1].found


def test_what_an_inference_costs(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_figures, "WARM_UPS", 3)
    found = session_figures.session_figures(subject, 20, loading={"warm": {"read": 0.5}})
    # Whatever lies between two events takes two and a half milliseconds on this GPU.
    assert (found.gpu.median, found.gpu_p99_over_p50, found.gpu.count) == (pytest.approx(2.5e-3), 1, 20)
    assert found.overhead.median == pytest.approx(found.wall.median - 2.5e-3, abs=1e-3)
    assert found.replayed
    assert found.bound_overhead is not None
    assert found.bound_overhead.median < 0  # the clock of this GPU is made up
    assert found.plain is not None
    assert found.wall_p99 >= found.wall.median
    assert found.loading == {"warm": {"read": 0.5}}


def test_memory_that_stays(subject: Subject) -> None:
    checks, figures = soak(subject, 400)
    assert [check.state for check in checks if "GPU" in check.name or "graph" in check.name] == ["passed", "passed"]
    assert (figures.replays, figures.gpu.samples) == (400, 180)
    assert figures.gpu.per_run == pytest.approx(0, abs=1e-9)


def test_a_soak_ends_in_time_with_what_it_has(subject: Subject) -> None:
    checks, figures = soak(subject, 2000, most_seconds=0.0)
    assert 100 < figures.inferences == figures.replays < 400
    assert checks[0].state == "passed"
    assert "; of 2,000 no more were made in" in checks[0].found


def test_memory_that_everything_shares_is_no_verdict_on_a_session(
    subject: Subject, monkeypatch: pytest.MonkeyPatch, simulation: Simulation
) -> None:
    simulation.gpu.integrated = True
    free = iter(range(1 << 40, 0, -(1 << 30)))
    monkeypatch.setattr("edgefer.runtime.cuda.CudaDevice.memory", lambda self: (next(free), 1 << 41))
    checks, _ = soak(subject, 200)
    (told,) = [check for check in checks if "GPU" in check.name]
    assert (told.state, "host's memory" in told.found) == ("absent", True)
    assert states(session_checks(subject, ("memory is given back",)))["memory is given back"] == "absent"


def test_memory_of_the_gpu_that_grows_is_found_out(
    subject: Subject, monkeypatch: pytest.MonkeyPatch, simulation: Simulation
) -> None:
    launch: Callable[..., None] = Lane.launch
    kept: list[int] = []

    def leaking(self: Lane, inference: Any) -> None:
        kept.append(simulation.gpu.memory.allocate(64).address)
        launch(self, inference)

    monkeypatch.setattr(Lane, "launch", leaking)
    checks, figures = soak(subject, 400)
    assert figures.gpu.low > 50
    assert [check.state for check in checks if "GPU" in check.name] == ["failed"]
    forget(simulation, kept)


def test_inferences_without_a_graph_are_found_out(subject: Subject) -> None:
    opened = subject.open
    without = replace(subject, open=lambda settings: opened(replace(settings, graphs=False)))
    checks, figures = soak(without, 200)
    assert (checks[0].state, figures.replays) == ("failed", 0)
    assert checks[0].found == "0 launches for 200 inferences"


def test_what_the_sanitiser_runs_of_a_session(subject: Subject, capsys: pytest.CaptureFixture[str]) -> None:
    assert sanitiser.run_session(subject) == 0
    assert f"{1 + len(sanitiser.SESSION)} checks of a session, 0 of them wrong" in capsys.readouterr().out
    assert set(sanitiser.SESSION) <= set(CHECKS)


def test_without_pycuda_there_is_no_session(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = simulate()
    for name, module in found.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("pycuda", "pycuda.driver"):
        monkeypatch.setitem(sys.modules, name, None)
    (check,) = session_checks(hand_subject(SMALL, folder))
    assert check.state == "absent"
    assert "pycuda" in check.found


def test_sessions_on_tensorrt_cold_and_warm(tmp_path: Path) -> None:
    found = simulate()
    with in_place(found) as compiled:
        tensorrt = trt_session.trt_subject("tensorrt", bundle((1, 4)), tmp_path)
        assert tensorrt.engine == "tensorrt 10.3.0"
        checks, loading = trt_session.cold_and_warm(tensorrt)
        assert [check.state for check in checks] == ["passed", "passed"], checks
        assert set(loading) == {"cold", "warm"}
        assert loading["warm"].keys() >= {"read", "engine", "deserialise", "capture", "golden", "warm-up"}
        assert len(compiled) == 1
        simulated_preprocess.register(found.gpu)
        passed = session_checks(tensorrt)
        assert [check for check in passed if check.state != "passed" and "PyTorch" not in check.name] == []
        with tensorrt.open(GpuSettings()) as session:
            session.infer(**tensorrt.feeds())
            assert counted(session, "launches") >= 1
    found.gpu.assert_clean()


def test_an_engine_that_is_there_already_is_not_cold(tmp_path: Path) -> None:
    with in_place(simulate()):
        tensorrt = trt_session.trt_subject("tensorrt", bundle(), tmp_path)
        tensorrt.open(GpuSettings()).close()
        checks, _ = trt_session.cold_and_warm(tensorrt)
    assert [(check.state, check.found) for check in checks] == [
        ("failed", "the session was opened warm, expected cold")
    ]


def test_only_one_tensorrt_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace())
    monkeypatch.delitem(sys.modules, "tensorrt_rtx", raising=False)
    with trt_session.only("tensorrt_rtx"):
        assert sys.modules["tensorrt"] is None
    with trt_session.only("tensorrt"):
        assert sys.modules["tensorrt_rtx"] is None
    assert sys.modules["tensorrt"] is not None
    assert "tensorrt_rtx" not in sys.modules


def test_the_bundles_to_check_with_have_golden_inputs() -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    made = trt_session.small()
    assert made.manifest.golden is not None
    assert made.manifest.golden.count == trt_session.GOLDEN


def test_without_onnx_there_is_no_bundle_to_check_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "benchmarks.two_towers", raising=False)
    monkeypatch.delattr("benchmarks.two_towers", raising=False)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(EnvironmentMismatch, match="cannot be made here") as caught:
        trt_session.small()
    assert caught.value.hint == "pip install 'edgefer[device,cpu]'"


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (DeviceError("lost"), "failed"),
        (PluginMissing("no kernel"), "failed"),
        (EnvironmentMismatch("no pycuda"), "absent"),
        (Wrong("no"), None),
    ],
)
def test_what_keeps_a_child_from_checking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, state: str | None
) -> None:
    def raising(*_: object) -> Any:
        raise error

    monkeypatch.setitem(sessions._WHAT, "runtime", raising)
    if state is None:
        with pytest.raises(Wrong):
            sessions.answer_of(tmp_path, "runtime", "hand", 1)
        return
    (check,) = sessions.answer_of(tmp_path, "runtime", "hand", 1).checks
    assert (check.state, check.found) == (state, str(error))


def test_what_a_child_does(
    tmp_path: Path, subject: Subject, monkeypatch: pytest.MonkeyPatch, simulation: Simulation
) -> None:
    monkeypatch.setattr(hand_session, "hand_subject", lambda *_: subject)
    monkeypatch.setattr(session_figures, "WARM_UPS", 2)
    monkeypatch.setattr(sessions, "session_figures", partial(session_figures.session_figures, rounds=10))
    for what in ("runtime", "soak"):
        assert sessions.main([str(tmp_path), what, "hand", "400"]) == 0
        answer = msgspec.json.decode((tmp_path / "answer.json").read_bytes(), type=sessions.Answer)
        assert "failed" not in {check.state for check in answer.checks if "host" not in check.name}
        assert len(answer.sessions if what == "runtime" else answer.soaks) == 1


def test_a_tensorrt_that_is_not_there_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    for what in ("session", "soak"):
        (check,) = sessions.answer_of(tmp_path, what, "tensorrt", 400).checks
        assert (check.name, check.state) == ("tensorrt", "absent")


def test_parts_put_together_what_children_found(tmp_path: Path) -> None:
    answer = sessions.Answer(checks=(Check(name="a", state="passed"),))
    script = tmp_path / "child.py"
    script.write_text(
        "import pathlib, sys\n"
        "folder, what, engine, inferences = sys.argv[1:]\n"
        "if engine == 'tensorrt_rtx': raise SystemExit('no such thing')\n"
        f"pathlib.Path(folder, 'answer.json').write_text({msgspec.json.encode(answer).decode()!r})\n"
    )
    command = [sys.executable, str(script)]
    assert sessions.runtime_part(5, command).state == "passed"
    for part, count in ((sessions.session_part, 2), (sessions.soak_part, 3)):
        found = part(5, command)
        assert [check.state for check in found.checks] == ["passed"] * (count - 1) + ["failed"]
        assert "no such thing" in found.checks[-1].found


def test_the_network_is_one_that_the_kernels_take() -> None:
    assert HandBuilt().unsupported() == sessions.SMALL.unsupported() == sanitiser.SMALL.unsupported() == ""
    assert set(HandBuilt().feeds()) == set(CAMERAS)


def figures_of(overhead: float, jitter: float) -> SessionFigures:
    return SessionFigures(
        engine="built by hand",
        gpu=figure([1e-3]),
        gpu_p99_over_p50=jitter,
        wall=figure([1e-3 + overhead]),
        wall_p99=2e-3,
        overhead=figure([overhead]),
        bound_overhead=figure([4e-5]),
        plain=figure([3e-3]),
        loading={"cold": {"engine": 61.5}, "warm": {"engine": 0.01}},
        clocks={"gpu": (1.1e9, 1.3e9)},
        warnings=("the clocks are not locked",),
    )


@pytest.mark.parametrize(("overhead", "jitter", "met"), [(90e-6, 1.01, True), (110e-6, 1.06, False)])
def test_goals_of_a_session(overhead: float, jitter: float, met: bool) -> None:
    found = goals({"session": Part(state="passed", sessions=(figures_of(overhead, jitter),))})
    assert [(goal.name, goal.workload, goal.limit, goal.met) for goal in found] == [
        ("overhead of infer, microseconds", "built by hand", pytest.approx(100), met),
        ("p99 over p50 of the GPU's time", "built by hand", 1.05, met),
    ]
    assert found[0].found == pytest.approx(1e6 * overhead)
    assert found[1].beside == {"least clock": 1.1e9, "greatest clock": 1.3e9}


def test_without_a_graph_the_overhead_is_no_figure() -> None:
    without = msgspec.structs.replace(figures_of(1e-3, 1.0), replayed=False)
    first, _ = goals({"session": Part(state="passed", sessions=(without,))})
    assert (first.found, first.met) == (None, None)


def test_what_is_shown_of_sessions(gpu: Gpu) -> None:
    line = MemoryLine(per_run=0.01, low=0.0, high=0.02, runs=900_000, samples=180, bytes_in_use=5 << 20)
    soaked = SoakFigures(engine="built by hand", inferences=1_000_000, replays=1_000_000, seconds=80, gpu=line)
    parts = {"session": Part(state="passed", sessions=(figures_of(9e-5, 1.01),), soaks=(soaked,))}
    console = Console(width=200, record=True, file=io.StringIO())
    check = GpuCheck(
        created="now", edgefer="0", commit="0", machine=run.describe(), device=gpu.device, parts=parts, goals=()
    )
    show(check, console)
    said = console.export_text()
    for words in (
        "90.00",
        "40.00",
        "p99 over p50 1.010",
        "61.500 s",
        "1100 to 1300 MHz",
        "not locked",
        "1,000,000",
        "5.0 MiB",
    ):
        assert words in said
