"""Arrays of other libraries in the memory of a simulated GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt
from simulated_streams import Work

if TYPE_CHECKING:
    from simulated_gpu import SimulatedGpu


@dataclass(eq=False)
class ForeignArray:
    """An array of another library's, which says so by the CUDA Array Interface."""

    gpu: SimulatedGpu
    address: int
    shape: tuple[int, ...]
    dtype: Any
    stream: int | None = None

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "version": 3,
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.address, False),
            "strides": None,
            "stream": self.stream,
        }

    def produce(self, array: npt.NDArray[Any]) -> None:
        """Have its stream write new content, when its turn comes."""
        content = array.copy()

        def write() -> None:
            self.gpu.view(self.address, self.shape, self.dtype)[...] = content

        self.gpu.put(self.gpu.stream(self.stream or 1), Work("another library's kernel", write))

    def free(self) -> None:
        self.gpu.memory.free(self.address)
