"""Settings of ours that work without thought: what a training does when nothing is said, under a name.

Nothing here is published. The first is for networks with batch norm throughout; the others are deep without it, or are
fine-tuned, and take a smaller rate.
"""

from __future__ import annotations

from dataclasses import replace

from edgefer_export.train.recipes.recipe import Recipe

SANE = "sane"
"""The name of the recipe of ours that holds for a network where none is asked for."""

_EVERYTHING = ("everything",)
_SOURCE = "this project"

_OWN_OBJECTIVE = ("feratt", "feratt-paper", "ml-net")
_CLASSIFIERS = ("saliency-alexnet", "backbone", "fusion-attention", "late-fusion", "early-fusion", "joint-fusion")

SMALL_RATE = (*_OWN_OBJECTIVE, *_CLASSIFIERS)

DEFAULT = Recipe(
    name=SANE,
    summary="the default: AdamW, one cycle of the rate, mirrored and shifted images",
    source=_SOURCE,
    ours=_EVERYTHING,
    optimiser="adamw",
    learning_rate=4e-3,
    weight_decay=0.05,
    label_smoothing=0.05,
    schedule="one-cycle",
    epochs=20,
    batch=64,
    flip=True,
    crop=0.06,
)

_SMALL = replace(
    DEFAULT,
    summary="AdamW at a rate for networks without batch norm throughout, one cycle, mirrored and shifted images",
    networks=_CLASSIFIERS,
    learning_rate=5e-4,
    batch=32,
)

RECIPES = (
    _SMALL,
    # There are no smoothed labels in what these minimise.
    replace(_SMALL, networks=_OWN_OBJECTIVE, label_smoothing=0.0),
    DEFAULT,
)
