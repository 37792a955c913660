"""The data set of synthetic pairs."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgefer.errors import UsageError
from edgefer_export.data.dataset import Image, Sample
from edgefer_export.data.synthetic.accessories import add_glasses, add_occlusion
from edgefer_export.data.synthetic.expression import BASIC_LABELS, OTHER_NAMES, VIRI_LABELS, draw_expression
from edgefer_export.data.synthetic.fixations import fixation_map
from edgefer_export.data.synthetic.geometry import FaceCurves
from edgefer_export.data.synthetic.identity import Identity, draw_identity
from edgefer_export.data.synthetic.materials import Band, Palette
from edgefer_export.data.synthetic.paint import Painter, Subject
from edgefer_export.data.synthetic.scene import draw_scene
from edgefer_export.data.synthetic.sensor import (
    active_camera,
    thermal_8bit,
    thermal_16bit,
    thermal_camera,
    visible_camera,
)
from edgefer_export.data.synthetic.streams import Purpose, stream

PAIRS_PER_LABEL_AND_PERSON = 2
NATIVE_SIZE = 112
_KNOWN_LABELS = frozenset(BASIC_LABELS) | frozenset(OTHER_NAMES)


@dataclass(frozen=True)
class Conditions:
    """What one picture was taken under, for studies of subsets. `illumination` is 1 in a well-lit cabin."""

    person: int
    lighting: str
    illumination: float
    glasses: str
    occlusion: str
    yaw: float
    intensity: float
    talking: bool
    blink: bool

    @property
    def day(self) -> bool:
        return self.lighting == "day"

    @property
    def night(self) -> bool:
        return self.lighting == "night"

    @property
    def wears_glasses(self) -> bool:
        return self.glasses != "none"

    @property
    def occluded(self) -> bool:
        return self.occlusion != "none"


@functools.lru_cache(maxsize=512)
def _identity(seed: int, person: int) -> Identity:
    return draw_identity(seed, person)


class SyntheticPairs:
    """Registered visible and infrared pictures of synthetic faces with known expressions.

    Item i follows from (seed, i) alone, whatever the count: a longer set begins with the shorter one. Labels are
    balanced. Different seeds have different people. Nothing but the face's expression depends on the label.

    Args:
        count: number of pairs, 1 or more.
        seed: not negative.
        band: `lwir` (temperature) or `nir` (reflected light of a lamp at the camera).
        labels: the five of VIRI by default; any of theirs and the seven basic ones.
        people: how many different people appear at most; None: a new one after two pairs of each label.
        size: height and width of both pictures in pixels, 32..512.
        bits: of the infrared picture; 16 only for `lwir`: hundredths of a kelvin.

    Raises:
        UsageError: an argument is outside what is stated above.
    """

    def __init__(
        self,
        count: int,
        seed: int,
        band: Band = "lwir",
        labels: tuple[str, ...] = VIRI_LABELS,
        *,
        people: int | None = None,
        size: int = NATIVE_SIZE,
        bits: int = 8,
    ) -> None:
        _check(count, seed, band, labels)
        if people is not None and people < 1:
            raise UsageError(f"a set of synthetic pairs with {people} people", hint="give 1 person or more")
        if not 32 <= size <= 512:
            raise UsageError(f"synthetic pictures of {size} pixels; 32 to 512 can be drawn", hint="change the size")
        if bits not in (8, 16) or (bits == 16 and band != "lwir"):
            raise UsageError(
                f"{bits}-bit synthetic pictures in {band}; there are 8 bits, and 16 in lwir", hint="use bits=8"
            )
        self._count, self._seed, self._band, self._labels = count, seed, band, tuple(labels)
        self._people, self._size, self._bits = people, size, bits

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of `Sample.label`."""
        return self._labels

    @property
    def source(self) -> str:
        """`synthetic:COUNT:SEED:BAND`, as the command line takes it."""
        return f"synthetic:{self._count}:{self._seed}:{self._band}"

    @property
    def roles(self) -> tuple[str, ...]:
        """`visible` and `infrared`."""
        return ("visible", "infrared")

    @property
    def band(self) -> Band:
        """Band of the infrared pictures."""
        return self._band

    @property
    def size(self) -> int:
        """Height and width of both pictures in pixels."""
        return self._size

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Sample:
        index = self._checked(index)
        person, label, subject = self._subject(index)
        visible, infrared = self._render(subject, index)
        return Sample(
            images={"visible": visible, "infrared": infrared},
            label=label,
            name=f"{self._seed}-{index:06d}",
            subject=f"{self._seed}-{person}",
        )

    def label(self, index: int) -> int:
        """The label of an item, without drawing it."""
        return self._person_and_label(self._checked(index))[1]

    def subject(self, index: int) -> str:
        """The person of an item, without drawing it."""
        return f"{self._seed}-{self._person_and_label(self._checked(index))[0]}"

    def conditions(self, index: int) -> Conditions:
        """What an item was taken under, without drawing it."""
        index = self._checked(index)
        person, _, subject = self._subject(index)
        scene = subject.scene
        return Conditions(
            person=person,
            lighting=scene.lighting,
            illumination=scene.illumination,
            glasses=scene.glasses,
            occlusion=scene.occlusion,
            yaw=scene.yaw,
            intensity=subject.expression.intensity,
            talking=scene.speech > 0.0,
            blink=scene.blink,
        )

    def mouth_box(self, index: int) -> tuple[int, int, int, int]:
        """(top, left, bottom, right) in pixels of a square around the mouth, a face's half width on each side."""
        _, _, subject = self._subject(self._checked(index))
        curves = FaceCurves(subject.identity, subject.expression, subject.scene).project(self._size)
        centre = curves["mouth_line"].mean(axis=0) / 16.0
        half = 0.6 * subject.scene.scale * self._size
        left, top = (round(float(v - half)) for v in centre)
        extent = round(2 * half)
        return (top, left, top + extent, left + extent)

    def saliency(self, index: int) -> npt.NDArray[np.uint8]:
        """A map (size, size) of where one might look at the face of an item, without drawing it; see `fixations`."""
        _, _, subject = self._subject(self._checked(index))
        curves = FaceCurves(subject.identity, subject.expression, subject.scene).project(self._size)
        return fixation_map(curves, subject.scene.scale * self._size, self._size)

    def _checked(self, index: int) -> int:
        if not -self._count <= index < self._count:
            raise IndexError(f"item {index} of {self._count}")
        return index % self._count

    def _person_and_label(self, index: int) -> tuple[int, int]:
        classes = len(self._labels)
        block, place = divmod(index, classes * PAIRS_PER_LABEL_AND_PERSON)
        order = stream(self._seed, Purpose.ORDER, block).permutation(classes * PAIRS_PER_LABEL_AND_PERSON)
        person = block if self._people is None else block % self._people
        return person, int(order[place]) % classes

    def _subject(self, index: int) -> tuple[int, int, Subject]:
        person, label = self._person_and_label(index)
        expression = draw_expression(self._seed, index, self._labels[label])
        return person, label, Subject(_identity(self._seed, person), expression, draw_scene(self._seed, index))

    def _render(self, subject: Subject, index: int) -> tuple[Image, Image]:
        scene = subject.scene
        backdrop = stream(self._seed, Purpose.BACKDROP, index)
        palette = Palette(subject.identity, scene, self._band, backdrop)
        curves = FaceCurves(subject.identity, subject.expression, scene)
        if scene.glasses != "none":
            add_glasses(curves, subject.identity, scene)
        add_occlusion(curves, subject.identity, scene)
        reflectance, infrared = Painter(subject, curves, palette, self._size).draw(backdrop)
        pixels = stream(self._seed, Purpose.PIXELS, index)
        visible = visible_camera(reflectance, scene, pixels)
        if self._band == "nir":
            return visible, active_camera(infrared, scene, pixels)
        celsius = thermal_camera(infrared, scene, pixels)
        if self._bits == 16:
            return visible, thermal_16bit(celsius)
        return visible, thermal_8bit(celsius, scene)


def _check(count: int, seed: int, band: str, labels: tuple[str, ...]) -> None:
    if count < 1:
        raise UsageError(f"a synthetic set of {count} pairs", hint="ask for 1 pair or more: synthetic:COUNT:SEED")
    if seed < 0:
        raise UsageError(f"seed {seed} of a synthetic set is negative", hint="use 0 or more")
    if band not in ("lwir", "nir"):
        raise UsageError(f"infrared band {band!r}; there are lwir and nir", hint="write synthetic:COUNT:SEED:lwir")
    unknown = sorted(set(labels) - _KNOWN_LABELS)
    if unknown or len(labels) < 2 or len(set(labels)) != len(labels):
        raise UsageError(
            f"labels {', '.join(labels) or '(none)'} of a synthetic set",
            hint=f"name two or more different ones of {', '.join(sorted(_KNOWN_LABELS))}",
        )
