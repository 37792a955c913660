"""Times on the GPU, warm and with an emptied cache, in turn with what they are held against.

A time is what one more of a thing costs in a CUDA graph of many. Warm: the graph repeats the launches on the same
memory. Cold: each repetition follows a fill of twice the L2 cache, and the time of a graph of the fills alone is taken
off, round by round. The cost of being a node of a graph is therefore inside of every time, as it is in use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import numpy as np

from benchmarks.gpu_check.correctness import part_of
from benchmarks.gpu_check.figures import Care, added, figure, in_turn
from benchmarks.gpu_check.gpu import EMPTY, Bound, Gpu
from benchmarks.gpu_check.result import Baselines, CacheState, Check, Figure, Part, Timing, WorkloadResult
from benchmarks.gpu_check.torch_rivals import FLUSH, TOLERANCE, Rivals, error_of, rivals
from benchmarks.gpu_check.workloads import BATCHES, Workload, workloads
from edgefer.benchmark.interleaved import Interleaved
from edgefer.benchmark.resampling import Floats
from edgefer.benchmark.timeline import Action
from edgefer.kernels.preprocess import PreprocessParams

OURS = "edgefer"
_WARM, _COLD, _FLUSH = "warm", "cold", "flush"
_EMPTY_NODES = 200
_COPIES = 4
_MOST_COPIED = 1 << 30
_SHARE_COPIED = 8

RivalsOf = Callable[[Gpu, Workload, Care], AbstractContextManager[Rivals]]


def baselines_part(gpu: Gpu, care: Care) -> Part:
    """An empty node of a graph, and a copy within the GPU's memory."""
    size = min(_MOST_COPIED, gpu.device.memory_bytes // _SHARE_COPIED)
    with ExitStack() as stack:
        source, target = (stack.enter_context(gpu.memory(size)) for _ in range(2))
        empty = stack.enter_context(Bound(gpu, EMPTY, PreprocessParams, {}, {}))

        def copy() -> None:
            for _ in range(_COPIES):
                gpu.driver.call("cuMemcpyDtoDAsync", target, source, size, gpu.stream.handle)

        actions: dict[str, Action] = {
            "copy": stack.enter_context(gpu.captured(copy)),
            "more": stack.enter_context(gpu.captured(_repeated(empty.launch, 2 * _EMPTY_NODES))),
            "fewer": stack.enter_context(gpu.captured(_repeated(empty.launch, _EMPTY_NODES))),
        }
        measured = in_turn(gpu, actions, care)
    return Part(
        state="passed",
        baselines=Baselines(
            empty_node=figure(added(measured, "more", "fewer", _EMPTY_NODES)),
            copy_bytes_per_second=figure(2 * size * _COPIES / measured.durations["copy"]),
            copied_bytes=size,
        ),
    )


def timings_part(
    gpu: Gpu,
    operation: str,
    care: Care,
    *,
    batches: tuple[int, ...] = BATCHES,
    rivals_of: RivalsOf = rivals,
) -> Part:
    """All workloads of an operation. A check is whether PyTorch's block computes what the kernel does."""
    results, checks = [], []
    for workload in workloads(operation, gpu.kernels.gpu, batches):
        try:
            result, check = timed(gpu, workload, care, rivals_of)
        except Exception as error:  # too little memory for a large batch, or PyTorch; the other sizes are still had
            checks.append(Check(name=workload.name, state="failed", found=f"{type(error).__name__}: {error}"))
            continue
        results.append(result)
        checks += check
    state = part_of(checks).state if checks else "passed"
    return Part(state=state, checks=tuple(checks), workloads=tuple(results))


def timed(gpu: Gpu, workload: Workload, care: Care, rivals_of: RivalsOf = rivals) -> tuple[WorkloadResult, list[Check]]:
    """One workload in every way that there is, and whether the ways agree."""
    flushed = 2 * gpu.device.l2_bytes
    with ExitStack() as stack:
        bound = stack.enter_context(Bound(gpu, workload.plan, workload.structure, workload.inputs, workload.outputs))
        scratch = stack.enter_context(gpu.memory(flushed))

        def flush() -> None:
            gpu.stream.fill(scratch, 0, flushed)

        def cold() -> None:
            flush()
            bound.launch()

        bound.launch()
        answer = bound.read()
        others = stack.enter_context(rivals_of(gpu, workload, care))
        actions: dict[str, Action] = {
            _WARM: stack.enter_context(gpu.captured(_repeated(bound.launch, care.repeats))),
            _COLD: stack.enter_context(gpu.captured(_repeated(cold, care.repeats))),
            _FLUSH: stack.enter_context(gpu.captured(_repeated(flush, care.repeats))),
            **{f"{_WARM} {way}": action for way, action in others.warm.items()},
            **{f"{_COLD} {way}": action for way, action in others.cold.items()},
        }
        if others.flush is not None:
            actions[FLUSH] = others.flush
        measured = in_turn(gpu, actions, care)
    return _result(workload, measured, others, care), _agreement(workload, answer, others)


def _result(workload: Workload, measured: Interleaved, others: Rivals, care: Care) -> WorkloadResult:
    warm = measured.durations[_WARM] / care.repeats
    cold = added(measured, _COLD, _FLUSH, care.repeats)
    timings = [
        Timing(way=OURS, cache="warm", figure=figure(warm)),
        Timing(way=OURS, cache="cold", figure=figure(cold)),
        *(_against(way, "warm", measured.durations[f"{_WARM} {way}"] / care.repeats, warm) for way in others.warm),
        *(_against(way, "cold", added(measured, f"{_COLD} {way}", FLUSH, care.repeats), cold) for way in others.cold),
    ]
    return WorkloadResult(
        name=workload.name,
        operation=workload.operation,
        stage=workload.stage,
        batch=workload.batch,
        form=workload.form,
        launches=len(workload.plan.launches),
        moved_bytes=workload.moved,
        floor_bytes=workload.floor,
        timings=tuple(timings),
        absent={**others.absent, **({"rounds": measured.cut} if measured.cut else {})},
    )


def _against(way: str, cache: CacheState, theirs: Floats, ours: Floats) -> Timing:
    """A rival's time and its ratio to ours, which is left out where a difference of noise is not above zero."""
    ratio: Figure | None = None
    if bool((ours > 0).all()):
        ratio = figure(theirs / ours)
    return Timing(way=way, cache=cache, figure=figure(theirs), ratio=ratio)


def _agreement(workload: Workload, answer: Mapping[str, Any], others: Rivals) -> list[Check]:
    if others.answer is None:
        return []
    (found,) = answer.values()
    error = error_of(found, others.answer)
    says = f"{error:.2g} between PyTorch's block and the kernel, at most {TOLERANCE:g} allowed"
    return [Check(name=workload.name, state="passed" if error <= TOLERANCE else "failed", found=says)]


def _repeated(work: Callable[[], object], count: int) -> Callable[[], None]:
    def all_of_it() -> None:
        for _ in range(count):
            work()

    return all_of_it


def floor_seconds(moved: int, baselines: Baselines) -> float:
    """What so many bytes take at the measured rate of a copy."""
    return float(np.float64(moved) / baselines.copy_bytes_per_second.median)
