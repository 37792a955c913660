"""Whether an engine may answer for its bundle on this machine, judged before anybody asks it.

Three things go wrong with engines that load without an error: they compute something else (a tactic that is wrong on
this GPU, a plan for another graph), they do not compute the same twice (a race in a kernel, memory that is shared by
mistake), or they compute nothing (a graph that captured nothing answers with what was there before). Each is looked
for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import GraphSpec
from edgefer.engine.race import RaceData, race_data
from edgefer.engine.race_engine import rows
from edgefer.errors import BundleError, EngineIncompatible
from edgefer.numeric_error import relative_error

Array = npt.NDArray[Any]
Arrays = dict[str, Array]
Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]

_SEED = 11
_HINT = "device='cpu' answers meanwhile; an engine with plugins may be right without them: plugins='inline'"


class UnfitEngine(EngineIncompatible):
    """The engine itself is to blame, and not what the GPU is short of: it should not be used again."""


def judge(bundle: Bundle, graph: GraphSpec, lanes: Sequence[Run], batches: Sequence[int]) -> str:
    """Judge an engine by the golden inputs; a sentence that says by what.

    Args:
        bundle: where the golden inputs and the tolerances are.
        graph: which graph of it.
        lanes: each runs one batch: outputs by name for inputs by name. The first one answers all golden inputs in
            every batch, the others one batch of them.
        batches: that they take.

    Raises:
        UnfitEngine: an answer is outside of the manifest's tolerance, or not the same twice, or the same for other
            inputs. The message says which.
        BundleError: the golden arrays do not fit the graph.
    """
    data, why_not = race_data(bundle, graph)
    if data is None:
        first = made_up(graph)
        _check_repeats(lanes, batches, (first, _negated(first, graph)))
        return f"{why_not}: only that it repeats itself bit for bit, and that its answers depend on its inputs"
    _check_shapes(data, graph)
    worst = 0.0
    for number, run in enumerate(lanes):
        for batch in batches:
            worst = max(worst, _check_answers(data, run, batch, first_only=number > 0))
    _check_repeats(lanes, batches, _two(data, graph))
    count = len(next(iter(data.expected.values())))
    return (
        f"{count} golden inputs answered in the batches {', '.join(map(str, batches))} within {worst:.2g} of what is "
        "expected, twice the same bit for bit"
    )


def _check_shapes(data: RaceData, graph: GraphSpec) -> None:
    count = len(next(iter(data.expected.values())))
    specs = {spec.name: spec.shape[1:] for spec in graph.inputs} | {spec.name: spec.shape[1:] for spec in graph.outputs}
    for name, array in (*data.inputs.items(), *data.expected.items()):
        if array.shape != (count, *specs[name]) or not count:
            raise BundleError(
                f"the golden array for '{name}' has the shape {array.shape}, expected {(count, *specs[name])}",
                hint="build the bundle again",
            )


def _check_answers(data: RaceData, run: Run, batch: int, *, first_only: bool) -> float:
    """The largest error of one lane in one batch."""
    count = len(next(iter(data.expected.values())))
    worst = 0.0
    for each in rows(count, batch)[: 1 if first_only else None]:
        found = run({name: values[each] for name, values in data.inputs.items()})
        for name, expected in data.expected.items():
            if name not in found:
                raise UnfitEngine(f"the engine has no output '{name}', which the bundle has", hint=_HINT)
            error = relative_error(found[name], expected[each])
            if not error <= data.tolerances[name]:
                raise UnfitEngine(
                    f"the engine answers the golden inputs wrong on this machine: output '{name}' differs from the "
                    f"expected by {error:.3g} in a batch of {batch}, and the tolerance is {data.tolerances[name]:g}",
                    hint=_HINT,
                )
            worst = max(worst, error)
    return worst


def _check_repeats(lanes: Sequence[Run], batches: Sequence[int], feeds: tuple[Arrays, Arrays]) -> None:
    """Twice the same, and another answer for another input, of every lane in every batch."""
    for run in lanes:
        for batch in batches:
            one, other = ({name: np.repeat(value, batch, axis=0) for name, value in each.items()} for each in feeds)
            # At once, and after another input, whose traces in memory it must not see.
            first, again, between, later = run(one), run(one), run(other), run(one)
            for name, values in first.items():
                if _differ(values, again[name]) or _differ(values, later[name]):
                    raise UnfitEngine(
                        f"the engine gave two answers for one input: output '{name}' is not the same bit for bit in a "
                        f"batch of {batch}",
                        hint=_HINT,
                    )
            if not any(_differ(first[name], between[name]) for name in first) and any(_floats(first)):
                raise UnfitEngine(
                    f"the engine answers another input with the very same bits in a batch of {batch}: it does not read "
                    "its inputs",
                    hint=_HINT,
                )


def _differ(one: Array, other: Array) -> bool:
    return one.tobytes() != other.tobytes()


def _floats(outputs: Mapping[str, Array]) -> Iterator[str]:
    """Classes and masks may well be the same for two inputs; numbers with fractions are not."""
    return (name for name, values in outputs.items() if values.dtype.kind == "f")


def _two(data: RaceData, graph: GraphSpec) -> tuple[Arrays, Arrays]:
    """One golden input, and another that has another answer; where none has, the first one negated."""
    first = {name: values[:1] for name, values in data.inputs.items()}
    for row in range(1, len(next(iter(data.expected.values())))):
        if any(_differ(values[:1], values[row : row + 1]) for values in data.expected.values()):
            return first, {name: values[row : row + 1] for name, values in data.inputs.items()}
    return first, _negated(first, graph)


def made_up(graph: GraphSpec) -> Arrays:
    """Inputs of one example that no camera gave: noise, with every camera there."""
    generator = np.random.default_rng(_SEED)
    return {
        spec.name: np.ones((1, *spec.shape[1:]), np.float32)
        if spec.role == "present"
        else generator.standard_normal((1, *spec.shape[1:])).astype(np.float32)
        for spec in graph.inputs
    }


def _negated(feeds: Arrays, graph: GraphSpec) -> Arrays:
    """A mask of the cameras that are there stays one."""
    masks = {spec.name for spec in graph.inputs if spec.role == "present"}
    return {name: value if name in masks else -value for name, value in feeds.items()}
