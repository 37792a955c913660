"""What a session does with camera frames: by the kernel on the GPU where it takes them, else on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import numpy as np

from edgefer.bundle.manifest import GraphSpec
from edgefer.errors import EnvironmentMismatch, InputError
from edgefer.runtime.binding import Binder, Bound
from edgefer.runtime.frame_tensors import Frame, Given, ViewLike, frame_tensors
from edgefer.runtime.gpu_settings import GpuSettings
from edgefer.runtime.preprocess import ColourOrder, Preprocessor
from edgefer.runtime.runner import Runner

if TYPE_CHECKING:
    from edgefer.runtime.gpu.tensorrt_frames import TensorRtFrames

IMAGES = "images"
"""Where a session's settings say how frames become inputs."""
_BY_KERNEL = "pre-processed on the GPU, in the graph of the engine"


class Cameras:
    """The cameras of a session's graph. Holds no state that a call changes but for what it tells.

    Args:
        graph: whose inputs they are.
        binder: completes what is given with masks and missing cameras.
        settings: what the session says of itself; `IMAGES` gets how the last frames became inputs on a GPU, and why not
            there.
        runner: of the session where it runs on a GPU, else None.
        gpu: what the session may take of it.

    Raises:
        InputError: an input is said to be of a camera, and no image can be made into it.
    """

    def __init__(
        self,
        graph: GraphSpec,
        binder: Binder,
        settings: dict[str, str],
        runner: Runner | None = None,
        gpu: GpuSettings | None = None,
    ) -> None:
        self._binder, self._settings = binder, settings
        self._preprocessors = {
            str(spec.role): Preprocessor(spec)
            for spec in graph.inputs
            if spec.image is not None and spec.role in ("visible", "infrared")
        }
        # What stands for an input that the kernel writes.
        self._stand_ins = {
            role: np.zeros((1, *each.spec.shape[1:]), np.float32) for role, each in self._preprocessors.items()
        }
        self._on_gpu = None if runner is None or not self._preprocessors else self._opened(graph, runner, gpu)

    def prepare(
        self,
        runner: Runner,
        frames: Mapping[str, Frame | None],
        views: Mapping[str, ViewLike | None] | None,
        colour: ColourOrder,
    ) -> tuple[Runner, Bound]:
        """What answers the frames, as a runner does, and the feeds for it.

        Args:
            runner: the session's.
            frames: by role; None for a camera that is missing.
            views: by role, a View or a homography (3, 3) from the input's pixels to the frame's; None for the fit that
                the manifest says, for one camera or all.
            colour: the order of three channels.

        Raises:
            InputError: a frame or a view cannot be taken, or is of a camera that the network has not, or a camera is
                missing.
            EnvironmentMismatch: OpenCV is not installed, where the CPU does it.
        """
        if colour not in ("bgr", "rgb"):
            raise InputError(f"the colour order of the images is {colour!r}, expected 'bgr' or 'rgb'")
        if views is not None and not isinstance(views, Mapping):
            raise InputError(
                f"`views` is a {type(views).__name__}, expected views by role",
                hint="such as views={'visible': view}",
            )
        given = self._given(frames, views or {})
        names = {role: each.name for role, each in given.items()}
        if self._on_gpu is not None:
            found = self._on_gpu.prepare(given, colour)
            if not isinstance(found, str):
                self._settings[IMAGES] = _BY_KERNEL
                bound = self._binder.bind_preprocessed({names[role]: self._stand_ins[role] for role in given})
                return cast(Runner, found), bound
            self._settings[IMAGES] = f"on the CPU: {found}"
        tensors = frame_tensors(list(given.values()), colour)
        return runner, self._binder.bind_preprocessed(dict(zip(names.values(), tensors, strict=True)))

    def _given(self, frames: Mapping[str, Frame | None], views: Mapping[str, ViewLike | None]) -> dict[str, Given]:
        given: dict[str, Given] = {}
        for role, frame in frames.items():
            if frame is None:
                continue
            preprocessor = self._preprocessors.get(role)
            if preprocessor is None:
                raise InputError(
                    f"the network takes no {role} image",
                    hint=f"it takes: {', '.join(self._preprocessors) or 'tensors only, with Session.infer'}",
                )
            given[role] = Given(preprocessor, frame, views.get(role))
        beside = sorted(role for role, view in views.items() if view is not None and role not in given)
        if beside:
            raise InputError(
                f"there is a view of '{beside[0]}', and no frame of that camera",
                hint=f"frames were given of: {', '.join(given) or 'no camera'}",
            )
        return given

    def _opened(self, graph: GraphSpec, runner: Runner, gpu: GpuSettings | None) -> TensorRtFrames | None:
        # Not before there is a GPU: it is much to import.
        from edgefer.runtime.gpu.tensorrt_frames import TensorRtFrames
        from edgefer.runtime.tensorrt import TensorRtRunner

        if not isinstance(runner, TensorRtRunner):
            return None
        try:
            found = TensorRtFrames(runner, graph, gpu)
        except EnvironmentMismatch as error:
            self._settings[IMAGES] = f"on the CPU: {error.message}"
            return None
        self._settings[IMAGES] = _BY_KERNEL
        return found
