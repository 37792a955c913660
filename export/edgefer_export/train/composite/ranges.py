"""How far chance may go: the ranges of the public generator at its dates."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PoseRanges:
    """Everything is drawn evenly from minus to plus the range.

    Attributes:
        rotation: degrees about the centre.
        translation: share of the image's side, along each axis.
        warp: share of the side by which each of three corners is displaced along each axis.
        scale: share of the size.
        flip: probability to be mirrored.
    """

    rotation: float
    translation: float
    warp: float
    scale: float = 0.2
    flip: float = 0.5


@dataclass(frozen=True)
class PhotometricRanges:
    """What is done to the colours of the composed image, never to the clean face.

    Attributes:
        jitter: brightness is moved by up to this share of the range, contrast and gamma by up to this factor either
            way; each is drawn on its own.
        jitter_probability: of each of the three.
        permutation: probability that the colours change places.
        clahe: probability of local histogram equalisation of the lightness.
        blur: probability of a Gaussian blur.
        reduced: share of the size that the image is made smaller to before the equalisation and the blur, and put back
            from; 1 leaves it.
    """

    jitter: float = 0.0
    jitter_probability: float = 0.0
    permutation: float = 0.0
    clahe: float = 0.0
    blur: float = 0.0
    reduced: float = 1.0


@dataclass(frozen=True)
class CompositeRanges:
    """Pose and colours of one form of the generator."""

    pose: PoseRanges
    photometric: PhotometricRanges


_WIDE = PoseRanges(rotation=45.0, translation=0.3, warp=0.2)
_NARROW = PoseRanges(rotation=30.0, translation=0.2, warp=0.1)

PRESETS: dict[str, CompositeRanges] = {
    "2018": CompositeRanges(_WIDE, PhotometricRanges(jitter=0.25, jitter_probability=0.5, permutation=0.5, clahe=0.5)),
    "2019-03": CompositeRanges(_NARROW, PhotometricRanges(jitter=0.25, jitter_probability=0.75, blur=0.25)),
    "2019-04": CompositeRanges(_NARROW, PhotometricRanges(clahe=0.25, blur=0.25, reduced=0.75)),
    "evaluation": CompositeRanges(_WIDE, PhotometricRanges()),
}
"""By the date of the code; `evaluation` is the pose of its evaluation script, without changes of colour. The
probabilities of permutation and equalisation in 2018 are not stated and taken to be those of the jitter. The form of
April 2019 also made every image grey: see `Compositor`."""
