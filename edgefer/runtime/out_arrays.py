"""Memory that a caller gives for answers, so that an inference allocates none."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefer.bundle.manifest import GraphSpec
from edgefer.errors import InputError

Arrays = Mapping[str, npt.NDArray[Any]]


class OutCheck:
    """Checks what is given for the outputs of one graph.

    Args:
        graph: the graph.
        types: of the elements of its outputs by name; float32 where they are left out.
    """

    def __init__(self, graph: GraphSpec, types: Mapping[str, np.dtype[Any]]) -> None:
        single = np.dtype(np.float32)
        self._specs = {spec.name: (spec.shape[1:], types.get(spec.name, single)) for spec in graph.outputs}

    def __call__(self, out: Arrays, batch: int) -> Arrays:
        """`out`, where every array is what a run in this batch can be written to.

        Raises:
            InputError: it is no mapping; an output is unknown; or an array has another shape or type, is read-only or
                not contiguous, or shares memory with another.
        """
        if not isinstance(out, Mapping):
            raise InputError(
                f"`out` is a {type(out).__name__}, expected arrays by the names of outputs",
                hint=f"such as out={{'{next(iter(self._specs))}': array}}",
            )
        for name, array in out.items():
            if name not in self._specs:
                raise InputError(f"the graph has no output '{name}'", hint=f"it has: {', '.join(self._specs)}")
            rest, dtype = self._specs[name]
            _check(array, name, (batch, *rest), dtype)
        for one, other in combinations(out, 2):
            if np.may_share_memory(out[one], out[other]):
                raise InputError(f"what is given for the outputs '{one}' and '{other}' is the same memory")
        return out


def _check(array: object, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if not isinstance(array, np.ndarray):
        raise InputError(
            f"`out` for '{name}' is a {type(array).__module__}.{type(array).__name__}, expected a NumPy array on the "
            f"host, {dtype} {shape}",
            hint=f"np.empty({shape}, np.{dtype})",
        )
    if array.shape != shape or array.dtype != dtype:
        raise InputError(
            f"`out` for '{name}' is {array.dtype} {array.shape}, expected {dtype} {shape}",
            hint=f"np.empty({shape}, np.{dtype})",
        )
    if not (array.flags.c_contiguous and array.flags.writeable):
        raise InputError(
            f"`out` for '{name}' is read-only or not contiguous",
            hint="give an array of its own, such as np.empty makes",
        )


def copied_into(out: Arrays, outputs: Arrays) -> dict[str, npt.NDArray[Any]]:
    """The outputs with those that `out` has copied there, and its arrays in their place."""
    for name, array in out.items():
        np.copyto(array, outputs[name], casting="no")
    return {**outputs, **out}
