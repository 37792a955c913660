"""The child process that runs two engines against each other: `python -m edgefer.engine.race_worker FOLDER`."""

from __future__ import annotations

import contextlib
import faulthandler
import statistics
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from edgefer import atomic
from edgefer.benchmark.interleaved import interleaved
from edgefer.benchmark.statistics import ratio
from edgefer.benchmark.steady import Patience
from edgefer.benchmark.timeline import Effort
from edgefer.engine.builder import BuildLog
from edgefer.engine.decision import Contender, RaceResult, Way
from edgefer.engine.flavours import load
from edgefer.engine.protocol import FAILURE, REQUEST, Failure
from edgefer.engine.race import RESULT, STAGE, RaceData, RaceRequest
from edgefer.engine.race_engine import RaceEngine, rows, runtime_of
from edgefer.engine.register import register_plugins
from edgefer.engine.worker import die_with_parent
from edgefer.errors import DeviceError, EdgeferError
from edgefer.kernels.driver import Driver
from edgefer.numeric_error import relative_error

WAYS: tuple[Way, ...] = ("inline", "plugin")
"""The engine without plugins goes first: where the other one ends the process, this one has been judged."""

BLOCK_SECONDS = 0.005
"""A block of replays is at least so long, far above what an event resolves."""
EFFORT = Effort(runs=60, seconds=2.0, most_seconds=30.0, confidence=0.99)
PATIENCE = Patience(runs=40, seconds=0.5, most_seconds=10.0)
MOST_REPLAYS = 1000

Array = npt.NDArray[Any]
Open = Callable[[Way], RaceEngine]


def main(arguments: list[str]) -> int:
    """Answer what the folder asks; 0 when a result was written, 1 when a failure was."""
    faulthandler.enable()
    folder = Path(arguments[0])
    try:
        request = msgspec.json.decode((folder / REQUEST).read_bytes(), type=RaceRequest)
        die_with_parent(request.parent)
        result = _race(folder, request)
    except EdgeferError as error:
        failure = Failure(kind=type(error).__name__, message=error.message, hint=error.hint, details=error.details)
        atomic.write_bytes(folder / FAILURE, msgspec.json.encode(failure))
        return 1
    atomic.write_bytes(folder / RESULT, msgspec.json.encode(result))
    return 0


def _race(folder: Path, request: RaceRequest) -> RaceResult:
    flavour = load(request.flavour)
    register_plugins(flavour)
    driver = Driver()
    # Held until the process ends, and not released: TensorRT's objects are in it to the end.
    context = driver.retain(0)
    inputs = {name: np.load(folder / f"input_{index}.npy") for index, name in enumerate(request.inputs)}
    expected = {name: np.load(folder / f"output_{index}.npy") for index, name in enumerate(request.outputs)}
    tolerances = dict(zip(request.outputs, request.tolerances, strict=True))
    log = BuildLog()
    with driver.current(context):
        runtime, _logger = runtime_of(flavour.module, log)

        def opened(way: Way) -> RaceEngine:
            plan = (folder / f"{way}.plan").read_bytes()
            return RaceEngine(flavour.module, plan, driver, batch=request.batch, runtime=runtime, log=log)

        def stage(name: str) -> None:
            (folder / STAGE).write_text(name, encoding="utf-8")

        return compete(opened, RaceData(inputs, expected, tolerances, request.batch), stage=stage)


def compete(
    opened: Open,
    data: RaceData,
    *,
    stage: Callable[[str], None] = lambda name: None,
    effort: Effort = EFFORT,
    patience: Patience = PATIENCE,
) -> RaceResult:
    """Both engines answer the golden inputs, and those that do are timed in turn.

    Args:
        opened: makes an engine ready.
        data: what they are judged by.
        stage: is told which engine is at work.
        effort: how much is timed; `runs` are blocks of each.
        patience: how long each is warmed up.
    """
    engines: dict[Way, RaceEngine] = {}
    contenders: dict[Way, Contender] = {}
    answers: dict[Way, dict[str, Array]] = {}
    try:
        for way in WAYS:
            stage(way)
            try:
                engines[way] = opened(way)
                answers[way] = _answers(engines[way], data)
                contenders[way] = _judged(answers[way], data)
                engines[way].capture()
            except EdgeferError as error:
                contenders[way] = _failed(contenders.get(way), error)
        stage("")
        result = RaceResult(plugin=contenders["plugin"], inline=contenders["inline"], batch=data.batch)
        if len(answers) == len(WAYS):
            result = msgspec.structs.replace(result, difference=_differences(answers))
        if all(each.right and not each.problem for each in contenders.values()):
            result = _timed(result, engines, effort, patience)
        return result
    finally:
        for engine in engines.values():
            # A kernel that failed has broken the context, which then refuses this too; the process ends anyway.
            with contextlib.suppress(DeviceError):
                engine.close()


def _answers(engine: RaceEngine, data: RaceData) -> dict[str, Array]:
    count = len(next(iter(data.inputs.values())))
    batches = rows(count, data.batch)
    pieces = [engine.run({name: values[each] for name, values in data.inputs.items()}) for each in batches]
    return {name: np.concatenate([piece[name] for piece in pieces])[:count] for name in pieces[0]}


def _judged(answers: Mapping[str, Array], data: RaceData) -> Contender:
    missing = [name for name in data.expected if name not in answers]
    if missing:
        return Contender(problem=f"the engine has no output {', '.join(missing)}")
    errors = {name: relative_error(answers[name], values) for name, values in data.expected.items()}
    return Contender(errors=errors, right=all(error <= data.tolerances[name] for name, error in errors.items()))


def _failed(before: Contender | None, error: EdgeferError) -> Contender:
    """What failed after the answers were judged leaves them judged."""
    return msgspec.structs.replace(before or Contender(), problem=error.message)


def _differences(answers: Mapping[Way, Mapping[str, Array]]) -> dict[str, float]:
    return {
        name: relative_error(values, answers["inline"][name])
        for name, values in answers["plugin"].items()
        if name in answers["inline"]
    }


def _timed(result: RaceResult, engines: Mapping[Way, RaceEngine], effort: Effort, patience: Patience) -> RaceResult:
    """Blocks of replays in turn, timed by the GPU's own events and paired by round."""
    longest = max(statistics.median(engine.replay(1) for _ in range(5)) for engine in engines.values())
    replays = max(1, min(MOST_REPLAYS, round(BLOCK_SECONDS / longest))) if longest > 0 else MOST_REPLAYS
    seconds: dict[Way, list[float]] = {way: [] for way in engines}

    def block(way: Way) -> Callable[[], None]:
        return lambda: seconds[way].append(engines[way].replay(replays) / replays)

    found = interleaved({way: block(way) for way in engines}, effort=effort, patience=patience)
    # Warming up came first, and called the same blocks.
    counted = {way: np.asarray(values[-found.rounds :]) for way, values in seconds.items()}
    compared = ratio(counted["plugin"], counted["inline"], paired=True, confidence=effort.confidence)
    medians = {way: float(np.median(values)) for way, values in counted.items()}
    return msgspec.structs.replace(
        result,
        plugin=msgspec.structs.replace(result.plugin, seconds=medians["plugin"]),
        inline=msgspec.structs.replace(result.inline, seconds=medians["inline"]),
        ratio=compared.value,
        low=compared.interval.low,
        high=compared.interval.high,
        confidence=compared.interval.confidence,
        verdict=compared.verdict,
        replays=replays,
        blocks=found.rounds,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
