"""Which values a training's specification may have."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, get_args

from edgefer.errors import UsageError
from edgefer_export.train.optimisers import parse_optimiser
from edgefer_export.train.rates import make_rates

if TYPE_CHECKING:
    from edgefer_export.train.spec import TrainSpec

_COUNTS = ("epochs", "steps", "patience")
_POSITIVE = ("learning_rate", "head_rate")
_SHARES = ("label_smoothing", "dropout", "crop", "modality_dropout", "erasing")


def check(spec: TrainSpec) -> None:
    """Raises UsageError for a value outside what `TrainSpec` states."""
    for name in _COUNTS:
        value = getattr(spec, name)
        if value is not None and value < 1:
            raise UsageError(f"{name} is {value}; at least 1 is needed")
    if spec.minutes is not None and not (math.isfinite(spec.minutes) and spec.minutes > 0):
        raise UsageError(f"minutes is {spec.minutes:g}; a positive number is needed")
    if spec.batch < 2:
        raise UsageError(f"batch is {spec.batch}; batch normalisation needs 2 samples or more")
    for name in _POSITIVE:
        value = getattr(spec, name)
        if not (math.isfinite(value) and value > 0):
            raise UsageError(f"{name} is {value:g}; a positive number is needed")
    if not spec.weight_decay >= 0:
        raise UsageError(f"weight_decay is {spec.weight_decay:g}; 0 or more is needed")
    if spec.epoch_samples is not None and spec.epoch_samples < 2:
        raise UsageError(f"epoch_samples is {spec.epoch_samples}; batch normalisation needs 2 samples or more")
    parse_optimiser(spec.optimiser)
    make_rates(spec.schedule)
    for name in _SHARES:
        share = getattr(spec, name)
        if share is not None and not 0 <= share < 1:
            raise UsageError(f"{name} is {share:g}; 0 to below 1 is possible")
    if spec.modality_dropout >= 0.5:
        raise UsageError(f"modality_dropout is {spec.modality_dropout:g}; of two cameras one must stay: below 0.5")
    _check_augmentation(spec)
    if not 0 < spec.validation_share < 1:
        raise UsageError(f"validation_share is {spec.validation_share:g}; it lies between 0 and 1")
    if spec.seed < 0:
        raise UsageError(f"seed is {spec.seed}; 0 or more is needed")
    starts = [name for name in ("weights", "towers", "backbones", "trunk") if getattr(spec, name) is not None]
    if len(starts) > 1:
        raise UsageError(f"a training starts from {' or from '.join(starts)}, not from both")


def _check_augmentation(spec: TrainSpec) -> None:
    from edgefer_export.train import spec as module

    if not 0 <= spec.rotation <= 180:
        raise UsageError(f"rotation is {spec.rotation:g}; 0 to 180 degrees are possible")
    if spec.padding < 0:
        raise UsageError(f"padding is {spec.padding}; 0 pixels or more are possible")
    if not 0 <= spec.moved <= 1:
        raise UsageError(f"moved is {spec.moved:g}; it is a probability, 0 to 1")
    if spec.backgrounds is not None and spec.composite == "none":
        raise UsageError("backgrounds are for composite, which is none", hint="composite=2019-04, for example")
    if spec.apart and spec.offline == "none":
        raise UsageError(
            "apart is for the copies of offline, which is none",
            hint="offline=naseem2025, for example, or leave apart out",
        )
    choices = {
        "offline": module.Offline,
        "composite": module.Composite,
        "sampler": module.Sampler,
        "arithmetic": module.Arithmetic,
    }
    for name, kind in choices.items():
        if getattr(spec, name) not in get_args(kind):
            raise UsageError(f"{name} is {getattr(spec, name)!r}; expected one of {', '.join(get_args(kind))}")
