"""Schedules of the learning rate behind one small interface, written as text: `step:10:0.1`, `cosine:3`, ...

A schedule gives the share of the highest learning rate. The one cycle follows the progress of the whole training, which
a time limit may hasten; all others count epochs or steps, and a time limit only cuts them short.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from edgefer.errors import UsageError
from edgefer_export.networks.options import did_you_mean
from edgefer_export.train.schedule import rate as one_cycle

GRAMMAR = (
    "one-cycle, constant, step:EPOCHS:FACTOR, cosine:EPOCHS, cosine-as-run:EPOCHS, plateau:EPOCHS:FACTOR, inverse:D"
)


@dataclass(frozen=True)
class Moment:
    """Where a training is: `progress` 0 to 1, and the updates done before."""

    progress: float
    step: int


class Rates:
    """A schedule. This one is constant; the others change what they need.

    `begin` is called before every epoch and `end` after it, with the share of validation samples that were right (None
    where there is no right and wrong) and whether the epoch was better than all before. `state` is all that changes.
    """

    parameters: ClassVar[int] = 0

    def __init__(self) -> None:
        self.state: dict[str, float] = {}

    def share(self, moment: Moment) -> float:
        """The share of the highest learning rate at this moment."""
        return 1.0

    def begin(self) -> None:
        """An epoch begins."""

    def end(self, accuracy: float | None, better: bool) -> None:
        """An epoch is over."""


class OneCycle(Rates):
    """Up over the first fifth and down along cosines, see `schedule.rate`."""

    def share(self, moment: Moment) -> float:
        return one_cycle(moment.progress)


class Steps(Rates):
    """Times `factor` after every `every` epochs."""

    parameters = 2

    def __init__(self, every: float, factor: float) -> None:
        _require("step", every >= 1 and every == int(every), "EPOCHS is a whole number, 1 or more")
        _require("step", 0 < factor < 1, "FACTOR lies between 0 and 1")
        self._every, self._factor = every, factor
        self.state = {"epochs": 0}

    def share(self, moment: Moment) -> float:
        return float(self._factor ** (self.state["epochs"] // self._every))

    def end(self, accuracy: float | None, better: bool) -> None:
        self.state["epochs"] += 1


class Cosine(Rates):
    """(1 + cos(pi t / T)) / 2 with t the epochs done: to 0 after T epochs and back after 2 T, over and over.

    Loshchilov and Hutter, "SGDR" (ICLR 2017), equation 5 without the restart: torch's CosineAnnealingLR stepped once an
    epoch, as Naseem et al. 2025 ran their fusion with T = 3.
    """

    parameters = 1

    def __init__(self, period: float) -> None:
        _require("cosine", period > 0, "EPOCHS is positive")
        self._period = period
        self.state = {"position": 0.0}

    def share(self, moment: Moment) -> float:
        return 0.5 * (1 + math.cos(math.pi * self.state["position"] / self._period))

    def end(self, accuracy: float | None, better: bool) -> None:
        self.state["position"] += 1


class CosineAsRun(Cosine):
    """The same as Naseem et al. 2025 ran it for one camera: stepped before each epoch, and after it with the validation
    accuracy in place of the number of epochs.

    So t is 1 in the first epoch and 1 + accuracy in every later one: with T = 3 the rate lies between 0.75 and 0.25 of
    the highest one and falls as the validation improves.
    """

    def begin(self) -> None:
        self.state["position"] += 1

    def end(self, accuracy: float | None, better: bool) -> None:
        if accuracy is None:
            raise UsageError(
                "cosine-as-run follows the validation accuracy, which a network without classes does not have",
                hint="take --schedule cosine:3",
            )
        self.state["position"] = accuracy


class Plateau(Rates):
    """Times `factor` whenever more than `patience` epochs in a row were no better than the best before."""

    parameters = 2

    def __init__(self, patience: float, factor: float) -> None:
        _require("plateau", patience >= 0 and patience == int(patience), "EPOCHS is a whole number")
        _require("plateau", 0 < factor < 1, "FACTOR lies between 0 and 1")
        self._patience, self._factor = patience, factor
        self.state = {"waited": 0, "share": 1.0}

    def share(self, moment: Moment) -> float:
        return self.state["share"]

    def end(self, accuracy: float | None, better: bool) -> None:
        self.state["waited"] = 0 if better else self.state["waited"] + 1
        if self.state["waited"] > self._patience:
            self.state.update(waited=0, share=self.state["share"] * self._factor)


class Inverse(Rates):
    """1 / (1 + D t) with t the updates done: what Keras calls the decay of its SGD."""

    parameters = 1

    def __init__(self, decay: float) -> None:
        _require("inverse", decay >= 0, "D is 0 or more")
        self._decay = decay
        self.state = {}

    def share(self, moment: Moment) -> float:
        return 1.0 / (1.0 + self._decay * moment.step)


_MAKERS: dict[str, Callable[..., Rates]] = {
    "one-cycle": OneCycle,
    "constant": Rates,
    "step": Steps,
    "cosine": Cosine,
    "cosine-as-run": CosineAsRun,
    "plateau": Plateau,
    "inverse": Inverse,
}


def make_rates(text: str) -> Rates:
    """The schedule that `text` stands for, at its beginning.

    Raises:
        UsageError: the name is unknown, or the numbers behind it are not what it takes.
    """
    name, *words = text.split(":")
    maker = _MAKERS.get(name)
    if maker is None:
        raise UsageError(
            f"{name!r} is no schedule; expected one of {GRAMMAR}", hint=did_you_mean(name, _MAKERS) or "see --recipes"
        )
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        raise UsageError(f"{text!r} is no schedule: {':'.join(words)} are not numbers", hint=GRAMMAR) from None
    expected = maker.parameters  # type: ignore[attr-defined]
    if len(numbers) != expected or not all(map(math.isfinite, numbers)):
        raise UsageError(
            f"{text!r} is no schedule: {name} takes {expected} numbers, found {len(numbers)}", hint=GRAMMAR
        )
    return maker(*numbers)


def _require(name: str, holds: bool, expected: str) -> None:
    if not holds:
        raise UsageError(f"the schedule {name} cannot be so: {expected}", hint=GRAMMAR)
