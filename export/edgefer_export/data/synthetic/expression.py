"""What a label does to a face, as action units of the Facial Action Coding System.

The action units of each prototype are those of Ekman and Friesen, "Unmasking the Face" (1975) and EMFACS: happiness
6+12, sadness 1+4+15, surprise 1+2+5+26, anger 4+5+7+23, disgust 9+15+16, fear 1+2+4+5+20+26. Each label has several
mouths, and labels share some of them, so that no mouth decides alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edgefer_export.data.synthetic.streams import Purpose, normal, stream, uniform

VIRI_LABELS = ("angry", "happy", "neutral", "sad", "surprise")
"""Labels of VIRI, in the order of its authors' script."""

BASIC_LABELS = ("neutral", "happy", "surprise", "sad", "anger", "disgust", "fear")
"""The six basic expressions and neutral."""

# An upper face that decides, and mouths that several labels share. Numbers are activations at full intensity.
_UPPER: dict[str, dict[int, float]] = {
    "neutral": {},
    "happy": {6: 1.0},
    "sad": {1: 1.0, 4: 0.35, 43: 0.3},
    "surprise": {1: 0.95, 2: 1.0, 5: 1.0},
    "anger": {4: 1.0, 7: 0.65},
    "disgust": {9: 1.0, 4: 0.45, 6: 0.4, 7: 0.6},
    "fear": {1: 1.0, 2: 0.55, 4: 0.6, 5: 0.9},
}
_PRESSED = {24: 1.0, 17: 0.35}
_DROOPING = {15: 1.0, 17: 0.5}
_SMILE = {12: 1.0}
_GRIN = {12: 1.0, 25: 1.0, 10: 0.2}
_BARED = {10: 0.7, 16: 0.8, 20: 0.35, 25: 1.0}
_AGAPE = {25: 1.0, 26: 1.0}
_PARTED = {25: 0.8, 26: 0.25}
_STRETCHED = {20: 1.0, 25: 0.7, 26: 0.2}
_SNEER = {10: 1.0, 15: 0.45}
_REST: dict[int, float] = {}
_MOUTHS: dict[str, tuple[tuple[float, dict[int, float]], ...]] = {
    "neutral": ((0.8, _REST), (0.2, _PARTED)),
    "happy": ((0.45, _SMILE), (0.55, _GRIN)),
    "sad": ((0.65, _DROOPING), (0.2, _REST), (0.15, _PRESSED)),
    "surprise": ((0.7, _AGAPE), (0.3, _PARTED)),
    "anger": ((0.35, _PRESSED), (0.3, _DROOPING), (0.25, _BARED), (0.1, _AGAPE)),
    "disgust": ((0.6, _SNEER), (0.25, _BARED), (0.15, _DROOPING)),
    "fear": ((0.6, _STRETCHED), (0.25, _AGAPE), (0.15, _BARED)),
}

OTHER_NAMES = {"angry": "anger", "happiness": "happy", "sadness": "sad"}
"""What data sets call an expression that has another name in `BASIC_LABELS`."""


@dataclass(frozen=True)
class Expression:
    """Activations of action units in 0..1 and above, as one face shows them.

    `intensity` scaled the whole; `speech` is how far the mouth is open for talking, `blink` whether the lids are shut:
    both are habits of the moment that have nothing to do with the label.
    """

    intensity: float
    units: dict[int, float] = field(default_factory=dict)

    def unit(self, number: int) -> float:
        """Activation of an action unit, 0 where it is at rest."""
        return self.units.get(number, 0.0)


def draw_expression(seed: int, index: int, label: str, strength: float = 1.0) -> Expression:
    """The expression of item `index` under `seed` for this label; `strength` scales its intensity."""
    rng = stream(seed, Purpose.EXPRESSION, index)
    prototype = OTHER_NAMES.get(label, label)
    intensity = strength * uniform(rng, 0.7, 1.1)
    point = float(rng.random())
    mouths = _MOUTHS[prototype]
    mouth = mouths[-1][1]
    for share, candidate in mouths:
        if point < share:
            mouth = candidate
            break
        point -= share
    units: dict[int, float] = {}
    for part in (_UPPER[prototype], mouth):
        for number, level in part.items():
            units[number] = max(units.get(number, 0.0), level * intensity * (1.0 + normal(rng, 0.12)))
    # Nobody's face is quite still: small activations of everything, whatever the label.
    for number in (1, 2, 4, 5, 7, 12, 15, 17, 20):
        units[number] = units.get(number, 0.0) + abs(normal(rng, 0.05))
    return Expression(intensity=intensity, units=units)
