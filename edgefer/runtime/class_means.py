"""How far an embedding is from every class of a bundle, so that an estimate can say "none of these"."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import GraphSpec
from edgefer.errors import BundleError, InputError

Embeddings = npt.NDArray[np.floating[Any]]

_AT_ONCE = 1 << 20
"""Differences of embeddings from means that are in memory at a time."""


class ClassMeans:
    """Where the classes lie in an embedding, and how wide each is.

    Args:
        means: (C, D) floating point, a class in each row.
        spread: C numbers above 0: the root mean square distance of a class's samples from its mean.
    """

    def __init__(self, means: Embeddings, spread: Sequence[float]) -> None:
        self._means = means.astype(np.float64)
        self._scale = 1.0 / np.array(spread, np.float64)

    @property
    def size(self) -> int:
        """D, the number of values of an embedding."""
        return int(self._means.shape[1])

    def distances(self, embeddings: Embeddings) -> npt.NDArray[np.float64]:
        """How far each of (N, D) is from the nearest class: the smallest of its distances to the means, each in units
        of that class's spread; (N,) float64."""
        rows = max(1, _AT_ONCE // self._means.size)
        if len(embeddings) <= rows:
            return self._nearest(embeddings)
        return np.concatenate(
            [self._nearest(embeddings[start : start + rows]) for start in range(0, len(embeddings), rows)]
        )

    def _nearest(self, embeddings: Embeddings) -> npt.NDArray[np.float64]:
        differences = embeddings.astype(np.float64)[:, None, :] - self._means
        lengths = np.sqrt(np.einsum("ncd,ncd->nc", differences, differences))
        nearest: npt.NDArray[np.float64] = (lengths * self._scale).min(axis=1)
        return nearest


class Rejection:
    """Tells samples of a bundle's classes from others, by the output `output` of the graph."""

    def __init__(self, output: str, means: ClassMeans, reject_beyond: float) -> None:
        self.output = output
        self._means, self._reject_beyond = means, reject_beyond

    def judge(self, embedding: Embeddings) -> tuple[float, bool]:
        """The distance of an embedding (D,) from the nearest class, and whether that is near enough to be of it.

        Raises:
            BundleError: the graph gives an embedding of another shape than the manifest says.
            InputError: the embedding is not finite.
        """
        expected = (self._means.size,)
        if embedding.shape != expected:
            raise BundleError(
                f"the graph answered an embedding '{self.output}' of the shape {embedding.shape} for each example, "
                f"expected {expected}, as the means of the classes have it",
                hint="build the bundle again",
            )
        distance = float(self._means.distances(embedding[None])[0])
        if not math.isfinite(distance):
            raise InputError(
                f"the graph answered an embedding '{self.output}' that is not finite",
                hint="inputs must be in the range that the manifest states; if they are, run `edgefer verify`",
            )
        return distance, distance <= self._reject_beyond


def rejection(bundle: Bundle, graph: GraphSpec) -> Rejection | None:
    """What tells known samples from others for this graph; None where the bundle does not say, or says it of another.

    Raises:
        BundleError: the means of the classes are not what the manifest says.
    """
    embedding = bundle.manifest.embedding
    if embedding is None:
        return None
    sizes = [output.shape[1] for output in graph.outputs if output.name == embedding.output]
    if not sizes:
        return None
    means = bundle.array(embedding.means)
    expected = (len(bundle.manifest.labels), sizes[0])
    if means.dtype != np.float32 or means.shape != expected:
        raise BundleError(
            f"the means of the classes are {means.dtype} {means.shape}, expected float32 {expected}: a row for each "
            f"label, and as many columns as the output '{embedding.output}' has",
            hint="build the bundle again",
        )
    if not np.isfinite(means).all():
        raise BundleError("the means of the classes hold NaN or infinity", hint="build the bundle again")
    return Rejection(embedding.output, ClassMeans(means, embedding.spread), embedding.reject_beyond)
