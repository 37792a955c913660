"""The augmentation: a batch of faces becomes a batch of composed images with the clean faces and masks as targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch

from edgefer.errors import InputError, UsageError
from edgefer_export.train.cache import Tensors
from edgefer_export.train.composite.backgrounds import Backgrounds, textures
from edgefer_export.train.composite.light import recoloured, relit
from edgefer_export.train.composite.masks import MaskRule, cleaned, face_mask, side_of_square
from edgefer_export.train.composite.pose import Mask, Matrix, Pixels, draw_pose, matrix_of, posed, posed_mask
from edgefer_export.train.composite.ranges import PRESETS, CompositeRanges

CLEAN, MASK = "clean", "mask"
"""Names of the targets."""

# ITU-R BT.601, as OpenCV's conversion to grey.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Composite:
    """One composed sample: the image (H, W, 3), the face in its own light on black at the same pose (H, W, 3), both
    RGB float32 in 0..1, and the mask (H, W), 1 where the face is."""

    image: Pixels
    clean: Pixels
    mask: Mask


def compose(
    face: Pixels,
    rng: np.random.Generator,
    ranges: CompositeRanges,
    backgrounds: Backgrounds = textures,
    mask_rule: MaskRule = "auto",
) -> Composite:
    """Put one face (H, W, 3), RGB float32 in 0..1, on a background. The same state of `rng` gives the same pixels."""
    height, width = face.shape[:2]
    matrix = matrix_of(draw_pose(rng, ranges.pose), height, width)
    background = backgrounds(rng, height, width)
    moved = posed(face, matrix)
    mask = _mask(face_mask(face, mask_rule), matrix)
    inside = mask[:, :, None].astype(bool)
    image = np.where(inside, relit(moved, mask, background), background)
    return Composite(recoloured(image, ranges.photometric, rng), np.where(inside, moved, np.float32(0.0)), mask)


def _mask(mask: Mask, matrix: Matrix) -> Mask:
    """The cleaned mask in the pose. It is cleaned with what lies beyond the picture, so that a face that reaches out of
    it keeps no edge of background there."""
    height, width = mask.shape
    side = side_of_square(height, width)
    margin = 2 * side
    return cleaned(posed_mask(mask, matrix, margin), side)[margin : margin + height, margin : margin + width]


class Compositor:
    """Composes every sample of a batch.

    Called with tensors by name, of which one holds faces (N, 3, H, W) float32, RGB in 0..1 and not normalised, it gives
    the tensors with that one composed, in channels-last memory, and the targets by name: `clean` (N, 3, H, W) float32,
    the face in its own light on black at the same pose, and `mask` (N, 1, H, W) float32, 1 where the face is, else 0.
    Both are of the composed image's geometry, so that whatever moves images afterwards has to move all three alike.
    Other tensors are handed on, and nothing is changed in place.

    All chance is from `generator`, one number a sample: the same state of it gives the same batch, whatever was
    composed before, so that a training that is taken up again goes on as it would have.

    The public code of April 2019 made its images grey, three times the same channel. `grey` does that to the image and
    the clean face; it is off by default, because a network that has only seen grey has to be fed grey in use too.

    Args:
        image: the name of the input that holds the faces.
        ranges: a name of `PRESETS`, or ranges of one's own.
        backgrounds: `FolderBackgrounds`, or textures made by chance.
        mask: how the face is found, see `face_mask`.
        grey: see above.
        generator: where the chance comes from.

    Raises:
        UsageError: a name of `ranges` or of `mask` is unknown.
    """

    def __init__(
        self,
        image: str,
        *,
        ranges: str | CompositeRanges = "2019-04",
        backgrounds: Backgrounds = textures,
        mask: MaskRule = "auto",
        grey: bool = False,
        generator: torch.Generator,
    ) -> None:
        if isinstance(ranges, str):
            if ranges not in PRESETS:
                raise UsageError(
                    f"{ranges!r} is no form of the compositing; there are {', '.join(PRESETS)}.",
                    hint="The names are dates of the public code.",
                )
            ranges = PRESETS[ranges]
        if mask not in get_args(MaskRule):
            raise UsageError(f"{mask!r} is no way to find a face; there are {', '.join(get_args(MaskRule))}.")
        self._image, self._ranges, self._backgrounds = image, ranges, backgrounds
        self._mask, self._grey, self._generator = mask, grey, generator

    def __call__(self, tensors: Tensors) -> tuple[Tensors, Tensors]:
        """The changed tensors and the targets `clean` and `mask`.

        Raises:
            InputError: the named tensor is not there, has not three channels, or values outside 0..1.
        """
        faces = self._faces(tensors)
        seeds = torch.randint(0, 2**62, (len(faces),), generator=self._generator).tolist()
        images, cleans = np.empty_like(faces), np.empty_like(faces)
        masks = np.empty((len(faces), *faces.shape[1:3], 1), np.float32)
        for row, seed in enumerate(seeds):
            composite = compose(faces[row], np.random.default_rng(seed), self._ranges, self._backgrounds, self._mask)
            images[row], cleans[row], masks[row, :, :, 0] = composite.image, composite.clean, composite.mask
        if self._grey:
            images, cleans = (np.repeat((each @ _LUMA)[..., None], 3, axis=3) for each in (images, cleans))
        changed = {**tensors, self._image: _batch(images)}
        return changed, {CLEAN: _batch(cleans), MASK: _batch(masks)}

    def augment(self, tensors: Tensors) -> Tensors:
        """The changed tensors and the targets in one dictionary, as a step of an augmentation gives them."""
        changed, targets = self(tensors)
        return {**changed, **targets}

    def _faces(self, tensors: Tensors) -> Pixels:
        """The faces as (N, H, W, 3)."""
        faces = tensors.get(self._image)
        if faces is None or faces.ndim != 4 or faces.shape[1] != 3:
            found = "not there" if faces is None else f"of shape {tuple(faces.shape)}"
            raise InputError(
                f"Compositing takes faces (N, 3, H, W) from the input `{self._image}`, which is {found}.",
                hint="It is for networks with one input of colour images.",
            )
        low, high = (float(each) for each in faces.aminmax())
        if low < -1e-3 or high > 1.0 + 1e-3:
            raise InputError(
                f"Compositing takes plain values in 0..1; the input `{self._image}` has {low:.3g} to {high:.3g}.",
                hint="Normalise inside the network (norm=...), not before it.",
            )
        return np.ascontiguousarray(faces.detach().float().numpy().transpose(0, 2, 3, 1).clip(0.0, 1.0))


def _batch(images: Pixels) -> torch.Tensor:
    """(N, H, W, C) as a tensor (N, C, H, W) in channels-last memory."""
    return torch.from_numpy(images).permute(0, 3, 1, 2)
