"""`train`: a whole training, from the specification to a checkpoint."""

from __future__ import annotations

import time

import torch

from edgefer.errors import TrainingError
from edgefer.progress import Reporter, Silent
from edgefer_export.train.cache import SampleCache
from edgefer_export.train.epochs import Caches, Epochs
from edgefer_export.train.log import open_logs
from edgefer_export.train.result import TrainResult
from edgefer_export.train.setup import Material, prepare
from edgefer_export.train.spec import TrainSpec


def train(spec: TrainSpec, reporter: Reporter | None = None) -> TrainResult:
    """Train, and write the weights of the best epoch by validation to `spec.output`.

    The checkpoint is written whenever an epoch is at least as good as those before, so that an interrupt (Ctrl-C) or a
    failure leaves the best one so far. With `spec.resume` a state lies beside it, from which the same call goes on
    after an interrupt and gives the weights that it would have given without one.

    Raises:
        UsageError, DataError, InputError, CheckpointError, EnvironmentMismatch: the specification, the data, the
            weights to start from or the state to go on from are not usable; nothing was written.
        TrainingError: the loss became infinite or not a number, or the checkpoint could not be written. What was
            written before stays.
    """
    started = time.monotonic()
    reporter = reporter or Silent()
    logs = open_logs(spec.log, spec.tensorboard)
    # The caller's random numbers are its own.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        material = prepare(spec, reporter)
        epochs = Epochs(spec, material, _read(material, spec, reporter), reporter, started)
        try:
            epochs.run(logs)
        except (KeyboardInterrupt, TrainingError) as stop:
            kept = epochs.kept()
            if isinstance(stop, TrainingError):
                raise TrainingError(
                    f"{stop.message} (step {epochs.course.steps + 1} of {epochs.planned})",
                    hint=f"{stop.hint or 'lower the learning rate, or look for damaged images.'} {kept}",
                ) from stop
            reporter.note(f"Interrupted. {kept}")
            raise
        return epochs.result()


def _read(material: Material, spec: TrainSpec, reporter: Reporter) -> Caches:
    network = material.network
    targets = tuple(each for each in network.targets if each.role in material.train.roles)
    inputs = (*network.inputs, *targets)
    return Caches(
        SampleCache(material.train, inputs, reporter, "reading", digest=spec.resume),
        SampleCache(material.validation, inputs, reporter, "reading for validation", digest=spec.resume),
    )
