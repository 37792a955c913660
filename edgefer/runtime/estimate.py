"""What a session answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Estimate:
    """One answer of the network.

    Attributes:
        label: the most probable class, `labels[index]`.
        index: its place among the labels.
        confidence: its probability, 0..1.
        labels: all classes, in the order of the logits.
        probabilities: (C,) float32, softmax of the logits divided by the bundle's temperature.
        logits: (C,) float32, as the network gave them.
        outputs: every other output of the graph by name, without its batch axis.
        modalities: the cameras that the answer rests on, such as ("visible", "infrared").
        distance: how far the embedding is from the nearest class, in units of the spread of that class's samples; None
            where the bundle does not say where the classes lie.
        known: whether that is near enough for one of the classes; False says "none of these", whatever the label, which
            is always that of the largest logit. None as above.
    """

    label: str
    index: int
    confidence: float
    labels: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]
    outputs: Mapping[str, npt.NDArray[Any]]
    modalities: tuple[str, ...]
    distance: float | None = None
    known: bool | None = None


def softmax(logits: Sequence[float], temperature: float = 1.0) -> list[float]:
    """exp(l / T) / sum exp(l / T) in double precision, with the largest taken off first so that nothing overflows.

    In plain Python: for the few classes that there are, calling NumPy costs more than the sum.
    """
    largest = max(logits)
    weights = [math.exp((logit - largest) / temperature) for logit in logits]
    total = math.fsum(weights)
    return [weight / total for weight in weights]
