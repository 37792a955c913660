"""The course of a training as it goes: a table of epochs as CSV, and TensorBoard's files where that is installed."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from edgefer.atomic import write_text
from edgefer.errors import EnvironmentMismatch
from edgefer_export.train.result import EpochFigure

_COLUMNS = ("epoch", "steps", "loss", "correct", "count", "validation_loss", "rate", "seconds")


class Log(Protocol):
    """Hears of the epochs so far after each; the newest is the last."""

    def __call__(self, history: Sequence[EpochFigure]) -> None: ...


class CsvLog:
    """One row an epoch in `path`, with a column for each term of the loss; the whole file is written each time, in one
    rename, so that a resumed training leaves one table of all of its epochs."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, history: Sequence[EpochFigure]) -> None:
        terms = sorted({name for figure in history for name in figure.losses})
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow([*_COLUMNS, *(f"loss {name}" for name in terms)])
        for figure in history:
            values = [getattr(figure, name) for name in _COLUMNS]
            rows.writerow([_cell(value) for value in (*values, *(figure.losses.get(name) for name in terms))])
        write_text(self._path, text.getvalue())


class TensorBoardLog:
    """Scalars in the folder `path`.

    Raises:
        EnvironmentMismatch: TensorBoard is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise EnvironmentMismatch(
                f"TensorBoard's files cannot be written to {path}: the package tensorboard is not installed",
                hint="pip install tensorboard, or take --log FILE.csv",
            ) from error
        self._writer: Any = SummaryWriter(str(path))

    def __call__(self, history: Sequence[EpochFigure]) -> None:
        figure = history[-1]
        scalars = {"loss": figure.loss, "rate": figure.rate, "validation loss": figure.validation_loss}
        if figure.correct is not None:
            scalars["validation accuracy"] = figure.correct / figure.count
        scalars.update({f"loss/{name}": value for name, value in figure.losses.items()})
        for name, value in scalars.items():
            if value is not None:
                self._writer.add_scalar(name, value, figure.epoch)
        self._writer.flush()


def open_logs(csv_file: Path | None, tensorboard: Path | None) -> list[Log]:
    """The logs that were asked for.

    Raises:
        EnvironmentMismatch: TensorBoard was asked for and is not installed.
    """
    logs: list[Log] = []
    if csv_file is not None:
        logs.append(CsvLog(csv_file))
    if tensorboard is not None:
        logs.append(TensorBoardLog(tensorboard))
    return logs


def _cell(value: object) -> object:
    if value is None:
        return ""
    return f"{value:.8g}" if isinstance(value, float) else value
