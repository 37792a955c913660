"""The check of a GPU, on a driver that is made up: every part, what it says of faults, and the file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from fake_gpu import CARE, FakeGpu, Result

from benchmarks.gpu_check import __main__ as command
from benchmarks.gpu_check import binaries as binaries_module
from benchmarks.gpu_check import correctness, run, sanitiser
from benchmarks.gpu_check.catalogue import OPERATIONS, module_of, one_for_each_entry
from benchmarks.gpu_check.gpu import Gpu, opened
from benchmarks.gpu_check.result import Check, GpuCheck, Part
from benchmarks.gpu_check.timings import baselines_part
from edgefer.errors import DeviceError, UsageError
from edgefer.kernels.driver import Driver
from edgefer.kernels.preprocess import ENTRIES
from kernels.cases.preprocess import base_cases
from kernels.tools.emulator import Emulator

PREPROCESS = ("preprocess",)


@pytest.fixture
def computing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gpu]:
    """A GPU that computes, and small cases of the pre-processing kernel alone."""
    small = [case for case in base_cases() if "whole" not in case.name][::3]
    module = SimpleNamespace(base_cases=lambda gpu: small, random_cases=lambda seed, count, gpu: iter(small[:1]))
    for place in (correctness, binaries_module, sanitiser):
        monkeypatch.setattr(place, "module_of", lambda operation: (module, ""))
    with opened(Driver(FakeGpu(Emulator.build(ENTRIES))), folder) as found:
        yield found


def test_the_device_is_described(gpu: Gpu) -> None:
    assert (gpu.device.name, gpu.device.driver, gpu.device.compute_capability) == ("Imitation H0", "13.1", "9.0")
    assert (gpu.device.binary, gpu.device.toolkit, gpu.device.l2_bytes) == ("sm_90.cubin.xz", "12.6.85", 1 << 16)
    assert run.path_of(gpu).name == "imitation-h0.json"


def test_cases_and_graphs_of_kernels_that_compute(computing: Gpu) -> None:
    for part in (correctness.cases_part, correctness.graphs_part):
        found = part(computing, PREPROCESS)
        assert (found.state, found.checks[0].state) == ("passed", "passed"), found
        assert found.checks[0].found.endswith("cases")


def test_kernels_that_compute_nothing_are_found_out(gpu: Gpu) -> None:
    found = correctness.cases_part(gpu, PREPROCESS)
    assert found.state == "failed"
    assert "cases are wrong: preprocess" in found.checks[0].found
    assert correctness.graphs_part(gpu, PREPROCESS).state == "failed"


def test_a_graph_that_answers_otherwise_is_found_out(computing: Gpu) -> None:
    fake: Any = computing.driver.bindings
    fake._cuGraphLaunch = lambda graph, stream: [work() for work in graph[:-1]] and None
    found = correctness.graphs_part(computing, PREPROCESS)
    assert found.state == "failed"
    assert "replay 1 differs" in found.checks[0].found


def test_after_a_fault_of_a_kernel_the_other_cases_are_not_tried(gpu: Gpu, fake: FakeGpu) -> None:
    fake.broken["cuStreamSynchronize"] = Result.CUDA_ERROR_ILLEGAL_ADDRESS
    found = correctness.cases_part(gpu, PREPROCESS)
    fake.broken.clear()
    assert "1 of 1 cases are wrong" in found.checks[0].found
    assert "ILLEGAL_ADDRESS" in found.checks[0].found


def test_a_capture_that_is_refused_is_told_of_every_entry(computing: Gpu) -> None:
    fake: Any = computing.driver.bindings
    fake.broken["cuGraphInstantiate"] = Result.CUDA_ERROR_ILLEGAL_ADDRESS
    found = correctness.graphs_part(computing, PREPROCESS)
    fake.broken.clear()
    assert f"{len(ENTRIES)} of {len(ENTRIES)} cases are wrong" in found.checks[0].found
    assert "cuGraphInstantiate" in found.checks[0].found


def test_an_operation_whose_reference_is_missing_is_absent(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kernels.cases.preprocess", None)
    module, missing = module_of("preprocess")
    assert module is None
    for part in (correctness.cases_part, correctness.graphs_part):
        found = part(gpu, PREPROCESS)
        assert (found.state, found.reason) == ("absent", missing)


def test_every_entry_has_a_case() -> None:
    assert set(one_for_each_entry(base_cases())) == {entry.name for entry in ENTRIES}


def test_binaries_are_tried_one_by_one(computing: Gpu, folder: Path) -> None:
    found = binaries_module.binaries_part(computing, folder)
    assert [check.state for check in found.checks] == ["passed", "passed", "absent"]
    assert "PTX" in found.checks[1].name
    assert "not for a GPU of compute capability 9.0" in found.checks[2].found
    fake: Any = computing.driver.bindings
    fake.broken["cuModuleLoadDataEx"] = Result.CUDA_ERROR_INVALID_IMAGE
    found = binaries_module.binaries_part(computing, folder)
    fake.broken.clear()
    assert [check.state for check in found.checks] == ["failed", "failed", "absent"]
    assert "INVALID_IMAGE" in found.checks[0].found


def test_a_binary_that_loads_and_computes_nothing_is_found_out(gpu: Gpu, folder: Path) -> None:
    found = binaries_module.binaries_part(gpu, folder)
    assert found.state == "failed"
    assert "it loads, and" in found.checks[0].found


@pytest.mark.parametrize(
    ("script", "state", "says"),
    [
        ("print('0 errors')", "passed", "0 errors"),
        ("print('Race reported'); raise SystemExit(86)", "failed", "it found errors: Race reported"),
        ("raise SystemExit(3)", "failed", "ended with status 3"),
    ],
)
def test_the_sanitiser_in_a_child(tmp_path: Path, script: str, state: str, says: str) -> None:
    tool = tmp_path / "compute-sanitizer"
    tool.write_text(
        f"#!{sys.executable}\nimport sys\nassert sys.argv[1:5] == ['--tool', sys.argv[2], "
        f"'--error-exitcode', '86']\n"
        # What an older driver lacks of all that cuda.bindings asks it for is no error of edgefer's.
        "assert (sys.argv[5:7] == ['--report-api-errors', 'no']) == (sys.argv[2] == 'memcheck')\n"
        f"{script}\n"
    )
    tool.chmod(0o755)
    found = sanitiser.sanitiser_part(lambda: str(tool))
    assert [check.name for check in found.checks] == ["memcheck", "racecheck"]
    assert {check.state for check in found.checks} == {state}
    assert says in found.checks[0].found


def test_without_a_sanitiser_the_part_is_absent() -> None:
    found = sanitiser.sanitiser_part(lambda: None)
    assert (found.state, "not installed" in found.reason) == ("absent", True)


def test_what_the_sanitiser_runs(computing: Gpu, capsys: pytest.CaptureFixture[str]) -> None:
    assert sanitiser.run_cases(computing, computing.kernels.gpu) == 0
    assert f"{len(OPERATIONS) * len(ENTRIES)} cases, 0 of them wrong" in capsys.readouterr().out


def test_what_the_sanitiser_runs_says_what_is_wrong(gpu: Gpu, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sanitiser, "OPERATIONS", PREPROCESS)
        assert sanitiser.run_cases(gpu, gpu.kernels.gpu) == len(ENTRIES)
    assert "edgefer_preprocess_f16n" in capsys.readouterr().out


def failing() -> Part:
    raise ZeroDivisionError("of this check itself")


def refused() -> Part:
    raise DeviceError("cuLaunchKernel failed", hint="look")


def test_a_part_that_fails_does_not_lose_the_others(gpu: Gpu, tmp_path: Path) -> None:
    told: list[str] = []
    path = tmp_path / "new" / "device.json"
    seen: list[list[str]] = []

    def watched() -> Part:
        seen.append(list(json.loads(path.read_text())["parts"]))
        return Part(state="passed", checks=(Check(name="x", state="failed", found="y"),))

    parts = {"one": failing, "two": refused, "three": watched, **{"baselines": lambda: baselines_part(gpu, CARE)}}
    check = run.run(gpu, parts, path, told.append)
    assert msgspec.json.decode(path.read_bytes(), type=GpuCheck) == check
    assert seen == [["one", "two"]]
    assert [part.state for part in check.parts.values()] == ["failed", "failed", "passed", "passed"]
    assert check.failed == (
        "one: ZeroDivisionError: of this check itself",
        "two: cuLaunchKernel failed\nhint: look",
        "three: x: y",
    )
    assert len(told) == 8


def test_parts_are_chosen_by_words(gpu: Gpu) -> None:
    parts = run.all_parts(gpu, CARE)
    assert list(parts)[:4] == ["cases", "binaries", "graphs", "baselines"]
    assert list(run.chosen(parts, "")) == list(parts)
    assert list(parts)[-5:] == ["runtime", "sanitiser", "engines", "session", "soak"]
    assert list(run.chosen(parts, "graphs, of cbam")) == ["graphs", "timings of cbam"]
    with pytest.raises(UsageError, match="no part speed"):
        run.chosen(parts, "speed,cases")


def test_the_command(
    fake: FakeGpu, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "opened", lambda driver: opened(driver, folder))
    monkeypatch.setattr(run, "OPERATIONS", ("gated_pool",))
    path = tmp_path / "out.json"
    arguments = ["-o", str(path), "--rounds", "4", "--parts", "baselines,timings"]
    assert command.main(arguments, Driver(fake)) == 0
    said = capsys.readouterr().out
    assert "nothing is wrong" in said
    assert "not measured" in said
    assert str(path) in "".join(said.split("\n"))
    assert set(msgspec.json.decode(path.read_bytes(), type=GpuCheck).parts) == {"baselines", "timings of gated_pool"}
    monkeypatch.setattr(run, "all_parts", lambda gpu, care, inferences: {"bad": refused})
    monkeypatch.setattr(command, "all_parts", lambda gpu, care, inferences: {"bad": refused})
    assert command.main(["-o", str(path)], Driver(fake)) == 1
    assert "WRONG: bad: cuLaunchKernel failed" in capsys.readouterr().out


def test_what_is_wrong_is_shown_though_the_context_cannot_be_given_back(
    fake: FakeGpu, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def lost(driver: Driver) -> Iterator[Gpu]:
        with opened(driver, folder) as found:
            yield found
        raise DeviceError("cuModuleUnload failed")

    monkeypatch.setattr(command, "opened", lost)
    monkeypatch.setattr(command, "all_parts", lambda gpu, care, inferences: {"bad": refused})
    assert command.main(["-o", str(tmp_path / "out.json")], Driver(fake)) == 1
    said = capsys.readouterr()
    assert "WRONG: bad: cuLaunchKernel failed" in said.out
    assert "cuModuleUnload" in said.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--rounds", "0"], "0 rounds; expected 1 or more"),
        (["--rounds", "many"], "invalid int value: 'many'"),
        (["--inferences", "5"], "5 inferences; expected 200 or more"),
        (["-o", "no/such/folder/gpu.json"], "there is no folder no/such/folder"),
    ],
)
def test_wrong_arguments_are_told_before_anything_runs(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_the_command_without_a_gpu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def none(driver: Driver | None) -> Any:
        raise DeviceError("there is no CUDA driver", hint="run this where an NVIDIA GPU is")

    monkeypatch.setattr(command, "opened", none)
    assert command.main([]) == 3
    assert "hint: run this where an NVIDIA GPU is" in capsys.readouterr().err
