"""How much of the GPU's memory a session is going to take, known before it takes any of it."""

from __future__ import annotations

from dataclasses import dataclass

from edgefer.engine.loaded import LoadedEngine
from edgefer.errors import UsageError
from edgefer.runtime.gpu.buffers import layout
from edgefer.runtime.gpu_settings import GpuSettings


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes of GPU memory, of all lanes: for inputs and outputs, and for activations (None: TensorRT does not say)."""

    buffers: int
    activations: int | None

    @property
    def total(self) -> int:
        return self.buffers + (self.activations or 0)

    def text(self) -> str:
        """What it is, in words."""
        activations = "activations unknown" if self.activations is None else f"activations {self.activations}"
        return f"{self.total} bytes (inputs and outputs {self.buffers}, {activations}), and the weights of the engine"


def memory_need(engine: LoadedEngine, settings: GpuSettings, *, zero_copy: bool) -> MemoryNeed:
    """What the lanes of a session need. What works on the host's memory takes none of the GPU's."""
    buffers = 0 if zero_copy else max(layout(engine, batch).size for batch in engine.batches)
    activations = engine.activation_bytes()
    if activations is None:
        own = engine.own_bytes()
        # Every context has its own then, and every batch a context.
        activations = None if own is None else own * len(engine.batches)
    return MemoryNeed(
        buffers=settings.streams * buffers,
        activations=None if activations is None else settings.streams * activations,
    )


def check_limit(need: MemoryNeed, settings: GpuSettings) -> None:
    """See that the limit allows what is needed.

    Raises:
        UsageError: it does not.
    """
    limit = settings.memory_limit
    if limit is not None and need.total > limit:
        one = settings.streams == 1
        streams = "one stream of this engine needs" if one else f"{settings.streams} streams of this engine need"
        raise UsageError(
            f"{streams} {need.total} bytes of GPU memory, and memory_limit is {limit}",
            hint="raise the limit, or build the bundle for smaller batches" + ("" if one else ", or use fewer streams"),
            details=need.text(),
        )
