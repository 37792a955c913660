"""The stages of the graphs that a lane keeps: each is given back with its graph, and after it."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from edgefer.runtime.cuda import CudaDevice
from edgefer.runtime.gpu.lane import Lane
from edgefer.runtime.gpu.stage import FrameStage, StageCamera

Key = tuple[str, tuple[StageCamera, ...]]
"""What a graph is captured for: formats, sizes and layout of the frames, what their pixels become, and where those in
GPU memory lie. The views are not part of it."""

_REMEMBERED = 64
"""Graphs that are gone."""


class LaneStages:
    """The stages of one lane, by what their graphs are captured for. The lane says which graph goes; its stage goes
    with it. Only whoever has taken the lane calls this."""

    def __init__(self, lane: Lane, device: CudaDevice) -> None:
        self._lane, self._device = lane, device
        self._stages: dict[Key, FrameStage] = {}
        self._held: dict[Key, int] = {}
        self._gone: set[Key] = set()

    def get(self, key: Key) -> FrameStage | None:
        return self._stages.get(key)

    def keep(self, key: Key, stage: FrameStage) -> None:
        self._stages[key] = stage

    def keys(self) -> list[Key]:
        return list(self._stages)

    @property
    def bytes_on_gpu(self) -> int:
        return sum(stage.bytes_on_gpu for stage in list(self._stages.values()))

    def gone(self, key: Key) -> bool:
        """Whether there was a graph for frames in these places in GPU memory, until others took its place."""
        return key in self._gone

    def captured(self, key: Key) -> bool:
        """Whether there is a graph for it."""
        return key in self._held

    def hold(self, key: Key) -> None:
        """Has the device give the graph back before the memory that it works in."""
        self._held[key] = self._device.hold(self._lane.dropping(1, key))

    def giving_back(self, key: Key) -> Callable[[], None]:
        """What gives a stage back, once its graph is gone."""
        # The device has the graphs, and must not refer to what refers to it.
        stages = weakref.ref(self)

        def give_back() -> None:
            found = stages()
            if found is not None:
                found._give_back(key)

        return give_back

    def _give_back(self, key: Key) -> None:
        stage, held = self._stages.pop(key, None), self._held.pop(key, None)
        if held is not None:
            self._device.let_go(held)
        if stage is not None:
            stage.close()
        if any(camera.in_place for camera in key[1]):
            if len(self._gone) >= _REMEMBERED:
                self._gone.clear()
            self._gone.add(key)
