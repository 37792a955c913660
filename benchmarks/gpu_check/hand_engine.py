"""The hand-built network as an engine: what `edgefer.engine.loaded.LoadedEngine` is to a session, without TensorRT."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np

from benchmarks.gpu_check.hand_built import CAMERAS, CHANNELS, LOGITS, HandBuilt
from edgefer.engine.loaded import EngineTensor
from edgefer.errors import EngineIncompatible
from edgefer.kernels import channel_gate, gated_fusion
from edgefer.kernels.channel_gate import ChannelGateParams
from edgefer.kernels.gated_fusion import GatedFusionParams
from edgefer.kernels.launch import Kernels
from edgefer.kernels.plan import Plan, fill
from edgefer.runtime.cuda import CudaDevice

_ALIGNED = 256


class HandBuiltEngine:
    """Its weights are in the GPU's memory until `close`. There is one profile for each batch, as TensorRT would have.

    Args:
        network: what it computes.
        device: whose memory it takes; the kernels are loaded into the same context.
        kernels: those that it launches.
    """

    def __init__(self, network: HandBuilt, device: CudaDevice, kernels: Kernels) -> None:
        self._network, self._kernels = network, kernels
        self.batches = network.batches
        shape = (-1, *network.shape(1)[1:])
        self.inputs = tuple(EngineTensor(camera, shape, np.dtype(np.float32)) for camera in CAMERAS)
        self.outputs = (EngineTensor(LOGITS, (-1, 2 * CHANNELS), np.dtype(np.float32)),)
        self.dynamic = True
        self.weights: dict[str, int] = {}
        with ExitStack() as undo, device.current(), device.stream() as stream:
            kept = []
            for name, array in network.weights().items():
                memory = device.allocate(array.nbytes)
                undo.callback(memory.close)
                self.weights[name] = memory.address
                stream.copy_in(memory.address, array)
                kept.append(array)
            stream.wait()
            self._undo = undo.pop_all()

    def profile_of(self, batch: int) -> int:
        """The profile that serves a batch.

        Raises:
            EngineIncompatible: none does.
        """
        if batch not in self.batches:
            raise EngineIncompatible(f"the network was built by hand for the batches {self.batches}, and not {batch}")
        return self.batches.index(batch)

    def activation_bytes(self, profile: int | None = None) -> int:
        """Bytes for the maps between the gates and for the kernels' scratch memory."""
        batches = self.batches if profile is None else (self.batches[profile],)
        return max(Activations(self._network, self._kernels, batch).size for batch in batches)

    def own_bytes(self) -> int:
        """Every context is given its memory; by itself it takes none."""
        return 0

    def context(self, profile: int, *, stream: int, memory: int | None) -> HandBuiltContext:
        """A context for the batch of a profile, whose activations are at `memory`.

        Raises:
            EngineIncompatible: no memory is given.
        """
        if memory is None:
            raise EngineIncompatible("a network built by hand has to be given its activation memory")
        return HandBuiltContext(self._network, self._kernels, self.batches[profile], memory)

    def prepare(self, context: HandBuiltContext, batch: int, addresses: dict[str, int]) -> None:
        """Put the addresses of the tensors in.

        Raises:
            EngineIncompatible: the context is for another batch.
        """
        if batch != context.batch:
            raise EngineIncompatible(f"the context is for a batch of {context.batch}, and not of {batch}")
        context.prepare({**self.weights, **addresses})

    def refused(self, what: str) -> EngineIncompatible:
        """The error for something that was not done."""
        return EngineIncompatible(f"the network built by hand did not {what}")

    def close(self) -> None:
        """Give the weights back; a second call does nothing."""
        self._undo.close()


class Activations:
    """Where in a block of activation memory everything lies: two maps that the gates write in turn for each camera, and
    scratch memory that all launches share, as they follow each other."""

    def __init__(self, network: HandBuilt, kernels: Kernels, batch: int) -> None:
        self.gate: Plan = channel_gate.plan(network.gate(batch), kernels.gpu)
        self.fusion: Plan = gated_fusion.plan(network.fusion(batch), kernels.gpu)
        map_bytes = _aligned(4 * int(np.prod(network.shape(batch))))
        self.offsets: dict[str, int] = {}
        self.size = 0
        for camera in CAMERAS:
            for parity in range(2):
                self.offsets[f"{camera} {parity}"] = self._take(map_bytes)
        self.offsets["workspace"] = self._take(max(self.gate.workspace_bytes, self.fusion.workspace_bytes))

    def _take(self, size: int) -> int:
        offset = self.size
        self.size += _aligned(max(size, 1))
        return offset


class HandBuiltContext:
    """Runs the network on a stream, once `prepare` has told it the addresses."""

    def __init__(self, network: HandBuilt, kernels: Kernels, batch: int, memory: int) -> None:
        self._network, self._kernels, self.batch = network, kernels, batch
        self._layout = Activations(network, kernels, batch)
        self._at = {name: memory + offset for name, offset in self._layout.offsets.items()}
        self._launches: list[tuple[Plan, ctypes.Structure]] = []

    def prepare(self, addresses: dict[str, int]) -> None:
        """Fill the kernels' parameters: weights by their names, tensors by theirs."""
        self._launches = list(self._planned(addresses))

    def execute_async_v3(self, stream: int) -> bool:
        """Put all launches on a stream."""
        launch: Callable[[Plan, ctypes.Structure, Any], None] = self._kernels.launch
        for plan, parameters in self._launches:
            launch(plan, parameters, stream)
        return bool(self._launches)

    def _planned(self, addresses: dict[str, int]) -> Iterator[tuple[Plan, ctypes.Structure]]:
        last = {}
        for camera in CAMERAS:
            source = addresses[camera]
            for number in range(self._network.gates):
                target = self._at[f"{camera} {number % 2}"]
                weights = {name: addresses[f"{camera} {number} {name}"] for name in ("W1", "b1", "W2", "b2")}
                given = {"X": source, "Y": target, "workspace": self._at["workspace"], **weights}
                yield self._layout.gate, fill(ChannelGateParams, self._layout.gate, given)
                source = target
            last[camera] = source
        given = {
            "Fv": last["visible"],
            "Fi": last["infrared"],
            "f": addresses[LOGITS],
            "workspace": self._at["workspace"],
            **{name: addresses[name] for name in ("Wv", "bv", "Wi", "bi")},
        }
        yield self._layout.fusion, fill(GatedFusionParams, self._layout.fusion, given)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED
