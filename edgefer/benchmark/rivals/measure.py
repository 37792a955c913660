"""Ours and the rivals on the same graph, tensors and number of threads, in turn in one run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

import numpy as np

from edgefer.benchmark import stimulus
from edgefer.benchmark.closed_loop import closed_loop
from edgefer.benchmark.interleaved import interleaved
from edgefer.benchmark.result import Rival as Found
from edgefer.benchmark.result import Settings
from edgefer.benchmark.rivals.rival import Absent, Outputs, Prepared, Sampled, Task
from edgefer.benchmark.rivals.table import chosen
from edgefer.benchmark.statistics import latency, ratio
from edgefer.benchmark.steady import Patience
from edgefer.benchmark.timeline import Effort
from edgefer.bundle.container import Bundle
from edgefer.numeric_error import relative_error
from edgefer.runtime.session import Session

PAUSE, SETTLE = 0.003, 1
"""Seconds of sleep before every turn, and runs that come first in it and do not count. Threads of onnxruntime, PyTorch
and OpenCV go on spinning when their work is done, and would take the processor from whoever comes next; after the pause
they are asleep, ours as well as theirs. The uncounted run wakes one's own: without it a network of 2 ms takes twice as
long after a pause of 10 ms, and what would be compared is how soon pools wake."""

SHORTEST_BLOCK = 1.0
"""Seconds, the least that trtexec takes."""

_OURS = "ours"
_BLOCKS = 4
_TURN = f"each turn is {PAUSE * 1e3:g} ms of sleep, {SETTLE} run that does not count and one that does"
_TOLERANCES = {"fp32": 1e-3, "fp16": 2e-2, "int8": 5e-2, "int8+fp16": 5e-2}


def measure_rivals(
    session: Session,
    bundle: Bundle,
    names: Sequence[str],
    *,
    threads: int | None = None,
    effort: Effort | None = None,
    patience: Patience | None = None,
) -> tuple[tuple[Found, ...], dict[str, str]]:
    """Measure a session against rivals, all in one run.

    Ours is `Session.infer` on ready tensors, with all that it checks; theirs is the bare call. Those in this process
    take turns, each first equally often, after a pause in which every thread pool falls asleep; one that
    times itself in a process of its own takes turns with ours in blocks. What they answer is compared with what ours
    answers before anything is measured.

    Args:
        session: an open session.
        bundle: the bundle of the session.
        names: of `rivals.RIVALS`.
        threads: of each rival; None is the number of CPUs. What ours has is for the session to say.
        effort: `runs` is the number of rounds, `seconds` is of all together.
        patience: how long to warm up each.

    Returns:
        What was measured, in the order of the names, and for each that is not there the reason.

    Raises:
        UsageError: there is no rival of a name.
        InputError: the session cannot run the golden inputs of the bundle.
    """
    rivals, wanted = chosen(names), effort or Effort()
    example = stimulus.tensors(bundle, session.graph)
    feeds = stimulus.batch(example, min(session.batches))
    task = Task(bundle, session.graph, feeds, threads or _cpus())
    ours, answers = _ours(session, task)
    found: dict[str, Found] = {}
    absent: dict[str, str] = {}
    with ExitStack() as stack:
        inside: dict[str, Prepared] = {}
        for rival in rivals:
            prepared = rival.prepare(task)
            if isinstance(prepared, Absent):
                absent[rival.name] = prepared.reason
                continue
            stack.callback(prepared.close)
            if isinstance(prepared, Prepared):
                inside[rival.name] = prepared
            else:
                found[rival.name] = _in_blocks(rival.name, ours, prepared, wanted, patience)
        if inside:
            found |= _in_turn(ours, answers, inside, wanted, patience, task)
    return tuple(found[rival.name] for rival in rivals if rival.name in found), absent


def _ours(session: Session, task: Task) -> tuple[Callable[[], object], Outputs]:
    """Our run, and what it answers. A graph for larger batches, or without logits, has no `infer`."""
    feeds = dict(task.feeds)
    single = min(session.batches) == 1
    if single and any(spec.role == "logits" for spec in task.graph.outputs):
        return lambda: session.infer(**feeds), session.run(feeds)
    return lambda: session.run(feeds), session.run(feeds)


def _in_turn(
    ours: Callable[[], object],
    answers: Outputs,
    rivals: Mapping[str, Prepared],
    effort: Effort,
    patience: Patience | None,
    task: Task,
) -> dict[str, Found]:
    errors = {name: differences(answers, rival.run()) for name, rival in rivals.items()}
    actions: dict[str, Callable[[], object]] = {name: rival.run for name, rival in rivals.items()}
    measured = interleaved({_OURS: ours, **actions}, effort=effort, patience=patience, pause=PAUSE, settle=SETTLE)
    mine = latency(measured.durations[_OURS], confidence=effort.confidence)
    return {
        name: Found(
            name=name,
            settings=rival.settings,
            ours=mine,
            theirs=latency(measured.durations[name], confidence=effort.confidence),
            ratio=measured.ratio(_OURS, name),
            max_error=max(errors[name].values(), default=0.0),
            note=_joined(_warning(errors[name], task), measured.cut, _TURN),
        )
        for name, rival in rivals.items()
    }


def _in_blocks(
    name: str, ours: Callable[[], object], rival: Sampled, effort: Effort, patience: Patience | None
) -> Found:
    """Ours and the rival in blocks of seconds, each first in every other pair of blocks."""
    seconds = max(SHORTEST_BLOCK, effort.seconds / (2 * _BLOCKS))
    block = Effort(1, seconds, max(seconds, effort.most_seconds), effort.confidence)
    settings = Settings(runner=_OURS, device="cpu", measured="infer", precision="", threads=None)
    mine: list[float] = []
    theirs: list[float] = []

    def one_of_ours() -> None:
        mine.extend(closed_loop(ours, settings=settings, effort=block, patience=patience).durations)

    for index in range(_BLOCKS):
        if index % 2:
            theirs.extend(rival.sample(block.seconds))
            one_of_ours()
        else:
            one_of_ours()
            theirs.extend(rival.sample(block.seconds))
    return Found(
        name=name,
        settings=rival.settings,
        ours=latency(mine, confidence=effort.confidence),
        theirs=latency(theirs, confidence=effort.confidence),
        ratio=ratio(mine, theirs, paired=False),
        max_error=None,
        note=f"in {_BLOCKS} blocks of {block.seconds:g} s each, in turn with ours",
    )


def differences(ours: Outputs, theirs: Outputs) -> dict[str, float]:
    """max|a - b| / max(1, max|ours|) of each output; infinite where it is missing or of another shape."""
    errors = {}
    for name, value in ours.items():
        other = theirs.get(name)
        alike = other is not None and np.shape(other) == value.shape
        errors[name] = relative_error(np.asarray(other), value) if alike else float("inf")
    return errors


def _warning(errors: Mapping[str, float], task: Task) -> str:
    """What to say where an output is farther off than its own tolerance; of several, about the farthest."""
    golden, precision = task.bundle.manifest.golden, str(task.bundle.manifest.precision)
    allowed = {name: _TOLERANCES[precision] if golden is None else golden.tolerance_of(name) for name in errors}
    beyond = [name for name, error in errors.items() if not error <= allowed[name]]
    if not beyond:
        return ""
    worst = max(beyond, key=lambda name: errors[name])
    return (
        f"its output '{worst}' differs from ours by {errors[worst]:.2g}, more than {allowed[worst]:g}: it may not "
        "compute the same"
    )


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
