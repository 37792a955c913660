"""Answers from a bundle of two graphs: where people look, found every few frames, and the face weighted by it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from os import PathLike
from types import TracebackType
from typing import NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import GraphSpec, InputSpec
from edgefer.errors import InputError, UsageError
from edgefer.progress import Reporter
from edgefer.runtime.cpu_form import Asked
from edgefer.runtime.estimate import Estimate
from edgefer.runtime.fallback import warning_once
from edgefer.runtime.geometry import Box
from edgefer.runtime.gpu_settings import GpuSettings
from edgefer.runtime.preprocess import ColourOrder, Image, Preprocessor, checked_image
from edgefer.runtime.saliency_map import FULL, MapMaker, SaliencyMap, face_box
from edgefer.runtime.session import Session

NO_MAP = -1
"""The age of a map where there is none yet."""

Tensor = npt.NDArray[np.float32]


class _Frame(NamedTuple):
    """A frame with the box of the face and the part of it that is within the image."""

    image: Image
    face: Box
    crop: Box
    colour: ColourOrder


class SaliencySession:
    """Follows one face through the frames of one camera.

    On every `every`-th frame the saliency graph looks at the face; on those between, its last map moves with the box of
    the face. A frame with a run takes longer by that run. Several threads may use a session: each frame waits until the
    map of the one before is known, and the classifier answers any number at once. Which frame is next is then for the
    caller to see to.

    Args:
        bundle: a bundle with a saliency graph, or the path of one.
        every: run the saliency graph on one frame of so many; None takes the `rate` of the bundle.
        device, threads, cpu_form, gpu, reporter: of both graphs, as `Session` takes them; a limit of memory is that of
            each.

    Raises:
        InputError: the bundle has no saliency graph that serves another.
        UsageError: `every` is no whole number from 1.
        BundleError, EnvironmentMismatch, CompileError, EngineIncompatible: as `Session`.
    """

    def __init__(
        self,
        bundle: Bundle | str | PathLike[str],
        *,
        every: int | None = None,
        device: str = "auto",
        threads: int | None = None,
        cpu_form: Asked = "auto",
        gpu: GpuSettings | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        if every is not None and (not isinstance(every, int) or every < 1):
            raise UsageError(f"the saliency graph runs every {every!r} frames, expected a whole number from 1")
        opened = bundle if isinstance(bundle, Bundle) else Bundle.read(bundle)
        served, maker = serving(opened)
        self._every = every or max(1, round(1 / maker.rate))
        with ExitStack() as stack, warning_once():

            def session(graph: GraphSpec) -> Session:
                made = Session(
                    opened,
                    device=device,
                    threads=threads,
                    graph=graph.role,
                    cpu_form=cpu_form,
                    gpu=gpu,
                    reporter=reporter,
                )
                return stack.enter_context(made)

            # The classifier is closed first: it needs the maps, and not the other way round.
            self._saliency, self._classifier = session(maker), session(served)
            self._maker = map_maker(maker, self._saliency)
            self._face, self._map_input = _inputs(served, opened)
            self._preprocessors = Preprocessor(self._face), Preprocessor(self._map_input)
            self._stack = stack.pop_all()
        self._lock = threading.Lock()
        self._frames = self._runs = 0
        self.reset()

    def reset(self) -> None:
        """Forget the map, because another face is followed from here on: the next frame makes a new one."""
        with self._lock:
            self._map: SaliencyMap | None = None
            self._age = NO_MAP

    @property
    def every(self) -> int:
        """On one frame of so many the saliency graph runs."""
        return self._every

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the logits."""
        return self._classifier.labels

    @property
    def info(self) -> dict[str, object]:
        """That of the classifier's session; under `saliency` that of the other graph's, with `every`, the `frames` and
        `runs` so far, and the `age` of the map in frames (-1: there is none)."""
        with self._lock:
            seen = {"every": self._every, "frames": self._frames, "runs": self._runs, "age": self._age}
        return {**self._classifier.info, "saliency": {**self._saliency.info, **seen}}

    def infer_images(
        self,
        *,
        visible: Image,
        box: Sequence[float] | None = None,
        colour: ColourOrder = "bgr",
        run: bool | None = None,
    ) -> Estimate:
        """The answer for the next frame.

        Its `outputs` have `saliency`, the map (H, W) that the pixels were weighted by, and `saliency_age`, how many
        frames ago it was made; -1 says that there was none, and that the face was taken as it is.

        Args:
            visible: (H, W) or (H, W, 3), uint8 or uint16, any size.
            box: of the face in the image: x, y, width, height in pixels; it may reach beyond the image. None: the image
                is cropped to the face.
            colour: the order of the channels, as `Session.infer_images` takes it.
            run: run the saliency graph on this frame, or do not; None when it is due. Where it is left out when due it
                stays due.

        Raises:
            InputError: the image, the box or the colour is not as above, or the saliency graph answered what is not
                finite: the map and its age are then as they were before. Or the classifier did, for which the frame
                counts as any other.
            EnvironmentMismatch: OpenCV is not installed.
            UsageError: the session is closed.
        """
        tensors, age = self._tensors(self._framed(visible, box, colour), run)
        return self._with_map(self._classifier.infer_batch([tensors])[0], tensors, age)

    def infer_batch(
        self,
        frames: Sequence[Image],
        boxes: Sequence[Sequence[float] | None] | None = None,
        *,
        colour: ColourOrder = "bgr",
    ) -> list[Estimate]:
        """The answers for the next frames, the first of them first; the classifier runs in the batches of its graph.

        Raises:
            InputError: as `infer_images`, and the message names the frame: no frame counts where an image, a box or
                the colour is not as it must be; where the saliency graph answers what is not finite, those before do.
                Or there are not as many boxes as frames.
            UsageError: the session is closed.
        """
        if boxes is not None and len(boxes) != len(frames):
            raise InputError(f"there are {len(frames)} frames and {len(boxes)} boxes", hint="give a box, or None, each")
        checked = []
        for index, frame in enumerate(frames):
            with _naming(index):
                checked.append(self._framed(frame, None if boxes is None else boxes[index], colour))
        made = []
        for index, framed in enumerate(checked):
            with _naming(index):
                made.append(self._tensors(framed, None))
        answers = self._classifier.infer_batch([tensors for tensors, _ in made])
        return [self._with_map(answer, *each) for answer, each in zip(answers, made, strict=True)]

    def close(self) -> None:
        """Close both graphs. Using the session afterwards is an error; closing it again is none."""
        self._stack.close()

    def __enter__(self) -> SaliencySession:
        self._classifier.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<SaliencySession {self._classifier!r} every {self._every}>"

    def _framed(self, image: Image, box: Sequence[float] | None, colour: ColourOrder) -> _Frame:
        """What a caller gives for a frame, checked before anything of the session changes."""
        if colour not in get_args(ColourOrder):
            raise InputError(f"the colour order is {colour!r}, expected 'bgr' or 'rgb'")
        image = checked_image(image, self._face.name)
        return _Frame(image, *face_box(box, image), colour)

    def _tensors(self, frame: _Frame, run: bool | None) -> tuple[dict[str, Tensor], int]:
        """The tensors of a frame by input name, and the age of its map."""
        image, face, crop, colour = frame
        found, age = self._next(frame, run)
        shape = (crop[3] - crop[1], crop[2] - crop[0])
        codes = np.full(shape, FULL, np.uint16) if found is None else found.on(face, crop)
        part = image[crop[1] : crop[3], crop[0] : crop[2]]
        of_face, of_map = self._preprocessors
        return {self._face.name: of_face(part, colour=colour), self._map_input.name: of_map(codes)}, age

    def _next(self, frame: _Frame, run: bool | None) -> tuple[SaliencyMap | None, int]:
        """The map for the next frame and its age, the saliency graph run where it is due."""
        with self._lock:
            due = self._map is None or self._age + 1 >= self._every
            if due if run is None else run:
                self._map = self._maker(frame.image, face=frame.face, crop=frame.crop, colour=frame.colour)
                self._age = 0
                self._runs += 1
            elif self._map is not None:
                self._age += 1
            self._frames += 1
            return self._map, self._age

    def _with_map(self, answer: Estimate, tensors: dict[str, Tensor], age: int) -> Estimate:
        used = {"saliency": tensors[self._map_input.name][0, 0], "saliency_age": np.array(age)}
        return replace(answer, outputs={**answer.outputs, **used})


def serving(bundle: Bundle) -> tuple[GraphSpec, GraphSpec]:
    """The graph of a bundle that takes a map, and the one that makes it.

    Raises:
        InputError: the bundle has no such two graphs.
    """
    said = bundle.manifest.saliency
    if said is None:
        raise InputError(
            f"the bundle of {bundle.manifest.network.name} has no saliency graph that serves another",
            hint="edgefer.load opens it; one with two graphs is built with --saliency",
        )
    graphs = bundle.manifest.graphs
    served = next(graph for graph in graphs if any(spec.name == said.input for spec in graph.inputs))
    return served, bundle.graph("saliency")


@contextmanager
def _naming(index: int) -> Iterator[None]:
    """Says which frame a refusal is about."""
    try:
        yield
    except InputError as error:
        raise InputError(f"frame {index}: {error.message}", hint=error.hint, details=error.details) from error


def map_maker(graph: GraphSpec, session: Session) -> MapMaker:
    """What makes maps with the saliency graph that a session runs."""
    return MapMaker(graph.inputs[0], graph.outputs[0].name, session.run)


def _inputs(graph: GraphSpec, bundle: Bundle) -> tuple[InputSpec, InputSpec]:
    """The face and the map among the inputs of the graph that takes both."""
    said = bundle.manifest.saliency
    face = next((spec for spec in graph.inputs if spec.role == "visible"), None)
    taken = next(spec for spec in graph.inputs if said is not None and spec.name == said.input)
    if face is None or len(graph.inputs) != 2:
        raise InputError(
            f"graph '{graph.role}' takes {', '.join(spec.name for spec in graph.inputs)}; a face and its map are "
            "expected",
            hint="make the tensors yourself: Session with graph= runs one graph, and MapMaker makes the map",
        )
    return face, taken
