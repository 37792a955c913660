"""`train`: a whole training, from the specification to a checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from edgefer.errors import TrainingError
from edgefer.progress import Reporter, Silent
from edgefer_export.checkpoint import metadata_of, save_checkpoint
from edgefer_export.train.augment import Augmentation
from edgefer_export.train.cache import SampleCache
from edgefer_export.train.loop import Trainer, chosen_arithmetic, epoch
from edgefer_export.train.result import EpochFigure, TrainResult
from edgefer_export.train.schedule import Schedule
from edgefer_export.train.setup import Material, prepare
from edgefer_export.train.spec import DEFAULT_EPOCHS, TrainSpec

# Held back from a time limit for the last validation and for writing the checkpoint.
_CLOSING_SECONDS = 2.0


@dataclass
class _Course:
    """What a training has done so far."""

    history: list[EpochFigure] = field(default_factory=list)
    best: EpochFigure | None = None
    steps: int = 0


def train(spec: TrainSpec, reporter: Reporter | None = None) -> TrainResult:
    """Train, and write the weights of the best epoch by validation to `spec.output`.

    The checkpoint is written whenever an epoch is at least as good as those before, so that an interrupt (Ctrl-C) or a
    failure leaves the best one so far.

    Raises:
        UsageError, DataError, InputError, CheckpointError: the specification, the data or the weights to start from
            are not usable; nothing was written.
        TrainingError: the loss became infinite or not a number. What was written before stays.
        OSError: the checkpoint cannot be written.
    """
    started = time.monotonic()
    reporter = reporter or Silent()
    # The caller's random numbers are its own.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        material = prepare(spec, reporter)
        caches = (
            SampleCache(material.train, material.network.inputs, reporter, "reading"),
            SampleCache(material.validation, material.network.inputs, reporter, "reading for validation"),
        )
        return _train(spec, material, caches, reporter, started)


def _train(
    spec: TrainSpec, material: Material, caches: tuple[SampleCache, SampleCache], reporter: Reporter, started: float
) -> TrainResult:
    network = material.network
    arithmetic = chosen_arithmetic(spec.arithmetic)
    trainer = Trainer(network.module, spec, network.options.get("loss", "ce_on_logits"), arithmetic)
    batches = max(1, len(caches[0]) // spec.batch)
    planned = min(
        spec.steps if spec.steps is not None else batches * (spec.epochs or DEFAULT_EPOCHS),
        batches * spec.epochs if spec.epochs is not None else 1 << 62,
    )
    deadline = None if spec.minutes is None else started + 60.0 * spec.minutes - _CLOSING_SECONDS
    schedule = Schedule(planned, deadline)
    course = _Course()
    try:
        with reporter.task("training", planned) as advance:
            _epochs(spec, material, caches, trainer, (schedule, planned, batches), course, advance)
    except (KeyboardInterrupt, TrainingError) as stop:
        kept = _kept(spec, course)
        if isinstance(stop, TrainingError):
            raise TrainingError(
                f"{stop.message} (step {course.steps + 1} of {planned})",
                hint=f"lower the learning rate, or look for damaged images. {kept}",
            ) from stop
        reporter.note(f"Interrupted. {kept}")
        raise
    best = course.best
    if best is None:
        raise TrainingError(
            f"the time limit of {spec.minutes:g} minutes was over before the first step",
            hint="allow more minutes, or give less data",
        )
    return TrainResult(
        path=spec.output,
        network=network.name,
        labels=network.labels,
        correct=best.correct,
        count=best.count,
        samples=len(caches[0]),
        best_epoch=best.epoch,
        steps=course.steps,
        stopped="finished" if course.steps >= planned else "time limit",
        arithmetic=arithmetic,
        seconds=time.monotonic() - started,
        history=tuple(course.history),
    )


def _epochs(
    spec: TrainSpec,
    material: Material,
    caches: tuple[SampleCache, SampleCache],
    trainer: Trainer,
    plan: tuple[Schedule, int, int],
    course: _Course,
    advance: Callable[[int], None],
) -> None:
    schedule, planned, batches = plan
    augment = _augmentation(spec, material)
    rng = np.random.default_rng(spec.seed)
    number = 0
    while course.steps < planned and schedule.progress(course.steps) < 1.0:
        number += 1
        began = time.monotonic()
        permutation = rng.permutation(len(caches[0]))
        order = np.array_split(permutation[: batches * spec.batch], batches)[: planned - course.steps]
        losses = []
        for loss in epoch(trainer, caches[0], augment, order, lambda: schedule.progress(course.steps)):
            losses.append(loss)
            course.steps += 1
            advance(1)
        if not losses:
            return
        correct = trainer.correct(caches[1])
        figure = EpochFigure(
            epoch=number,
            steps=len(losses),
            loss=float(np.mean(losses)),
            correct=correct,
            count=len(caches[1]),
            seconds=time.monotonic() - began,
        )
        course.history.append(figure)
        if course.best is None or correct >= course.best.correct:
            notes = {"epoch": number, "correct": correct, "count": figure.count, "seed": spec.seed}
            save_checkpoint(spec.output, material.network.module, metadata_of(material.network, notes))
            course.best = figure


def _augmentation(spec: TrainSpec, material: Material) -> Augmentation:
    names = {each.role: each.name for each in material.network.inputs}
    cameras = (names["visible"], names["infrared"]) if {"visible", "infrared"} <= names.keys() else ()
    return Augmentation(
        flip=spec.flip,
        crop=spec.crop,
        missing=spec.modality_dropout,
        cameras=cameras,
        mask=names.get("present"),
        generator=torch.Generator().manual_seed(spec.seed),
    )


def _kept(spec: TrainSpec, course: _Course) -> str:
    if course.best is None:
        return "Nothing was written: no epoch was finished."
    best = course.best
    return f"{spec.output} keeps epoch {best.epoch}, with {best.correct} of {best.count} validation samples right."
