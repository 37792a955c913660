"""The order of the samples of an epoch, in batches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgefer_export.train.spec import Sampler

Order = list[npt.NDArray[np.int64]]


class Orders:
    """Draws the order of one epoch after the other.

    `shuffled` takes every sample once before any twice. `class-cyclic` takes at place k a sample of class k mod C, each
    class in a shuffled order of its own that begins anew when it is through, so that a batch of C samples or more has
    every class that there are images of.

    Args:
        labels: (N,) the class of each sample.
        batch: samples a batch; what does not fill one is left out of that epoch, unless it is all there is.
        seed: of the draws.
        sampler: see above.
        samples: places of an epoch; None: N.
    """

    def __init__(
        self, labels: npt.NDArray[np.int64], batch: int, seed: int, *, sampler: Sampler, samples: int | None
    ) -> None:
        self._count = len(labels)
        self._places = samples or self._count
        self._batch = batch
        self._members = None
        if sampler == "class-cyclic":
            self._members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        self.generator = np.random.default_rng(seed)

    @property
    def batches(self) -> int:
        """Batches of an epoch."""
        return max(1, self._places // self._batch)

    def draw(self) -> Order:
        """The next epoch: arrays of indices."""
        places = self._cyclic() if self._members is not None else self._shuffled()
        return np.array_split(places[: self.batches * self._batch], self.batches)

    def _shuffled(self) -> npt.NDArray[np.int64]:
        rounds = [self.generator.permutation(self._count) for _ in range(-(-self._places // self._count))]
        return np.concatenate(rounds)[: self._places]

    def _cyclic(self) -> npt.NDArray[np.int64]:
        members = self._members or []
        turns = -(-self._places // len(members))
        columns = []
        for indices in members:
            rounds = [self.generator.permutation(indices) for _ in range(-(-turns // len(indices)))]
            columns.append(np.concatenate(rounds)[:turns])
        return np.stack(columns, axis=1).reshape(-1)[: self._places]
