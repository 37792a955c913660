"""Times, figures and goals of the check of a GPU, on a driver whose clock is made up."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from fake_gpu import BYTES_PER_SECOND, CARE, LAUNCH_SECONDS, FakeGpu
from rich.console import Console

from benchmarks.gpu_check import run, timings
from benchmarks.gpu_check.catalogue import OPERATIONS
from benchmarks.gpu_check.figures import Care, figure
from benchmarks.gpu_check.goals import goals
from benchmarks.gpu_check.gpu import Gpu, opened
from benchmarks.gpu_check.report import show
from benchmarks.gpu_check.result import Check, Figure, GpuCheck, Part
from benchmarks.gpu_check.timings import baselines_part, timings_part
from benchmarks.gpu_check.torch_rivals import rivals
from benchmarks.gpu_check.workloads import Workload, workloads
from edgefer.errors import InputError
from edgefer.kernels.driver import Driver
from edgefer.kernels.entries import ENTRIES
from kernels.tools.emulator import Emulator


def test_everything_is_given_back(fake: FakeGpu, folder: Path) -> None:
    with opened(Driver(fake), folder) as gpu:
        timings_part(gpu, "preprocess", CARE, batches=(1,))
        baselines_part(gpu, CARE)
    assert fake.memory == {}
    assert (fake.graphs_open, fake.events_open) == (0, 0)


def test_baselines_are_those_of_the_clock(gpu: Gpu) -> None:
    found = baselines_part(gpu, CARE).baselines
    assert found is not None
    assert found.empty_node.median == pytest.approx(LAUNCH_SECONDS)
    assert found.copy_bytes_per_second.median == pytest.approx(BYTES_PER_SECOND)
    assert found.copied_bytes == 1 << 21


@pytest.mark.parametrize("operation", OPERATIONS)
def test_times_are_those_of_the_clock(gpu: Gpu, operation: str) -> None:
    found = timings_part(gpu, operation, CARE, batches=(1,))
    assert found.state == "passed"
    assert len(found.workloads) == {"cbam": 8, "channel_gate": 8}.get(operation, 1)
    for workload in found.workloads:
        assert workload.moved_bytes >= workload.floor_bytes > 0
        for cache in ("warm", "cold"):
            timing = workload.timing("edgefer", cache)  # type: ignore[arg-type]
            assert timing is not None
            assert timing.figure.median == pytest.approx(workload.launches * LAUNCH_SECONDS)
            assert timing.figure.count >= CARE.rounds
        assert "torch eager" in workload.absent


def test_a_size_that_cannot_be_timed_loses_no_other(gpu: Gpu) -> None:
    @contextlib.contextmanager
    def none_for_eight(gpu: Gpu, workload: Workload, care: Care) -> Any:
        if workload.batch == 8:
            raise RuntimeError("CUDA out of memory")
        with rivals(gpu, workload, care) as found:
            yield found

    found = timings_part(gpu, "gated_pool", CARE, batches=(1, 8, 2), rivals_of=none_for_eight)
    assert [workload.batch for workload in found.workloads] == [1, 2]
    assert (found.state, len(found.checks)) == ("failed", 1)
    assert "RuntimeError: CUDA out of memory" in found.checks[0].found


class FakeTorchCuda:
    """torch.cuda on the CPU: a replay takes so many milliseconds as there were graphs before it."""

    def __init__(self) -> None:
        self.milliseconds = 0.0
        self.graphs = 0

    def is_available(self) -> bool:
        return True

    def Stream(self) -> None:  # noqa: N802
        return None

    def stream(self, side: None) -> Any:
        return contextlib.nullcontext()

    def graph(self, graph: Any) -> Any:
        return contextlib.nullcontext()

    def synchronize(self) -> None:
        return None

    def empty_cache(self) -> None:
        return None

    def CUDAGraph(self) -> Any:  # noqa: N802
        self.graphs += 1
        number = self.graphs

        def replay() -> None:
            self.milliseconds += number

        return SimpleNamespace(replay=replay)

    def Event(self, *, enable_timing: bool) -> Any:  # noqa: N802
        event = SimpleNamespace(at=0.0, synchronize=lambda: None)
        event.record = lambda: setattr(event, "at", self.milliseconds)
        event.elapsed_time = lambda end: end.at - event.at + 1.0
        return event


def rivals_with(torch: Any, compile_: Any) -> Any:
    made = SimpleNamespace(
        cuda=FakeTorchCuda(),
        compile=compile_,
        inference_mode=torch.inference_mode,
        empty=torch.empty,
        int8=torch.int8,
        compiler=SimpleNamespace(reset=lambda: None),
        __version__="0",
    )

    def of(gpu: Gpu, workload: Workload, care: Care) -> Any:
        # The kernels have answered; what is timed from here on need not compute.
        gpu.driver.bindings.emulator = None
        return rivals(gpu, workload, care, torch=made, device="cpu")

    return of


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name != "preprocess"])
def test_the_block_in_pytorch_computes_what_the_kernels_do(operation: str, folder: Path) -> None:
    """On the CPU and by the emulator, timed by a made-up clock."""
    torch = pytest.importorskip("torch")
    emulator = Emulator.build([entry for name, entry in ENTRIES.items() if name.startswith(f"edgefer_{operation}_")])
    with opened(Driver(FakeGpu(emulator)), folder) as gpu:
        smallest = [each for each in workloads(operation, gpu.kernels.gpu, (1,)) if each.form == "f16h"][-1]
        fast = Care(rounds=1, repeats=1, warm_ups=1)
        result, checks = timings.timed(gpu, smallest, fast, rivals_with(torch, lambda function, **_: function))
    assert [check.state for check in checks] == ["passed"], checks
    ways = {(timing.way, timing.cache) for timing in result.timings}
    assert ways >= {("torch eager", "warm"), ("torch.compile in a CUDA graph", "cold")}
    assert all(timing.ratio is not None for timing in result.timings if timing.way != "edgefer")


def test_a_compiler_that_fails_and_an_answer_that_is_wrong(gpu: Gpu) -> None:
    torch = pytest.importorskip("torch")

    def refuse(function: Any, **_: Any) -> Any:
        raise RuntimeError("no Triton here")

    found = timings_part(gpu, "gated_pool", CARE, batches=(1,), rivals_of=rivals_with(torch, refuse))
    assert "no Triton here" in found.workloads[0].absent["torch.compile in a CUDA graph"]
    assert found.workloads[0].timing("torch eager in a CUDA graph", "cold") is not None
    # This GPU computes nothing, so that the block in PyTorch disagrees.
    assert found.state == "failed"


def test_figures() -> None:
    found = figure(np.linspace(-1, 3, 41))
    assert (found.count, found.median, found.quarter, found.three_quarters) == (41, 1, 0, 2)
    assert -1 <= found.low < 1 < found.high <= 3
    assert figure([2.0]) == Figure(count=1, median=2, low=2, high=2, quarter=2, three_quarters=2)
    for values in ([], [np.nan], [[1.0]]):
        with pytest.raises(InputError, match="no median"):
            figure(values)


def measured_parts(gpu: Gpu) -> dict[str, Part]:
    return {"baselines": baselines_part(gpu, CARE), "timings": timings_part(gpu, "cbam", CARE, batches=(1,))}


def test_goals_are_evaluated(gpu: Gpu) -> None:
    found = goals(measured_parts(gpu))
    design = [goal for goal in found if goal.name == "time over design"]
    assert len(design) == 4
    for goal in design:
        # Launches take what empty nodes do, and bytes take no time, on this GPU.
        assert goal.found is not None
        assert goal.found < 1
        assert goal.met
        assert goal.beside["warm seconds"] == pytest.approx(goal.beside["cold seconds"])
    assert {goal.met for goal in found if goal.name == "launches"} == {True}
    assert {goal.met for goal in found if goal.name == "times faster than torch.compile"} == {None}


def test_goals_are_missed(gpu: Gpu) -> None:
    parts = measured_parts(gpu)
    slow = []
    for workload in parts["timings"].workloads:
        timings = [
            msgspec.structs.replace(each, figure=msgspec.structs.replace(each.figure, median=1.0))
            for each in workload.timings
        ]
        rival = msgspec.structs.replace(timings[1], way="torch.compile in a CUDA graph", ratio=figure([1.5]))
        slow.append(msgspec.structs.replace(workload, launches=3, timings=(*timings, rival)))
    parts["timings"] = msgspec.structs.replace(parts["timings"], workloads=tuple(slow))
    assert {goal.met for goal in goals(parts)} == {False}
    without = goals({"timings": parts["timings"]})
    assert {goal.met for goal in without if goal.name == "time over design"} == {None}


def test_what_is_shown(gpu: Gpu) -> None:
    parts = {**measured_parts(gpu), "cases": Part(state="failed", checks=(Check(name="a", state="failed", found="b"),))}
    console = Console(width=200, record=True, file=io.StringIO())
    check = GpuCheck(
        created="now",
        edgefer="0",
        commit="0",
        machine=run.describe(),
        device=gpu.device,
        parts=parts,
        goals=goals(parts),
    )
    show(check, console)
    said = console.export_text()
    for words in (
        "Imitation H0",
        "1000 GB/s",
        "empty node",
        "cbam 56x56x64 batch 1 f16h",
        "WRONG: cases: a: b",
        "2.00",
    ):
        assert words in said
