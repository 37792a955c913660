"""Putting what is said about images into the inputs of a network: the one place from which all else takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from edgefer.bundle.image_faults import image_faults
from edgefer.bundle.manifest import ImageSpec, InputSpec
from edgefer.errors import InputError, UsageError
from edgefer.runtime.preprocess import Preprocessor
from edgefer_export.preprocess_fields import EVERY_INPUT, PRESETS, preprocess

Said = Mapping[str, Mapping[str, Any]]

# What contradicts a network that takes RGB or grey in 0..1 and normalises inside its graph.
_INSIDE = ("preset", "colour", "range", "mean", "std")
# A key that says something only beside another one.
_BESIDE: Mapping[str, tuple[str, str]] = {
    "pad": ("fit", "letterbox"),
    "align": ("fit", "letterbox"),
    "keep": ("fit", "centre-crop"),
    "clip_limit": ("equalise", "clahe"),
    "tiles": ("equalise", "clahe"),
    "grey": ("colour", "grey"),
}


def with_preprocess(inputs: tuple[InputSpec, ...], said: Said, where: str) -> tuple[InputSpec, ...]:
    """The inputs as they are described by input name, what is said of `EVERY_INPUT` first, then of one.

    A preset comes before the other keys beside it. For an input of one channel it has no colour order, and the averages
    of its means and deviations.

    Raises:
        UsageError: something is said of what is no image, a value is out of range, or two things contradict each other.
    """
    if not said:
        return inputs
    said = preprocess("preprocess", said)
    images = [spec.name for spec in inputs if spec.image is not None]
    _check_names(inputs, images, said, where)
    made = {spec.name: _described(spec, said, where) for spec in inputs if spec.image is not None}
    for owner, fields in said.items():
        _check_companions(fields, [made[name] for name in images if owner in (EVERY_INPUT, name)], owner)
    return tuple(made.get(spec.name, spec) for spec in inputs)


def refuse_normalising(said: Said, where: str) -> None:
    """Refuse what would be done twice, for a network that normalises inside its graph.

    Raises:
        UsageError: colour order, range, mean or standard deviation is stated.
    """
    twice = sorted({key for fields in said.values() for key in fields if key in _INSIDE})
    if twice:
        raise UsageError(
            f"{where} normalises inside its graph and takes RGB or grey in 0..1, so `--preprocess {twice[0]}` cannot "
            "apply: it would be done twice.",
            hint="Leave it out; crop, fit, resize, equalise and window16 can be stated. ImageNet's mean and deviation "
            "are --option norm=imagenet.",
        )


def check_integers(inputs: tuple[InputSpec, ...], bounds: Mapping[str, tuple[int, int]], where: str) -> None:
    """Refuse values that an input of whole numbers would cut off.

    Args:
        bounds: the smallest and largest number that each such input holds, by its name.

    Raises:
        UsageError: an image of 8 bits would not be whole numbers within those bounds.
    """
    for spec in inputs:
        if spec.image is None or spec.name not in bounds:
            continue
        codes = _levels(spec.image)
        smallest, largest = bounds[spec.name]
        if (codes != np.rint(codes)).any() or codes.min() < smallest or codes.max() > largest:
            raise UsageError(
                f"Input `{spec.name}` of {where} takes whole numbers from {smallest} to {largest}, but its images "
                f"would be values from {codes.min():g} to {codes.max():g}.",
                hint="State range=0,255, and a mean of whole numbers if any; the graph does the rest.",
            )


def _check_names(inputs: tuple[InputSpec, ...], images: list[str], said: Said, where: str) -> None:
    hint = f"Its images are {', '.join(images)}." if images else "It takes tensors, to which nothing is done."
    if EVERY_INPUT in said and not images:
        raise UsageError(f"`--preprocess` is about images, and {where} takes none.", hint=hint)
    for name in said:
        if name in images or name == EVERY_INPUT:
            continue
        if name in [spec.name for spec in inputs]:
            raise UsageError(
                f"`--preprocess` is about input `{name}` of {where}, which is no image.",
                hint=f"{hint} A role is stated as --input {name}=CxHxW:visible or :infrared.",
            )
        raise UsageError(f"`--preprocess` is about input `{name}`, which {where} does not have.", hint=hint)


def _described(spec: InputSpec, said: Said, where: str) -> InputSpec:
    image, channels = spec.image, spec.shape[1]
    fields: dict[str, Any] = {}
    for owner in (EVERY_INPUT, spec.name):
        given = dict(said.get(owner, {}))
        preset = given.pop("preset", None)
        fields |= ({} if preset is None else _preset(preset, channels)) | given
    if not fields or image is None:
        return spec
    for key in ("mean", "std"):
        if len(fields.get(key, ())) == 1:
            fields[key] *= channels
    made = msgspec.structs.replace(spec, image=msgspec.structs.replace(image, **fields))
    for fault in image_faults(made):
        raise UsageError(
            f"Input `{spec.name}` of {where} {fault}.",
            hint=f"Check --preprocess; what is for this input alone is stated as {spec.name}.KEY=VALUE.",
        )
    try:
        Preprocessor(made)
    except InputError as error:
        raise UsageError(f"{where}: {error.message}.", hint="Check --preprocess.") from error
    return made


def _preset(name: str, channels: int) -> dict[str, Any]:
    fields = dict(PRESETS[name])
    if channels == 1:
        fields.pop("colour", None)
        for key in ("mean", "std"):
            fields[key] = (sum(fields[key]) / 3,) if fields[key] else ()
    return fields


def _check_companions(fields: Mapping[str, Any], inputs: list[InputSpec], owner: str) -> None:
    images = [spec.image for spec in inputs if spec.image is not None]
    for key in fields:
        if key not in _BESIDE:
            continue
        other, needed = _BESIDE[key]
        if not any(getattr(image, other) == needed for image in images):
            prefix = f"{owner}." if owner else ""
            raise UsageError(
                f"`--preprocess {prefix}{key}` says something only with {other}={needed}.",
                hint=f"Add {prefix}{other}={needed}, or leave {key} out.",
            )


def _levels(image: ImageSpec) -> Any:
    """What the 256 levels of an image become, (C or 1, 256) float64."""
    low, high = image.range
    mean, std = (np.array(values or fallback)[:, None] for values, fallback in ((image.mean, (0,)), (image.std, (1,))))
    return ((low + np.arange(256) * (high - low) / 255)[None] - mean) / std
