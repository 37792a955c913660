"""Two engines of one graph, with plugins and without, on this GPU: which one answers right, and which one is faster.

The child process that runs them gets both plans and the bundle's golden answers. Whatever happens there (a refused
plan, a kernel that crashes, a process that dies) is an answer about one of the engines and never an error of the
compilation: an engine without plugins is always there to fall back to.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from edgefer.bundle.container import Bundle
from edgefer.bundle.golden import golden_feeds
from edgefer.bundle.manifest import GraphSpec
from edgefer.engine import child, protocol
from edgefer.engine.decision import Contender, RaceResult, Way
from edgefer.engine.flavours import FlavourName
from edgefer.progress import Reporter, Silent

RACE_WORKER: tuple[str, ...] = (sys.executable, "-m", "edgefer.engine.race_worker")
RESULT, STAGE = "result.json", "stage.txt"
TIMEOUT_SECONDS = 600.0

Array = npt.NDArray[Any]


class RaceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is asked. Arrays lie beside it as `input_N.npy` and `output_N.npy`, plans as `WAY.plan`.

    `tolerances` are of the outputs, in their order; `parent` is the process that the child does not outlive.
    """

    flavour: FlavourName
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tolerances: tuple[float, ...]
    batch: int
    parent: int = 0


@dataclass(frozen=True)
class RaceData:
    """What engines are judged by: golden inputs and expected outputs by name, (count, ...), tolerance of each output,
    and the batch in which they are run: the first, which an engine has its first profile for."""

    inputs: Mapping[str, Array]
    expected: Mapping[str, Array]
    tolerances: Mapping[str, float]
    batch: int

    def digest(self) -> str:
        """SHA-256 (hex) of all of it."""
        digest = hashlib.sha256(f"{self.batch} {sorted(self.tolerances.items())}".encode())
        for arrays in (self.inputs, self.expected):
            for name, array in arrays.items():
                digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def race_data(bundle: Bundle, graph: GraphSpec) -> tuple[RaceData | None, str]:
    """The golden answers of a graph, or None with the reason why there are none to judge by."""
    golden = bundle.manifest.golden
    outputs = [each.name for each in graph.outputs]
    if golden is None or not golden.expected.keys() & set(outputs):
        return None, "the bundle has no golden answers that an engine could be judged by"
    feeds: dict[str, Array] = dict(golden_feeds(bundle, graph.inputs))
    for spec in graph.inputs:
        if spec.name not in feeds and spec.role == "present":
            feeds[spec.name] = np.ones((golden.count, *spec.shape[1:]), np.float32)
    missing = [spec.name for spec in graph.inputs if spec.name not in feeds]
    if missing:
        return None, f"the bundle has no golden input for {', '.join(missing)}"
    expected = {name: bundle.array(golden.expected[name]) for name in outputs if name in golden.expected}
    return RaceData(feeds, expected, {name: golden.tolerance_of(name) for name in expected}, graph.batches[0]), ""


def race(
    plans: Mapping[Way, bytes],
    data: RaceData,
    flavour: FlavourName,
    *,
    timeout: float = TIMEOUT_SECONDS,
    reporter: Reporter | None = None,
    command: Sequence[str] = RACE_WORKER,
) -> RaceResult:
    """Run both plans in a child process; `timeout` is in seconds.

    Raises:
        EnvironmentMismatch: there is no room for the files.
    """
    with child.private_folder("edgefer-race-") as name:
        folder = Path(name)
        try:
            _write(folder, plans, data, flavour)
        except OSError as error:
            raise child.no_room(error) from error
        task = f"time both engines of {flavour}"
        try:
            code = child.run([*command, str(folder)], folder, task=task, timeout=timeout, reporter=reporter or Silent())
        except subprocess.TimeoutExpired:
            return _ended(folder, data.batch, f"timing took longer than {timeout:g} s")
        result, failure = folder / RESULT, folder / protocol.FAILURE
        if code == 0 and result.exists():
            return msgspec.json.decode(result.read_bytes(), type=RaceResult)
        if code > 0 and failure.exists():
            told = msgspec.json.decode(failure.read_bytes(), type=protocol.Failure)
            problem = f"engines cannot be run here: {told.message}"
            return RaceResult(plugin=Contender(problem=problem), inline=Contender(problem=problem), batch=data.batch)
        if code < 0:
            return _ended(folder, data.batch, child.died(-code, "runs the engine", child.tail(folder)).message)
        last = child.tail(folder).strip().splitlines()[-1:]
        return _ended(folder, data.batch, f"the process that runs it ended with status {code}: {''.join(last)}")


def judged(result: RaceResult) -> tuple[Way, str]:
    """The way to take and why: the faster of those that answer right. Within noise it is the one without plugins."""
    plugin, inline = result.plugin, result.inline
    if plugin.problem or inline.problem:
        if plugin.right and not plugin.problem:
            return "plugin", f"the engine without plugins could not be judged: {inline.problem}"
        found = {"with plugins": plugin.problem, "without": inline.problem}
        told = "; ".join(f"{name}: {problem}" for name, problem in found.items() if problem)
        return "inline", f"the engines could not be compared ({told})"
    if not plugin.right:
        return "inline", f"with plugins the golden answers are missed ({_errors(plugin)})"
    if not inline.right:
        return "plugin", f"without plugins the golden answers are missed ({_errors(inline)}), with them they are met"
    if plugin.seconds is None or inline.seconds is None or result.ratio is None:
        return "inline", "both engines answer right and neither was timed"
    told = (
        f"with plugins {plugin.seconds * 1e3:.4g} ms, without {inline.seconds * 1e3:.4g} ms at batch {result.batch}, "
        f"ratio {result.ratio:.3g} ({result.low:.3g} to {result.high:.3g})"
    )
    if result.verdict == "faster":
        return "plugin", f"faster with plugins: {told}"
    if result.verdict == "slower":
        return "inline", f"slower with plugins: {told}"
    return "inline", f"as fast without plugins, within noise: {told}"


def _write(folder: Path, plans: Mapping[Way, bytes], data: RaceData, flavour: FlavourName) -> None:
    for way, plan in plans.items():
        (folder / f"{way}.plan").write_bytes(plan)
    for kind, arrays in (("input", data.inputs), ("output", data.expected)):
        for index, array in enumerate(arrays.values()):
            np.save(folder / f"{kind}_{index}.npy", array, allow_pickle=False)
    request = RaceRequest(
        flavour=flavour,
        inputs=tuple(data.inputs),
        outputs=tuple(data.expected),
        tolerances=tuple(data.tolerances[name] for name in data.expected),
        batch=data.batch,
        parent=os.getpid(),
    )
    (folder / protocol.REQUEST).write_bytes(msgspec.json.encode(request))


def _ended(folder: Path, batch: int, problem: str) -> RaceResult:
    """The result of a child that ended without one: the engine that was at work is to blame, and the other unjudged."""
    stage = folder / STAGE
    at_work = stage.read_text(encoding="utf-8") if stage.exists() else ""
    unjudged = "the process ended before it was judged"
    guilty = {way: Contender(problem=problem if at_work in (way, "") else unjudged) for way in ("plugin", "inline")}
    return RaceResult(plugin=guilty["plugin"], inline=guilty["inline"], batch=batch)


def _errors(contender: Contender) -> str:
    return ", ".join(f"{name} is off by {error:.3g}" for name, error in contender.errors.items())
