"""What a session answers."""

from __future__ import annotations

from collections.abc import Mapping
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
    """

    label: str
    index: int
    confidence: float
    labels: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]
    outputs: Mapping[str, npt.NDArray[Any]]
    modalities: tuple[str, ...]


def softmax(logits: npt.NDArray[np.floating[Any]], temperature: float = 1.0) -> npt.NDArray[np.float32]:
    """exp(l / T) / sum exp(l / T) over the last axis in float64, with the largest taken off first so that no
    exponential overflows; returned in float32."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=-1, keepdims=True)
    weights = np.exp(scaled)
    probabilities: npt.NDArray[np.float32] = (weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)
    return probabilities
