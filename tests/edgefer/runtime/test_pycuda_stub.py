"""The real pycuda and the real cuda.bindings over a driver made up for the test: opening, closing, errors, threads and
forks as they would be on a GPU. pycuda is compiled for it once a checkout."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from pycuda_build import built_pycuda, stub_driver
from signatures import PYCUDA, PYCUDA_MEMBERS, parameters

HERE = Path(__file__).parent
ROOT = HERE.parents[2]

pytestmark = [pytest.mark.network, pytest.mark.skipif(sys.platform != "linux", reason="the stub is an ELF library")]


class Done(NamedTuple):
    output: str
    log: list[tuple[int, int, str]]

    def calls(self, *names: str) -> list[str]:
        return [name for _, _, name in self.log if name in names]


Scenario = Callable[..., Done]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Surroundings in which a child imports the real packages, and they find the stub."""
    pytest.importorskip("cuda.bindings.driver", exc_type=ImportError)
    pycuda = built_pycuda()
    stub = stub_driver(HERE / "stub_driver.cpp", pycuda, tmp_path_factory.mktemp("stub"))
    return {"PYTHONPATH": os.pathsep.join([str(pycuda), str(ROOT)]), "LD_LIBRARY_PATH": str(stub)}


@pytest.fixture
def scenario(folders: dict[str, str], tmp_path: Path) -> Scenario:
    """`scenario(name, ...)`: it ended well and left nothing, neither open nor on standard error."""

    def run(*arguments: str, **surroundings: str) -> Done:
        log = tmp_path / "calls"
        done = subprocess.run(
            [sys.executable, str(HERE / "stub_scenarios.py"), *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, **folders, "STUB_LOG": str(log), **surroundings},
            check=False,
        )
        log.touch()
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        lines = [line.split() for line in log.read_text().splitlines()]
        return Done(done.stdout, [(int(process), int(thread), name) for process, thread, name in lines])

    return run


RELEASES = ("cuMemFree", "cuMemFreeHost", "cuStreamDestroy", "cuEventDestroy", "cuDevicePrimaryCtxRelease")


def test_what_is_opened_is_given_back_newest_first(scenario: Scenario) -> None:
    done = scenario("life")
    made = ("cuMemAlloc", "cuMemHostAlloc", "cuStreamCreate", "cuStreamCreateWithPriority")
    assert done.calls(*made) == [
        *("cuMemAlloc", "cuMemAlloc", "cuMemHostAlloc", "cuMemHostAlloc", "cuMemHostAlloc"),
        # "low" is what every stream has: this driver has nothing below.
        *("cuStreamCreate", "cuStreamCreateWithPriority", "cuMemAlloc"),
    ]
    assert done.calls(*RELEASES) == [
        *("cuEventDestroy", "cuMemFree"),
        *("cuMemFree", "cuStreamDestroy", "cuStreamDestroy", "cuMemFreeHost", "cuMemFreeHost", "cuMemFreeHost"),
        *("cuMemFree", "cuDevicePrimaryCtxRelease"),
    ]


def test_every_error_has_the_drivers_name(scenario: Scenario) -> None:
    found = json.loads(scenario("errors").output)
    assert found.pop("ordinal") == ["cuDeviceGet failed: CUDA_ERROR_INVALID_DEVICE"]
    calls = {name: said for name, said in found.items() if not name.startswith("CUDA_")}
    assert len(calls) == 11
    assert calls == {name: [f"{name} failed: CUDA_ERROR_DEVICE_UNAVAILABLE"] for name in calls}
    names = found.keys() - calls.keys()
    assert len(names) > 80
    assert {name: found[name] for name in names} == {
        name: [f"cuMemAlloc failed: {name}", f"cuStreamCreate failed: {name}"] for name in names
    }


def test_threads_share_a_device_and_any_of_them_closes_it(scenario: Scenario) -> None:
    done = scenario("threads")
    assert len({thread for _, thread, name in done.log if name == "cuMemAlloc"}) == 5
    assert done.calls("cuDevicePrimaryCtxRelease", "cuDevicePrimaryCtxRetain").count("cuDevicePrimaryCtxRelease") == 2


@pytest.mark.parametrize(
    "how", [("fork",), ("fork", "close"), ("fork_inside",)], ids=["leaves it", "closes it", "began inside of it"]
)
def test_a_forked_process_is_refused_and_touches_nothing(scenario: Scenario, how: tuple[str, ...]) -> None:
    done = scenario(*how)
    child = int(done.output.split()[1])
    assert [name for process, _, name in done.log if process == child] == []


def test_a_device_cannot_be_opened_after_a_fork_from_one_that_has_the_driver(scenario: Scenario) -> None:
    scenario("fork_opens")


def test_what_fails_while_opening_leaves_nothing(scenario: Scenario) -> None:
    scenario("constructor")


def test_a_process_that_closes_nothing_ends_quietly(scenario: Scenario) -> None:
    done = scenario("left_open")
    assert done.output == "held\n"
    assert done.calls(*RELEASES) == ["cuStreamDestroy", "cuMemFreeHost", "cuMemFree", "cuDevicePrimaryCtxRelease"]


@pytest.mark.parametrize("close", [(), ("close",)], ids=["at exit", "closed"])
def test_an_interrupt_at_any_moment_leaves_no_context_behind(scenario: Scenario, close: tuple[str, ...]) -> None:
    calls = ["cuCtxPushCurrent", "cuCtxPopCurrent", "cuMemGetInfo", "cuMemAlloc", "cuMemHostAlloc"]
    assert scenario("interrupted", *close).output.splitlines() == calls


def test_garbage_is_given_back(scenario: Scenario) -> None:
    scenario("garbage")


def test_a_dead_context_is_said_once(scenario: Scenario) -> None:
    assert scenario("dead").calls("cuMemFree", "cuMemFreeHost") == []


def test_the_contexts_of_other_libraries_stay_as_they_are(scenario: Scenario) -> None:
    scenario("neighbours")


def signature(described: str) -> list[tuple[int, int, str]]:
    """How many parameters must and may be given, and the kind of what comes back, in each form that Boost describes:
    "pagelocked_empty( (object)shape, (object)dtype [, (object)order='C' [, (int)mem_flags=0]]) -> object :"."""
    found = []
    for line in re.findall(r"^(\w+\(.*\) -> \w+) :$", described, re.MULTILINE):
        given, _, kind = line.partition("(")[2].rpartition(") -> ")
        needed, optional, _ = given.partition("[")
        every = re.findall(r"\((\w+)\)\w+", given)
        must = len(re.findall(r"\((\w+)\)\w+", needed if optional else given))
        found.append((must, len(every), kind))
    return found


OBJECT = "object"
"""What Boost says where anything may come back."""


def test_what_the_simulation_lets_edgefer_call_is_what_pycuda_has(scenario: Scenario) -> None:
    members = [
        name if not member else f"{name}.{member}" for name, all_ in PYCUDA_MEMBERS.items() for member in all_ or ("",)
    ]
    answer = json.loads(scenario("described", *PYCUDA, *members).output)
    assert [name for name in members if answer[name] is None] == []
    assert answer["errors"] == [True] * 4
    assert answer["flags"] == [1, 2]
    static = {"Context.pop", "Context.get_current", "Context.synchronize", "Context.get_device", "Device.count"}
    for name, (wanted, kind) in PYCUDA.items():
        own = 0 if "." not in name or name in static else 1
        own += name == "Device"  # its constructor, which gives nothing of its own
        every = parameters(wanted)
        must = sum(not each.optional for each in every) + own
        assert answer[name] is not None, name
        real = [each for each in signature(answer[name]) if each[:2] == (must, len(every) + own)]
        assert {given for _, _, given in real} & {kind or "None", OBJECT}, (name, answer[name])
