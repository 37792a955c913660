"""The graphs that a session launches, timed on the GPU alone."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from benchmarks.gpu_check.subject import device_of, runner_of
from edgefer.kernels.streams import Event
from edgefer.runtime.device_array import device_array
from edgefer.runtime.gpu import device_feeds
from edgefer.runtime.gpu.inference import Inference
from edgefer.runtime.gpu.lane import Lane
from edgefer.runtime.session import Session

LEAD = 3
"""Replays in front of the one that is timed. With an idle GPU the first event would have passed before the host comes
to the launch, and the time between the two would be the host's."""


class Replay:
    """An inference of a session's first lane, between two events. Nobody else may use the session meanwhile."""

    def __init__(self, session: Session, inference: Inference) -> None:
        self._device, self._lane = device_of(session), lane_of(session)
        self.inference = inference
        with self._device.current():
            self._begin, self._end = Event(self._device.driver), Event(self._device.driver)

    def seconds(self) -> float:
        """What one replay takes on the GPU."""
        with self._device.current():
            for _ in range(LEAD):
                self.inference.launch()
            self._begin.record(self._lane.stream)
            self.inference.launch()
            self._end.record(self._lane.stream)
            return self._end.seconds_since(self._begin)

    def __enter__(self) -> Replay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._device.current():
            self._begin.close()
            self._end.close()


def lane_of(session: Session) -> Lane:
    """The first, which is the only one of a session with one stream."""
    lane: Lane = runner_of(session).lanes[0]
    return lane


def from_host(session: Session) -> Inference:
    """What `infer` launches for arrays on the host, in the smallest batch."""
    return lane_of(session).plain[session.batches[-1]]


def from_gpu(session: Session, arrays: Mapping[str, Any]) -> Inference:
    """What `infer` launches for these arrays in the GPU's memory, which were bound."""
    lane, batch = lane_of(session), session.batches[-1]
    given = {name: device_array(array, name) for name, array in arrays.items()}
    found = {name: array for name, array in given.items() if array is not None}
    with device_of(session).current():
        return device_feeds.bound_inference(lane, device_feeds.key_of(found, lane.batches[batch]))
