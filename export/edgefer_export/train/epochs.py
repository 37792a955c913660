"""The epochs of a training: train, validate, keep the best, and be able to go on later."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from edgefer.errors import CheckpointError, TrainingError
from edgefer.progress import Reporter
from edgefer_export.checkpoint import metadata_of, read_metadata, save_checkpoint
from edgefer_export.train.augment import augmentation
from edgefer_export.train.cache import SampleCache
from edgefer_export.train.course import Course, course_from_plain
from edgefer_export.train.log import Log
from edgefer_export.train.loop import Trainer, chosen_arithmetic, epoch
from edgefer_export.train.orders import Orders
from edgefer_export.train.rates import Moment
from edgefer_export.train.result import EpochFigure, TrainResult
from edgefer_export.train.schedule import Schedule
from edgefer_export.train.setup import Material
from edgefer_export.train.spec import DEFAULT_EPOCHS, TrainSpec
from edgefer_export.train.state import State, identity, read_state, state_path, write_state

# Held back from a time limit for the last validation and for writing the checkpoint.
_CLOSING_SECONDS = 2.0


@dataclass(frozen=True)
class Caches:
    """The samples to train on and those to choose the best epoch by."""

    train: SampleCache
    validation: SampleCache


class Epochs:
    """A training under way. `course` is what it has done; `planned` the steps that it will do at most."""

    def __init__(self, spec: TrainSpec, material: Material, caches: Caches, reporter: Reporter, started: float) -> None:
        self._spec, self._material, self._caches = spec, material, caches
        self._reporter, self._started = reporter, started
        network = material.network
        self._arithmetic = chosen_arithmetic(spec.arithmetic)
        loss = network.options.get("loss", "ce_on_logits")
        names = tuple(each.name for each in network.inputs)
        self._trainer = Trainer(network.module, spec, loss, self._arithmetic, names)
        self._orders = Orders(
            caches.train.labels.numpy(), spec.batch, spec.seed, sampler=spec.sampler, samples=spec.epoch_samples
        )
        self._generator = torch.Generator().manual_seed(spec.seed)
        self._augment = augmentation(spec, network.inputs, self._generator)
        self.planned = _planned(spec, self._orders.batches)
        self.course = Course()
        self._written: EpochFigure | None = None
        self._identity: dict[str, Any] = {}
        if spec.resume:
            self._go_on()
        deadline = None
        if spec.minutes is not None:
            deadline = started + 60.0 * spec.minutes - _CLOSING_SECONDS - self.course.seconds
        self._schedule = Schedule(self.planned, deadline)

    def run(self, logs: Sequence[Log]) -> None:
        """All epochs that are left.

        Raises:
            TrainingError: a loss is not finite, or the checkpoint cannot be written.
        """
        with self._reporter.task("training", self.planned) as advance:
            advance(self.course.steps)
            while self.course.stopped is None and self._progress() < 1.0:
                figure = self._epoch(advance)
                if figure is None:
                    break
                for log in logs:
                    log(self.course.history)

    def result(self) -> TrainResult:
        """What came of it.

        Raises:
            TrainingError: nothing did, because the time was over before the first step.
        """
        course, network = self.course, self._material.network
        if course.best is None:
            raise TrainingError(
                f"the time limit of {self._spec.minutes or 0:g} minutes was over before the first step",
                hint="allow more minutes, or give less data",
            )
        return TrainResult(
            path=self._spec.output,
            network=network.name,
            labels=network.labels,
            correct=course.best.correct,
            count=course.best.count,
            samples=len(self._caches.train),
            best_epoch=course.best.epoch,
            steps=course.steps,
            stopped=course.stopped or ("finished" if course.steps >= self.planned else "time limit"),
            arithmetic=self._arithmetic,
            seconds=self._seconds(),
            history=tuple(course.history),
            validation_loss=course.best.validation_loss,
        )

    def kept(self) -> str:
        """A sentence about what is on disk."""
        best = self._written
        if best is None:
            return "Nothing was written: no epoch was finished."
        how = f"with {best.correct} of {best.count} validation samples right"
        if best.correct is None:
            how = f"with a loss of {best.validation_loss:.4g} on the validation"
        again = " The same command goes on from there." if self._spec.resume else ""
        return f"{self._spec.output} keeps epoch {best.epoch}, {how}.{again}"

    def _progress(self) -> float:
        return 1.0 if self.course.steps >= self.planned else self._schedule.progress(self.course.steps)

    def _moment(self) -> Moment:
        return Moment(self._schedule.progress(self.course.steps), self.course.steps)

    def _seconds(self) -> float:
        return self.course.seconds + time.monotonic() - self._started

    def _epoch(self, advance: Callable[[int], None]) -> EpochFigure | None:
        """One epoch; None where the time was over before its first step."""
        began, course, trainer = time.monotonic(), self.course, self._trainer
        order = self._orders.draw()[: self.planned - course.steps]
        trainer.rates.begin()
        terms: list[dict[str, float]] = []
        for values in epoch(trainer, self._caches.train, self._augment, order, self._moment):
            terms.append(values)
            course.steps += 1
            advance(1)
        if not terms:
            return None
        first = trainer.optimiser.param_groups[0]
        validation = self._caches.validation
        classifies = self._material.network.logits is not None
        figure = EpochFigure(
            epoch=len(course.history) + 1,
            steps=len(terms),
            loss=float(np.mean([sum(values.values()) for values in terms])),
            correct=trainer.correct(validation) if classifies else None,
            count=len(validation),
            seconds=time.monotonic() - began,
            losses={name: float(np.mean([values[name] for values in terms])) for name in terms[0]},
            validation_loss=None if classifies else trainer.loss(validation),
            rate=first["lr"] / first["factor"],
        )
        keep, better = course.add(figure)
        trainer.rates.end(None if figure.correct is None else figure.correct / figure.count, better)
        if self._spec.patience is not None and course.waited >= self._spec.patience:
            course.stopped = "no progress"
        elif course.steps >= self.planned:
            course.stopped = "finished"
        self._write(figure, keep)
        return figure

    def _write(self, figure: EpochFigure, keep: bool) -> None:
        network = self._material.network
        try:
            if keep:
                notes: dict[str, str | int | float] = {"epoch": figure.epoch, "seed": self._spec.seed}
                if figure.correct is not None:
                    notes = {"epoch": figure.epoch, "correct": figure.correct, "count": figure.count, **notes}
                elif figure.validation_loss is not None:
                    notes["validation_loss"] = figure.validation_loss
                if self._spec.recipe is not None:
                    notes["recipe"] = self._spec.recipe
                save_checkpoint(self._spec.output, network.module, metadata_of(network, notes))
                self._written = figure
            if self._spec.resume:
                write_state(state_path(self._spec.output), self._identity, self._state())
        except OSError as error:
            raise TrainingError(
                f"epoch {figure.epoch} cannot be written: {error.strerror or error}",
                hint="Free some space, or name another folder.",
            ) from error

    def _state(self) -> State:
        plain = {
            **self.course.plain(self._seconds()),
            "rates": self._trainer.rates.state,
            "order": self._orders.generator.bit_generator.state,
        }
        return State(
            plain=plain,
            weights=self._material.network.module.state_dict(),
            optimiser=self._trainer.optimiser.state_dict(),
            torch_generator=torch.get_rng_state(),
            augmentation_generator=self._generator.get_state(),
        )

    def _go_on(self) -> None:
        """Take up the state beside the output, where there is one."""
        self._identity = identity(self._spec, self._described())
        path = state_path(self._spec.output)
        state = read_state(path, self._identity)
        if state is None:
            return
        best = read_metadata(self._spec.output) if self._spec.output.exists() else None
        if best is None or best.network != self._material.network.name:
            raise CheckpointError(
                f"{path} goes on from an epoch whose checkpoint {self._spec.output} is missing or another's",
                hint="put the checkpoint back, or remove the state to begin anew",
            )
        try:
            self._material.network.module.load_state_dict(dict(state.weights))
            self._trainer.optimiser.load_state_dict(dict(state.optimiser))
            self._trainer.rates.state.update(state.plain["rates"])
            self._orders.generator.bit_generator.state = state.plain["order"]
            self._generator.set_state(state.augmentation_generator)
            torch.set_rng_state(state.torch_generator)
            self.course = course_from_plain(state.plain)
            self._written = self.course.best
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{path} does not fit this training", details=str(error), hint="remove it to begin anew"
            ) from error
        self._reporter.note(f"Going on after epoch {len(self.course.history)} from {path}.")

    def _described(self) -> dict[str, Any]:
        network = self._material.network
        bands = [each.image.band for each in network.inputs if each.image is not None]
        return {
            "network": network.name,
            "options": json.dumps(network.options, sort_keys=True),
            "labels": ", ".join(network.labels),
            "band": ", ".join(str(band) for band in bands),
            "data": self._caches.train.digest,
            "validation": self._caches.validation.digest,
            "arithmetic": self._arithmetic,
        }


def _planned(spec: TrainSpec, batches: int) -> int:
    of_epochs = batches * (spec.epochs or DEFAULT_EPOCHS)
    if spec.steps is None:
        return of_epochs
    return spec.steps if spec.epochs is None else min(spec.steps, of_epochs)
