"""Changes to a batch that leave its labels alone. The modalities are registered, so both are moved alike."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F

from edgefer.bundle.manifest import InputSpec
from edgefer.errors import UsageError
from edgefer_export.train.cache import Tensors
from edgefer_export.train.moves import Moves
from edgefer_export.train.spec import TrainSpec

Augment = Callable[[Tensors], Tensors]
"""Changes a batch and leaves its labels alone; what it adds under names that are no inputs are targets."""


class Augmentation:
    """Mirrors and shifts images (B, C, H, W), and takes cameras away.

    Args:
        flip: mirror each sample with probability 1/2.
        crop: shift the batch by up to this share of the side along each axis; the border is repeated.
        missing: probability of each of two cameras of a sample to be missing, never both; its picture is black then.
        cameras: the image inputs of the two cameras, visible first; empty where there is one camera only.
        mask: the input (B, 2) that says which camera is there; None: the network has none and must see it.
        generator: where the chance comes from.
    """

    def __init__(
        self,
        *,
        flip: bool,
        crop: float,
        missing: float,
        cameras: tuple[str, ...],
        mask: str | None,
        generator: torch.Generator,
    ) -> None:
        self._flip, self._crop, self._missing = flip, crop, missing
        self._cameras, self._mask, self._generator = cameras, mask, generator

    def __call__(self, tensors: Tensors) -> Tensors:
        """The changed batch; the given one stays as it is."""
        images = {name: tensor for name, tensor in tensors.items() if tensor.ndim == 4}
        changed = dict(tensors)
        changed.update(self._moved(images))
        if self._missing and self._cameras:
            changed = self._without_cameras(changed)
        return changed

    def _moved(self, images: Tensors) -> Tensors:
        size = len(next(iter(images.values())))
        mirrored = torch.rand(size, generator=self._generator) < 0.5 if self._flip else torch.zeros(size).bool()
        offsets = torch.rand(2, generator=self._generator)
        moved: Tensors = {}
        for name, image in images.items():
            height, width = image.shape[2:]
            if self._crop:
                border = max(1, round(self._crop * width))
                top, left = (int(offset * (2 * border + 1)) for offset in offsets)
                padded = F.pad(image, (border,) * 4, mode="replicate")
                image = padded[:, :, top : top + height, left : left + width]
            image = torch.where(mirrored[:, None, None, None], image.flip(3), image)
            moved[name] = image.contiguous(memory_format=torch.channels_last)
        return moved

    def _without_cameras(self, tensors: Tensors) -> Tensors:
        size = len(tensors[self._cameras[0]])
        point = torch.rand(size, generator=self._generator)
        present = torch.stack([point >= self._missing, point < 1 - self._missing], 1).float()
        changed = dict(tensors)
        if self._mask is not None:
            changed[self._mask] = present
        for column, name in enumerate(self._cameras):
            changed[name] = tensors[name] * present[:, column, None, None, None]
        return changed


def augmentation(spec: TrainSpec, inputs: tuple[InputSpec, ...], generator: torch.Generator) -> Augment:
    """What a training does to each batch of `inputs`, with chance from `generator`.

    Raises:
        UsageError: compositing was asked for, and the network takes something else than one face in colour.
        DataError: there are no backgrounds.
    """
    names = {each.role: each.name for each in inputs}
    cameras = (names["visible"], names["infrared"]) if {"visible", "infrared"} <= names.keys() else ()
    steps: list[Augment] = []
    if spec.composite != "none":
        steps.append(_compositor(spec, inputs, generator))
    if spec.rotation or spec.padding or spec.erasing:
        steps.append(
            Moves(
                rotation=spec.rotation,
                padding=spec.padding,
                moved=spec.moved,
                erasing=spec.erasing,
                # A map of where people look is no picture.
                erased=tuple(names[role] for role in ("visible", "infrared") if role in names),
                generator=generator,
            )
        )
    # Last, so that nothing is painted on the black picture of a camera that is missing.
    steps.append(
        Augmentation(
            flip=spec.flip,
            crop=spec.crop,
            missing=spec.modality_dropout,
            cameras=cameras,
            mask=names.get("present"),
            generator=generator,
        )
    )

    def augment(tensors: Tensors) -> Tensors:
        for step in steps:
            tensors = step(tensors)
        return tensors

    return augment


def _compositor(spec: TrainSpec, inputs: tuple[InputSpec, ...], generator: torch.Generator) -> Augment:
    from edgefer_export.train.composite import Compositor, FolderBackgrounds, textures

    faces = [each for each in inputs if each.image is not None]
    if len(faces) != 1 or faces[0].role != "visible" or faces[0].shape[1] != 3:
        raise UsageError(
            f"composite is for networks of one visible image in colour, and {spec.network} takes "
            f"{', '.join(each.name for each in faces)}",
            hint="leave composite out",
        )
    backgrounds = textures if spec.backgrounds is None else FolderBackgrounds(spec.backgrounds)
    return Compositor(faces[0].name, ranges=spec.composite, backgrounds=backgrounds, generator=generator).augment
