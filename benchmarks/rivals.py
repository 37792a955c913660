"""Every registered network on the CPU, batch 1: ours beside bare runtimes, OpenCV and PyTorch, in turn in one run.

    python -m benchmarks.rivals                          everything; half an hour on two cores that do nothing else
    python -m benchmarks.rivals --only viri-fusion:int8:2

Ours is `Session.infer` on ready tensors, on each runner that serves the CPU here. A measurement is kept as soon as it
is done, and a later run goes on from there; `--again` measures what is asked for anew. Each is a process of its own, so
that thread pools and memory of one do not meet the next.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import msgspec

from benchmarks.registered import NETWORKS, bundle
from benchmarks.rivals_results import RESULTS, Cell, Row, Stored, load, markdown, store
from edgefer.benchmark import stimulus
from edgefer.benchmark.interleaved import interleaved
from edgefer.benchmark.machine import Observer, describe
from edgefer.benchmark.rivals.measure import PAUSE, SETTLE, differences
from edgefer.benchmark.rivals.rival import Absent, Prepared, Task
from edgefer.benchmark.rivals.table import chosen
from edgefer.benchmark.statistics import latency
from edgefer.benchmark.timeline import Effort
from edgefer.runtime import openvino_library
from edgefer.runtime.session import Session

RIVALS = ("onnxruntime", "openvino", "opencv", "torch", "torch-compile")
PRECISIONS = ("fp32", "int8")
THREADS = (1, 2)
EFFORT = Effort(60, 3.0, 60.0)


def main() -> int:
    """Measure what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NETWORK:PRECISION:THREADS", help="may be given repeatedly")
    parser.add_argument("--again", action="store_true", help="also what has been measured")
    parser.add_argument("--bundles", type=Path, default=Path("build/rivals"), help="where the networks are kept")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    wanted = arguments.only or [":".join(map(str, each)) for each in itertools.product(NETWORKS, PRECISIONS, THREADS)]
    if arguments.here:
        (only,) = wanted
        store(measure(only, arguments.bundles))
        return 0
    stored = load()
    done = {cell.name for cell in stored.cells} if stored is not None else set()
    for name in wanted:
        if name in done and not arguments.again:
            continue
        print(name, file=sys.stderr)
        words = ["--here", "--only", name, "--bundles", str(arguments.bundles)]
        # A variable that holds PyTorch to fewer threads than are measured would make a weak rival of it.
        environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
        subprocess.run([sys.executable, "-m", "benchmarks.rivals", *words], check=True, env=environment)
    found = load()
    if found is not None:
        table = markdown(found)
        RESULTS.with_suffix(".md").write_text(table)
        print(table)
    return 0


def measure(name: str, folder: Path) -> Stored:
    """One network in one precision with one number of threads, as `network:precision:threads`."""
    network, precision, threads = name.split(":")
    subject = bundle(network, precision, folder)
    graph = subject.graph()
    task = Task(subject, graph, stimulus.tensors(subject, graph), int(threads))
    feeds = dict(task.feeds)
    runners = ["onnxruntime"] if openvino_library.unavailable() else ["openvino", "onnxruntime"]
    with ExitStack() as stack:
        sessions = {
            f"edgefer, {runner}": stack.enter_context(Session(subject, device=runner, threads=task.threads))
            for runner in runners
        }
        actions = {
            ours: (lambda session=session: session.infer(**feeds))  # type: ignore[misc]  # bound at once
            for ours, session in sessions.items()
        }
        rivals: dict[str, Prepared] = {}
        absent: dict[str, str] = {}
        for rival in chosen(RIVALS):
            prepared = rival.prepare(task)
            if isinstance(prepared, Prepared):
                rivals[rival.name] = prepared
                stack.callback(prepared.close)
            elif isinstance(prepared, Absent):
                absent[rival.name] = prepared.reason
        reference = sessions[f"edgefer, {runners[-1]}"].run(feeds)
        outputs = {ours: session.run(feeds) for ours, session in sessions.items()}
        outputs |= {each: dict(prepared.run()) for each, prepared in rivals.items()}
        actions |= {each: prepared.run for each, prepared in rivals.items()}
        observer = Observer()
        found = interleaved(actions, effort=EFFORT, pause=PAUSE, settle=SETTLE)
        load = observer.moment(0.0).load
        settings = {each: prepared.settings for each, prepared in rivals.items()}
        rows = tuple(
            Row(
                name=each,
                latency=latency(found.durations[each]),
                over={ours: found.ratio(ours, each) for ours in sessions if ours != each},
                difference=max(differences(reference, outputs[each]).values(), default=0.0),
                note=settings[each].note if each in settings else str(sessions[each].info["settings"] or ""),
                steady=found.warm_ups[each].steady,
            )
            for each in actions
        )
        versions = {key: value for each in settings.values() for key, value in each.versions.items()}
    cell = Cell(
        network=network,
        precision=precision,
        threads=task.threads,
        digest=subject.digest,
        rounds=found.rounds,
        rows=rows,
        absent=absent,
        versions=versions,
        load=load,
    )
    return Stored(machine=msgspec.to_builtins(describe()), cells=(cell,))


if __name__ == "__main__":
    raise SystemExit(main())
