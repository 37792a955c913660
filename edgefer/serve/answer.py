"""Logits made into labels and probabilities, as sessions do it, for batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edgefer.errors import InputError
from edgefer.runtime.class_means import ClassMeans, Rejection
from edgefer.runtime.estimate import softmax
from edgefer.serve.settings import AnswerSettings


class Answer:
    """Makes what clients are told. Holds no state that a call changes.

    Attributes:
        embedding: the output of the network that a call takes beside the logits, None where it takes none.
    """

    def __init__(self, settings: AnswerSettings) -> None:
        self._labels = [label.encode() for label in settings.labels]
        self._temperature = settings.temperature
        self._rejection: Rejection | None = None
        if settings.means is not None:
            means = ClassMeans(np.array(settings.means.means, np.float32), settings.means.spread)
            self._rejection = Rejection(settings.means.output, means, settings.means.reject_beyond)
        self.embedding = None if self._rejection is None else self._rejection.output

    def __call__(
        self, logits: npt.NDArray[np.float32], embedding: npt.NDArray[np.float32] | None = None
    ) -> dict[str, npt.NDArray[Any]]:
        """`label` (N, 1) of bytes in UTF-8 and `probabilities` (N, C) float32; with class means also `distance` (N, 1)
        float32 and `known` (N, 1) bool, as `Estimate` has them.

        Args:
            logits: (N, C) float32.
            embedding: (N, D) float32, where the bundle says where the classes lie.

        Raises:
            InputError: the logits are not of that shape or not finite, or the embedding is missing or not finite.
            BundleError: the embedding is of another size than the class means.
        """
        expected = (len(logits) if logits.ndim else 0, len(self._labels))
        if logits.shape != expected or not expected[0]:
            raise InputError(f"the logits have the shape {logits.shape}, expected (N, {len(self._labels)})")
        if not np.isfinite(logits).all():
            raise InputError(
                "the network answered logits that are not finite", hint="run `edgefer verify` on the bundle"
            )
        rows = [softmax(row, self._temperature) for row in logits.tolist()]
        best = [row.index(max(row)) for row in logits.tolist()]
        answer: dict[str, npt.NDArray[Any]] = {
            "label": np.array([[self._labels[index]] for index in best], np.object_),
            "probabilities": np.array(rows, np.float32),
        }
        if self._rejection is not None:
            if embedding is None or len(embedding) != len(logits):
                raise InputError(f"the embedding '{self.embedding}' is missing, or not of the batch of the logits")
            judged = [self._rejection.judge(row) for row in embedding]
            answer["distance"] = np.array([[distance] for distance, _ in judged], np.float32)
            answer["known"] = np.array([[known] for _, known in judged], np.bool_)
        return answer
