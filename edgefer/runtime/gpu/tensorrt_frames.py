"""Camera frames on the GPU: copies, the pre-processing kernel, the engine and the copies out in one graph launch."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from edgefer.bundle.manifest import GraphSpec, InputSpec
from edgefer.errors import EdgeferWarning, UsageError
from edgefer.kernels.launch import Kernels
from edgefer.kernels.preprocess_frame import Camera
from edgefer.kernels.streams import Stream
from edgefer.runtime.frame_tensors import Given
from edgefer.runtime.gpu.device_feeds import check_reach, wait_for_producers
from edgefer.runtime.gpu.frame_memory import Taken, taken
from edgefer.runtime.gpu.inference import Inference, Stage
from edgefer.runtime.gpu.inferences import KEPT
from edgefer.runtime.gpu.lane import Lane
from edgefer.runtime.gpu.memory_need import memory_need
from edgefer.runtime.gpu.stage import FrameStage, StageCamera, refused, stage_bytes
from edgefer.runtime.gpu.stages import Key, LaneStages
from edgefer.runtime.gpu_settings import GpuSettings
from edgefer.runtime.preprocess import ColourOrder
from edgefer.runtime.tensorrt import TensorRtRunner
from edgefer.runtime.view import Size, View, fitted, of_frame

Array = npt.NDArray[Any]
_REMEMBERED = 64
"""Sizes of frames whose views by the manifest are remembered, and keys that the kernel takes."""


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames that are ready to be answered; `run` is that of a runner.

    Attributes:
        key: what their graph is captured for.
        taken: where each lies, by role.
        views: what is seen of each, by role.
    """

    owner: TensorRtFrames
    key: Key
    taken: Mapping[str, Taken]
    views: Mapping[str, View]

    def run(self, feeds: Mapping[str, Array], out: Mapping[str, Array] | None = None) -> dict[str, Array]:
        """All outputs by name; of `feeds` those are read that are no cameras.

        Raises:
            as `TensorRtRunner.run`.
        """
        return self.owner.run(self, feeds, out)


class TensorRtFrames:
    """Answers frames by the runner's engine. Any number of threads may use it at once.

    For each format, size and layout of the frames, and place where they lie in GPU memory, a lane captures a graph of
    its own, with memory of its own for the frames that the host brings. The last four are kept.

    Args:
        runner: whose lanes it uses, and with whose device it is given back.
        graph: says what the inputs are.
        settings: what the session may take of the GPU; None for the usual ones.

    Raises:
        PluginMissing: there is no binary of the kernel for this GPU.
        EnvironmentMismatch: it is missing or damaged.
        DeviceError: the driver refused it.
    """

    def __init__(self, runner: TensorRtRunner, graph: GraphSpec, settings: GpuSettings | None = None) -> None:
        self._runner = runner
        self._specs = {str(spec.role): spec for spec in graph.inputs if spec.role in ("visible", "infrared")}
        self._cameras = frozenset(spec.name for spec in self._specs.values())
        self._unfit = _unfit(runner, self._cameras)
        # Where nothing is copied to the GPU it works on the host's memory.
        self._zero_copy = next(iter(runner.lanes[0].batches.values())).copy_in() is None
        settings = settings or GpuSettings()
        self._limit = settings.memory_limit
        self._taken = memory_need(runner.engine, settings, zero_copy=self._zero_copy).total
        self._fits: dict[tuple[str, Size], View] = {}
        self._known: set[Key] = set()
        self._warned = False
        device = runner.device
        self._stages = {id(lane): LaneStages(lane, device) for lane in runner.lanes}
        with device.current():
            self._kernels = Kernels(device.ordinal, driver=device.driver)
        device.hold(self._kernels.close)

    def prepare(self, given: Mapping[str, Given], colour: ColourOrder) -> Frames | str:
        """The frames, ready to be run, or why the kernel makes no inputs of them.

        Args:
            given: frames and views by role.
            colour: the order of three channels.

        Raises:
            InputError: a frame or a view cannot be taken by anybody.
        """
        if self._unfit:
            return self._unfit
        frames: dict[str, Taken] = {}
        cameras: list[StageCamera] = []
        views: dict[str, View] = {}
        for role, each in given.items():
            found = taken(each.frame, each.name, colour)
            if isinstance(found, str):
                return f"the {role} camera {found}"
            frames[role] = found
            spec, size = self._specs[role], each.preprocessor.size
            image = spec.image
            assert image is not None
            frame = (found.frame.height, found.frame.width)
            if each.view is None:
                views[role] = self._fit(spec, size, frame)
            else:
                views[role] = of_frame(each.view, size, frame, each.name)
                # A view says itself how it is sampled.
                image = msgspec.structs.replace(image, resize="area-bilinear")
            camera = Camera(found.frame, image, spec.shape[1])
            cameras.append(StageCamera(role, camera, size, found.in_place))
        key: Key = ("frames", tuple(cameras))
        return self._refused(key) or Frames(self, key, frames, views)

    def run(self, frames: Frames, feeds: Mapping[str, Array], out: Mapping[str, Array] | None) -> dict[str, Array]:
        """All outputs by name, as `TensorRtRunner.run` gives them; `feeds` has the inputs that are no cameras.

        Raises:
            as `TensorRtRunner.run`; and UsageError: frames of this size do not fit into `memory_limit`; and InputError:
            a frame is not in this GPU's memory.
        """
        with self._runner.lane() as lane:
            stages = self._stages[id(lane)]
            stage = stages.get(frames.key) or self._stage(lane, frames)
            for name, array in lane.batches[1].inputs:
                if name not in self._cameras:
                    array[...] = feeds[name]
            stage.write({role: each.planes for role, each in frames.taken.items() if each.planes}, frames.views)
            arrays = [array for each in frames.taken.values() for array in each.arrays]
            wait_for_producers(lane, arrays)
            lane.launch(self._inference(lane, frames.key, stage))
            lane.counters["bound"] += len(arrays)
            lane.wait()
            return lane.results(1, out)

    def _refused(self, key: Key) -> str:
        if key in self._known:
            return ""
        reason = refused(key[1])
        if not reason:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known.add(key)
        return reason

    def _fit(self, spec: InputSpec, size: Size, frame: Size) -> View:
        """The same object for the same size, so that a stage sees that nothing changed."""
        key = (spec.name, frame)
        view = self._fits.get(key)
        if view is None:
            assert spec.image is not None
            if len(self._fits) >= _REMEMBERED:
                self._fits.clear()
            view = self._fits[key] = fitted(spec.image, size, frame)
        return view

    def _inference(self, lane: Lane, key: Key, stage: FrameStage) -> Inference:
        stages = self._stages[id(lane)]
        if stages.captured(key):
            return lane.inference(1, key=key, addresses={})
        if stages.gone(key) and not self._warned:
            self._warned = True
            warnings.warn(
                EdgeferWarning(
                    f"frames in GPU memory come from more than {KEPT} places in turn, and each time a graph is "
                    "captured anew; copy them into one buffer"
                ),
                stacklevel=2,
            )
        before, closed = self._before(lane, stage), stages.giving_back(key)
        inference = lane.inference(1, key=key, addresses={}, before=before, closed=closed)
        stages.hold(key)
        return inference

    def _stage(self, lane: Lane, frames: Frames) -> FrameStage:
        """A new stage of a lane for these cameras."""
        key = frames.key
        for role, each in frames.taken.items():
            for array in each.arrays:
                check_reach({self._specs[role].name: array}, self._runner.device)
        if not self._zero_copy and self._limit is not None:
            self._make_room(lane, stage_bytes(key[1]), self._limit)
        batch = lane.batches[1]
        sizes = {name: array.nbytes for name, array in batch.inputs}
        given = {each.role for each in key[1]}
        missing = [spec.name for role, spec in self._specs.items() if role not in given]
        stage = FrameStage(
            self._runner.device,
            self._kernels,
            key[1],
            {role: batch.addresses[spec.name] for role, spec in self._specs.items()},
            blank=[(batch.addresses[name], sizes[name]) for name in missing],
            zero_copy=self._zero_copy,
        )
        self._stages[id(lane)].keep(key, stage)
        return stage

    def _make_room(self, lane: Lane, size: int, limit: int) -> None:
        """See that the limit allows `size` bytes more; of this lane, what was captured for other frames goes first."""
        for key in (*self._stages[id(lane)].keys(), None):
            taken = self._taken + sum(stages.bytes_on_gpu for stages in self._stages.values())
            if taken + size <= limit:
                return
            if key is not None:
                lane.drop(1, key)
        raise UsageError(
            f"frames of this size need {size} bytes of GPU memory beside the {taken} that the session has, and "
            f"memory_limit is {limit}",
            hint="raise the limit, use fewer streams, or give smaller frames",
        )

    def _before(self, lane: Lane, stage: FrameStage) -> Stage:
        """The copies of the inputs that are no cameras, then the cameras."""
        others = lane.batches[1].copy_in([name for name, _ in lane.batches[1].inputs if name not in self._cameras])
        return stage.enqueue if others is None else _one_after_the_other(others, stage.enqueue)


def _one_after_the_other(first: Stage, second: Stage) -> Stage:
    def both(stream: Stream) -> None:
        first(stream)
        second(stream)

    return both


def _unfit(runner: TensorRtRunner, cameras: Collection[str]) -> str:
    """Why the engine is not one whose inputs the kernel writes, "" where it is."""
    if not cameras:
        return "the graph has no cameras"
    if 1 not in runner.lanes[0].batches:
        return f"the engine takes batches of {', '.join(map(str, runner.engine.batches))}, and frames come one by one"
    found = {each.name: each.dtype for each in runner.engine.inputs if each.name in cameras}
    if any(dtype != np.float32 for dtype in found.values()):
        return f"the engine reads {', '.join(f'{name} in {dtype}' for name, dtype in found.items())}"
    return ""
