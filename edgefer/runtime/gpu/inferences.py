"""The inferences of one lane, by what they are for: those of the engine's batches for good, others while in use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from edgefer.runtime.gpu.inference import Inference

KEPT = 4
"""Of each kind: sets of bound addresses, formats of frames."""


class Inferences:
    """Inferences by batch and key. The kind of a key is its first entry where it is a tuple, else the key itself; of
    each kind the last `KEPT` that were used are there.

    It refers to no device, which calls `close` before it releases the memory that they work in.
    """

    def __init__(self) -> None:
        self._by_kind: dict[Hashable, OrderedDict[tuple[int, Hashable], Inference]] = {}
        self._for_good: list[Inference] = []

    def get(self, batch: int, key: Hashable) -> Inference | None:
        """One that is there, and is now the last that was used of its kind."""
        kept = self._by_kind.get(_kind(key))
        found = None if kept is None else kept.get((batch, key))
        if kept is not None and found is not None:
            kept.move_to_end((batch, key))
        return found

    def keep(self, key: Hashable, inference: Inference) -> None:
        """Add one; the one of its kind that was not used for longest goes where there are too many."""
        kept = self._by_kind.setdefault(_kind(key), OrderedDict())
        kept[inference.batch, key] = inference
        while len(kept) > KEPT:
            kept.popitem(last=False)[1].close()

    def keep_for_good(self, inference: Inference) -> None:
        """Add one that stays."""
        self._for_good.append(inference)

    def drop(self, batch: int, key: Hashable) -> None:
        """Close one; nothing where it is not there."""
        found = self._by_kind.get(_kind(key), OrderedDict[tuple[int, Hashable], Inference]()).pop((batch, key), None)
        if found is not None:
            found.close()

    def close(self) -> None:
        """Close all of them. The first error is raised when all are closed."""
        errors: list[Exception] = []
        of_kinds = [each for kept in self._by_kind.values() for each in kept.values()]
        self._by_kind.clear()
        for each in reversed([*self._for_good, *of_kinds]):
            try:
                each.close()
            except Exception as error:  # the others are to be closed all the same
                errors.append(error)
        self._for_good.clear()
        if errors:
            raise errors[0]


def _kind(key: Hashable) -> Hashable:
    return key[0] if isinstance(key, tuple) and key else key
