"""Turning, shifting and erasing samples of a batch, each by itself; the modalities of a sample alike."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from edgefer_export.train.cache import Tensors

_MEAN = (0.485, 0.456, 0.406)
_LEAST_AREA = 0.02
_ERASED = 0.5
_ASPECTS = (0.3, 3.3)


class Moves:
    """Changes images (B, C, H, W) in 0..1.

    Erasing is after Zhong et al., "Random Erasing Data Augmentation" (AAAI 2020), with a rectangle of an aspect between
    0.3 and 3.3, painted in ImageNet's mean colour, which is 0 once it has been normalised.

    Args:
        rotation: each sample is turned about its centre by up to this many degrees, either way; what comes in is black.
        padding: and shifted by up to this many whole pixels along each axis, as if black had been put around it and the
            size cut out again.
        moved: probability of these two together.
        erasing: largest share of the area of the rectangle that is painted over in half of the samples; 0: none.
        erased: what is painted over, by name; empty: every image.
        generator: where the chance comes from.
    """

    def __init__(
        self,
        *,
        rotation: float,
        padding: int,
        moved: float,
        erasing: float,
        erased: tuple[str, ...] = (),
        generator: torch.Generator,
    ) -> None:
        self._rotation, self._padding, self._moved = rotation, padding, moved
        self._erasing, self._names, self._generator = erasing, erased, generator

    def __call__(self, tensors: Tensors) -> Tensors:
        """The changed batch; the given one stays as it is."""
        images = {name: tensor for name, tensor in tensors.items() if tensor.ndim == 4}
        size = len(next(iter(images.values())))
        if self._rotation or self._padding:
            images = self._turned(images, size)
        if self._erasing:
            painted = {name: image for name, image in images.items() if not self._names or name in self._names}
            images = {**images, **self._erased(painted, size)}
        return {**tensors, **images}

    def _turned(self, images: Tensors, size: int) -> Tensors:
        chosen = self._uniform(size) < self._moved
        angles = (2 * self._uniform(size) - 1) * math.radians(self._rotation)
        span = 2 * self._padding + 1
        shifts = torch.floor(self._uniform(2, size) * span) - self._padding
        turned: Tensors = {}
        for name, image in images.items():
            height, width = image.shape[2:]
            cosine, sine = torch.cos(angles), torch.sin(angles)
            # From places of the result to places of the image, both from -1 to 1 along either axis.
            matrix = torch.stack(
                (
                    torch.stack((cosine, -sine * height / width, 2 * shifts[0] / width), 1),
                    torch.stack((sine * width / height, cosine, 2 * shifts[1] / height), 1),
                ),
                1,
            )
            grid = F.affine_grid(matrix, list(image.shape), align_corners=False)
            moved = F.grid_sample(image, grid, padding_mode="zeros", align_corners=False)
            turned[name] = torch.where(chosen[:, None, None, None], moved, image)
        return turned

    def _erased(self, images: Tensors, size: int) -> Tensors:
        chosen = self._uniform(size) < _ERASED
        area = _LEAST_AREA + self._uniform(size) * max(0.0, self._erasing - _LEAST_AREA)
        low, high = (math.log(aspect) for aspect in _ASPECTS)
        aspect = torch.exp(low + self._uniform(size) * (high - low))
        sides = torch.stack(((area * aspect).sqrt(), (area / aspect).sqrt())).clamp(max=1.0)
        begins = self._uniform(2, size) * (1 - sides)
        erased: Tensors = {}
        for name, image in images.items():
            inside = chosen[:, None, None].expand(-1, *image.shape[2:])
            for axis, length in enumerate(image.shape[2:]):
                places = (torch.arange(length) + 0.5) / length
                there = (places >= begins[axis][:, None]) & (places < (begins[axis] + sides[axis])[:, None])
                inside = inside & (there[:, :, None] if axis == 0 else there[:, None, :])
            channels = image.shape[1]
            colour = torch.tensor(_MEAN if channels == len(_MEAN) else (sum(_MEAN) / len(_MEAN),) * channels)
            erased[name] = torch.where(inside[:, None], colour[:, None, None], image)
        return erased

    def _uniform(self, *shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=self._generator)
