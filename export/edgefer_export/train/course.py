"""What a training has done so far, which epoch was the best, and whether it should go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgefer_export.train.result import EpochFigure, Stopped
from edgefer_export.train.state import figures_as_plain, figures_from_plain


@dataclass
class Course:
    """The epochs of a training.

    Attributes:
        history: one figure per epoch.
        best: the figure of the epoch whose weights the checkpoint holds.
        steps: batches trained.
        waited: epochs since one was strictly better than all before it.
        seconds: wall-clock time of the runs before this one, where it was resumed.
        stopped: why it is over; None while it is not.
    """

    history: list[EpochFigure] = field(default_factory=list)
    best: EpochFigure | None = None
    steps: int = 0
    waited: int = 0
    seconds: float = 0.0
    stopped: Stopped | None = None

    def add(self, figure: EpochFigure) -> tuple[bool, bool]:
        """Take in an epoch; whether it is at least as good as the best so far, and whether it is better.

        More correct answers are better; where a network does not classify, a lower loss on the validation is.
        """
        at_least, better = _compared(figure, self.best)
        self.history.append(figure)
        if at_least:
            self.best = figure
        self.waited = 0 if better else self.waited + 1
        return at_least, better

    def plain(self, seconds: float) -> dict[str, Any]:
        """This as JSON can hold it, after `seconds` in all."""
        return {
            "history": figures_as_plain(self.history),
            "best": None if self.best is None else self.best.epoch,
            "steps": self.steps,
            "waited": self.waited,
            "seconds": seconds,
            "stopped": self.stopped,
        }


def course_from_plain(plain: Mapping[str, Any]) -> Course:
    """The course that `Course.plain` described."""
    history = figures_from_plain(plain["history"])
    best = next((figure for figure in history if figure.epoch == plain["best"]), None)
    return Course(history, best, plain["steps"], plain["waited"], plain["seconds"], plain["stopped"])


def _compared(figure: EpochFigure, best: EpochFigure | None) -> tuple[bool, bool]:
    if best is None:
        return True, True
    if figure.correct is not None and best.correct is not None:
        return figure.correct >= best.correct, figure.correct > best.correct
    if figure.validation_loss is None or best.validation_loss is None:
        raise ValueError("an epoch has neither correct answers nor a loss on the validation")
    return figure.validation_loss <= best.validation_loss, figure.validation_loss < best.validation_loss
