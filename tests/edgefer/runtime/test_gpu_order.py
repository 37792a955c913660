"""Sessions on a simulated GPU: what they allocate, in which order they call the driver and TensorRT, what they wait for
and what they give back. The checks themselves are in stand_ins/gpu: altered runtimes are held against them, too."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import fault_checks as faults
import pytest
import release_checks as release
import work_checks as work
from session_checks import Setting

STAND_INS = Path(__file__).parents[1] / "stand_ins"
SETTINGS = {
    "one stream": Setting(),
    "two streams": Setting(streams=2),
    "memory shared with the host": Setting(integrated=True),
    "TensorRT 11": Setting(version="11.4.1"),
    "fixed batch": Setting(batches=(1,)),
}


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS.keys())
@pytest.mark.parametrize(
    "check",
    [
        work.check_answers,
        work.check_nothing_is_allocated,
        work.check_replay_is_all_there_is,
        work.check_frames,
        work.check_plain_before_capture,
        work.check_producers_are_waited_for,
        work.check_bound_sets_come_and_go,
        work.check_formats_come_and_go,
        release.check_reverse_order,
        release.check_threads_and_closing,
        release.check_forgotten,
    ],
)
def test_a_session_keeps_to(check: Callable[[Setting], None], setting: Setting) -> None:
    check(setting)


@pytest.mark.parametrize("setting", [Setting(), Setting(integrated=True)], ids=["pinned", "mapped"])
@pytest.mark.parametrize(
    "check",
    [
        faults.check_opening_that_fails,
        faults.check_inferences_that_fail,
        faults.check_refused_captures,
        faults.check_interruptions,
        faults.check_interrupted_opening,
        faults.check_dead_gpu,
        faults.check_full_gpu,
    ],
)
def test_whatever_fails_is_an_error_or_a_way_round_it(check: Callable[[Setting], None], setting: Setting) -> None:
    check(setting)


def test_a_session_without_graphs_answers(recwarn: pytest.WarningsRecorder) -> None:
    work.check_answers(Setting(graphs=False))
    assert not recwarn.list


@pytest.mark.parametrize("streams", [1, 2, 4])
def test_several_inferences_are_under_way_at_once(streams: int) -> None:
    work.check_lanes(Setting(streams=streams))


@pytest.mark.parametrize(
    "check",
    [
        faults.check_refused_enqueue,
        work.check_two_sessions,
        work.check_another_context_is_left_alone,
        release.check_forgotten_elsewhere,
        release.check_fork,
    ],
)
def test_in_every_session(check: Callable[[], None]) -> None:
    check()


AT_EXIT = """
    import atexit, sys

    found = []


    @atexit.register  # before anything else: it is called last
    def judge():
        try:
            checks.assert_given_back(simulation)
        except BaseException as error:
            print(type(error).__name__, error)
        else:
            print("given back")
        sys.stdout.flush()


    sys.path[:0] = {path!r}
    import session_checks as checks
    import simulated_session as tiny
    from simulation import simulate

    simulation = simulate()
    preparing = checks.prepared(simulation)
    session = preparing.__enter__()()
    session.bind(**checks.arrays_of(simulation, tiny.feeds(1)))
    checks.assert_answer(session, tiny.feeds(1), session.infer(**tiny.feeds(1)))
    pending = session.infer_async(**tiny.feeds(1))
    {end}
"""


@pytest.mark.parametrize(
    ("end", "code"), [("", 0), ("sys.exit(3)", 3), ("raise RuntimeError", 1)], ids=["end", "exit", "exception"]
)
def test_a_session_that_is_open_when_the_interpreter_ends_is_given_back(end: str, code: int) -> None:
    script = textwrap.dedent(AT_EXIT).format(path=[str(STAND_INS / "gpu"), str(STAND_INS)], end=end)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    assert done.stdout == "given back\n", done.stdout + done.stderr


FORKED = """
    import atexit, os, sys


    @atexit.register  # before anything else: it is called last
    def judge():
        called = simulation.gpu.names[before:]
        if os.getpid() == parent:
            checks.assert_given_back(simulation)
        print("parent" if os.getpid() == parent else "child", "cuDevicePrimaryCtxRelease" in called, len(called) > 0)
        sys.stdout.flush()


    sys.path[:0] = {path!r}
    import session_checks as checks
    import simulated_session as tiny
    from simulation import simulate

    parent, simulation = os.getpid(), simulate()
    preparing = checks.prepared(simulation)
    session = preparing.__enter__()()
    before = len(simulation.gpu.calls)
    if os.fork():
        os.wait()
"""


def test_a_forked_process_that_ends_gives_back_nothing_of_its_parents() -> None:
    script = textwrap.dedent(FORKED).format(path=[str(STAND_INS / "gpu"), str(STAND_INS)])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert done.stdout == "child False False\nparent True True\n"
