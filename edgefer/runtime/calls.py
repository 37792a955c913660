"""From checked examples to answers: in the batches of the graph, at once or later, into memory of the caller's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefer.bundle.manifest import GraphSpec, InputSpec
from edgefer.errors import InputError
from edgefer.runtime.answers import Answers
from edgefer.runtime.binding import Bound
from edgefer.runtime.device_array import DeviceArray, device_array
from edgefer.runtime.estimate import Estimate
from edgefer.runtime.out_arrays import Arrays, OutCheck, copied_into
from edgefer.runtime.pending import PendingEstimate
from edgefer.runtime.runner import Outputs, Runner, Submitted
from edgefer.runtime.tensor_check import Check

Submit = Callable[[Mapping[str, Any], Arrays | None], Submitted]


class Calls:
    """Runs one graph for a session. Holds no state that a call changes.

    Args:
        graph: the graph.
        batches: that the runner takes, largest first.
        answers: reads the estimates.
        check: what checks a feed.
    """

    def __init__(self, graph: GraphSpec, batches: tuple[int, ...], answers: Answers, check: Check) -> None:
        self._graph, self._batches, self._answers, self._check = graph, batches, answers, check
        self._single = 1 in batches
        self._out_check: OutCheck | None = None

    def one(self, runner: Runner, bound: Bound, out: Arrays | None = None) -> Estimate:
        """The estimate of one example.

        Raises:
            InputError: the graph has no logits, or they are not finite, or `out` cannot be written to.
        """
        self._answers.check()
        if self._single:
            outputs = runner.run(bound.feeds) if out is None else runner.run(bound.feeds, self._checked(runner, out, 1))
        else:
            into = None if out is None else self._checked(runner, out, 1)
            outputs = _first(runner.run(self._padded([bound], self._batches[-1])), into)
        return self._answers.estimate(outputs, 0, bound.modalities)

    def later(self, runner: Runner, submit: Submit, bound: Bound, out: Arrays | None = None) -> PendingEstimate:
        """`one` without waiting for it.

        Raises:
            InputError: the graph has no logits, or `out` cannot be written to.
        """
        self._answers.check()
        into = None if out is None else self._checked(runner, out, 1)
        if self._single:
            return PendingEstimate(
                submit(bound.feeds, into), lambda outputs: self._answers.estimate(outputs, 0, bound.modalities)
            )
        return PendingEstimate(
            submit(self._padded([bound], self._batches[-1]), None),
            lambda outputs: self._answers.estimate(_first(outputs, into), 0, bound.modalities),
        )

    def several(self, runner: Runner, examples: Sequence[Bound]) -> list[Estimate]:
        """The estimates of all, in order. What lies in GPU memory is not put together into larger batches.

        Raises:
            InputError: the graph has no logits, or they are not finite; or an example is in GPU memory and the graph
                takes no batch of 1.
        """
        self._answers.check()
        if self._single and any(bound.on_gpu for bound in examples):
            return [self.one(runner, bound) for bound in examples]
        answers: list[Estimate] = []
        while len(answers) < len(examples):
            left = examples[len(answers) :]
            batch = next((size for size in self._batches if size <= len(left)), self._batches[-1])
            answers += self._chunk(runner, left[:batch], batch)
        return answers

    def raw(self, runner: Runner, feeds: Mapping[str, Any], out: Arrays | None = None) -> Outputs:
        """Every output by name, for feeds by input name.

        Raises:
            InputError: the feeds are not what a batch of the graph takes, or `out` cannot be written to.
        """
        if not isinstance(feeds, Mapping):
            raise InputError(
                f"the feeds are a {type(feeds).__name__}, expected arrays by the names of inputs",
                hint=f"such as {{'{self._graph.inputs[0].name}': array}}",
            )
        known = {spec.name: spec for spec in self._graph.inputs}
        unknown, missing = sorted(feeds.keys() - known.keys()), sorted(known.keys() - feeds.keys())
        if unknown or missing:
            raise InputError(
                f"the feeds do not match the inputs: unknown {unknown}, missing {missing}",
                hint=f"it takes: {', '.join(known)}",
            )
        batch = self.batch_of(feeds) if known else self._batches[-1]
        checked = {name: self._check(feeds[name], spec, (batch, *spec.shape[1:])) for name, spec in known.items()}
        return runner.run(checked) if out is None else runner.run(checked, self._checked(runner, out, batch))

    def bindable(self, specs: Mapping[str, InputSpec], arrays: Mapping[str, object]) -> dict[str, DeviceArray]:
        """Arrays in GPU memory by input name, checked against these inputs, which are by the same keys as they.

        Raises:
            InputError: one is not in GPU memory, or not of the shape and type of the input.
        """
        found = {}
        for key, spec in specs.items():
            array = device_array(arrays[key], spec.name)
            if array is None:
                kind = f"{type(arrays[key]).__module__}.{type(arrays[key]).__name__}"
                raise InputError(
                    f"input '{spec.name}' is a {kind}, and only arrays in GPU memory can be bound",
                    hint="give arrays on the host to Session.infer as they are",
                )
            found[spec.name] = array
        batch = self.batch_of(found)
        for spec in specs.values():
            self._check(found[spec.name].owner, spec, (batch, *spec.shape[1:]))
        return found

    def batch_of(self, arrays: Mapping[str, Any]) -> int:
        """The batch of arrays on the host or in GPU memory.

        Raises:
            InputError: it is not the same for all, or none that the graph takes.
        """
        lengths = {_length(value, name) for name, value in arrays.items()}
        if len(lengths) != 1 or not lengths <= set(self._batches):
            raise InputError(
                f"the feeds have the batches {sorted(lengths)}, expected the same for all, one of {self._batches}"
            )
        return lengths.pop()

    def _chunk(self, runner: Runner, chunk: Sequence[Bound], batch: int) -> list[Estimate]:
        outputs = runner.run(chunk[0].feeds if batch == 1 else self._padded(chunk, batch))
        return [self._answers.estimate(outputs, row, bound.modalities) for row, bound in enumerate(chunk)]

    def _padded(self, chunk: Sequence[Bound], batch: int) -> dict[str, npt.NDArray[Any]]:
        """The feeds of a batch. In a graph for larger ones the last example fills the rest; its answers are dropped."""
        if any(bound.on_gpu for bound in chunk):
            raise InputError(
                f"an example in GPU memory cannot be put into a batch of {batch}, and graph '{self._graph.role}' takes "
                "no single one",
                hint="Session.run takes arrays of a whole batch; or build the bundle with --batch 1 as well",
            )
        filled = [*chunk, *[chunk[-1]] * (batch - len(chunk))]
        return {name: np.concatenate([bound.feeds[name] for bound in filled]) for name in filled[0].feeds}

    def _checked(self, runner: Runner, out: Arrays, batch: int) -> Arrays:
        if self._out_check is None:
            self._out_check = OutCheck(self._graph, getattr(runner, "output_types", {}))
        return self._out_check(out, batch)


def _first(outputs: Outputs, out: Arrays | None) -> Outputs:
    """The outputs of the first example of a batch, with its axis."""
    first = {name: value[:1] for name, value in outputs.items()}
    return first if out is None else copied_into(out, first)


def _length(value: Any, name: str) -> int:
    shape = getattr(value, "shape", None)
    if shape is None:  # all that the CUDA Array Interface asks of an array is to say where it lies
        on_gpu = device_array(value, name)
        shape = np.shape(value) if on_gpu is None else on_gpu.shape
    return int(shape[0]) if len(shape) else 0
