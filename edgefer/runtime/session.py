"""Session: a graph of a bundle, loaded and ready to answer."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import GraphSpec
from edgefer.errors import BundleError, InputError, UsageError
from edgefer.runtime.binding import Binder, Bound, checked_tensor
from edgefer.runtime.class_means import rejection
from edgefer.runtime.cpu_form import Asked
from edgefer.runtime.estimate import Estimate, softmax
from edgefer.runtime.preprocess import ColourOrder, Image, Preprocessor, tensors_of
from edgefer.runtime.runners import Opened, Runner, RunnerRequest, open_runner
from edgefer.version import __version__

MOST_THREADS = 256
"""onnxruntime starts them all at once, and dies where the system refuses one."""

Outputs = dict[str, npt.NDArray[Any]]


class Session:
    """Answers with one graph of a bundle. Any number of threads may use one session at once.

    Args:
        bundle: a bundle, or the path of one.
        device: "auto", "cpu" or "tensorrt"; or a runner by its name: "openvino", "onnxruntime". The CPU is served by
            OpenVINO where it is installed and by onnxruntime otherwise, and always where `optimise` is False.
        threads: how many threads one inference may use on the CPU; None leaves it to the runner.
        optimise: False evaluates the graph literally, node by node, for comparisons that must not depend on the CPU.
        graph: the role of the graph to run where the bundle has several; None is the first.
        cpu_form: what onnxruntime runs of a bundle in INT8 or FP16. "auto" is a form that this CPU computes fast,
            derived from the deployed graph, checked against the golden inputs and cached; "deployed" is the graph as it
            is; "reduced" is a derived form with 7-bit weights, for x86 CPUs without VNNI. `info` says which one runs,
            and why. The bundle's verdict is on the deployed graph.

    Raises:
        BundleError: the file is not a whole bundle, or its graph is not what its manifest says.
        EnvironmentMismatch: the device, or a package that it needs, cannot be had here.
        InputError: the bundle has no graph with that role.
        UsageError: `device`, `threads` or `cpu_form` cannot be what they are.
    """

    def __init__(
        self,
        bundle: Bundle | str | os.PathLike[str],
        *,
        device: str = "auto",
        threads: int | None = None,
        optimise: bool = True,
        graph: str | None = None,
        cpu_form: Asked = "auto",
    ) -> None:
        if cpu_form not in get_args(Asked):
            raise UsageError(f"the form is {cpu_form!r}, expected one of {', '.join(get_args(Asked))}")
        if threads is not None and (not isinstance(threads, int) or not 1 <= threads <= MOST_THREADS):
            raise UsageError(f"the number of threads is {threads!r}, expected 1 to {MOST_THREADS}, or None")
        seconds: dict[str, float] = {}
        with _timed(seconds, "read"):
            opened_bundle = bundle if isinstance(bundle, Bundle) else Bundle.read(bundle)
        self._manifest = opened_bundle.manifest
        self._graph = opened_bundle.graph(graph)
        request = RunnerRequest(opened_bundle, self._graph, threads, optimise, cpu_form=cpu_form)
        with _timed(seconds, "open"):
            opened = open_runner(device, request)
        seconds["open"] -= sum(request.seconds.values())
        seconds.update(request.seconds)
        self._batches = _check_graph(self._graph, opened.runner)
        self._runner: Runner | None = opened.runner
        self._binder = Binder(self._graph)
        self._logits = next((output.name for output in self._graph.outputs if output.role == "logits"), None)
        self._rejection = rejection(opened_bundle, self._graph)
        self._cameras = {
            str(spec.role): Preprocessor(spec)
            for spec in self._graph.inputs
            if spec.image is not None and spec.role in ("visible", "infrared")
        }
        self._names_of_roles = {str(spec.role): spec.name for spec in self._graph.inputs}
        self._info = {
            **_info(opened_bundle, self._graph, opened, threads, optimise),
            "settings": request.settings,
            "seconds": seconds,
        }

    @property
    def info(self) -> dict[str, object]:
        """Runner, why it was chosen, threads, versions, graph and bundle: what to write down beside a result.

        `settings` is what the runner was set to beyond that, such as the precision that OpenVINO computes in, or which
        form of the graph onnxruntime runs, and why that one.
        `seconds` is what opening took, by stage: read (and verify), open (load the graph), and what the runner did
        beside that, such as deriving a form of the graph for this CPU.
        """
        return dict(self._info)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the logits."""
        return self._manifest.labels

    @property
    def graph(self) -> GraphSpec:
        """The graph that this session runs."""
        return self._graph

    @property
    def batches(self) -> tuple[int, ...]:
        """The batch sizes that `run` takes, largest first."""
        return self._batches

    def infer(self, **tensors: npt.NDArray[np.float32] | None) -> Estimate:
        """The answer for one example.

        Args:
            tensors: float32 (1, C, H, W) by role (`visible=`, `infrared=`) or by the input's own name, in the range
                that the manifest states. A camera may be left out (or None) where the graph takes a mask `present`.

        Raises:
            InputError: a tensor is unknown, missing, of the wrong type or shape, or not finite.
            UsageError: the session is closed.
        """
        return self._answers([self._binder.bind(tensors)])[0]

    def infer_images(
        self, *, visible: Image | None = None, infrared: Image | None = None, colour: ColourOrder = "bgr"
    ) -> Estimate:
        """The answer for one pair of images as a camera gives them, pre-processed as the manifest says.

        Args:
            visible: (H, W) or (H, W, 3), uint8 or uint16, any size.
            infrared: likewise.
            colour: the order of the channels of three-channel images: "bgr", as OpenCV reads them, or "rgb".

        Raises:
            InputError: an image is missing, of the wrong type or shape, or none is taken for that camera.
            EnvironmentMismatch: OpenCV is not installed.
            UsageError: the session is closed.
        """
        names: list[str] = []
        images: list[tuple[Preprocessor, Image]] = []
        for role, image in (("visible", visible), ("infrared", infrared)):
            if image is None:
                continue
            camera = self._cameras.get(role)
            if camera is None:
                raise InputError(
                    f"the network takes no {role} image",
                    hint=f"it takes: {', '.join(self._cameras) or 'tensors only, with Session.infer'}",
                )
            names.append(self._names_of_roles[role])
            images.append((camera, image))
        tensors = dict(zip(names, tensors_of(images, colour), strict=True))
        return self._answers([self._binder.bind_preprocessed(tensors)])[0]

    def infer_batch(self, examples: Sequence[Mapping[str, npt.NDArray[np.float32] | None]]) -> list[Estimate]:
        """The answers for several examples, each a mapping as `infer` takes; run in the batches of the graph.

        Raises:
            InputError: as `infer`; the message names the example.
            UsageError: the session is closed.
        """
        bound: list[Bound] = []
        for index, example in enumerate(examples):
            try:
                bound.append(self._binder.bind(example))
            except InputError as error:
                raise InputError(f"example {index}: {error.message}", hint=error.hint, details=error.details) from error
        return self._answers(bound)

    def run(self, feeds: Mapping[str, npt.NDArray[np.float32]]) -> Outputs:
        """Every output of the graph by name, raw, for feeds by input name with a batch that the graph was made for.

        Raises:
            InputError: a feed is unknown, missing, of the wrong type or shape, or not finite.
            UsageError: the session is closed.
        """
        known = {spec.name: spec for spec in self._graph.inputs}
        unknown, missing = sorted(feeds.keys() - known.keys()), sorted(known.keys() - feeds.keys())
        if unknown or missing:
            raise InputError(
                f"the feeds do not match the inputs: unknown {unknown}, missing {missing}",
                hint=f"it takes: {', '.join(known)}",
            )
        lengths = {np.shape(value)[0] if np.ndim(value) else 0 for value in feeds.values()}
        if not known:
            return self._opened().run({})
        if len(lengths) != 1 or not lengths <= set(self._batches):
            raise InputError(
                f"the feeds have the batches {sorted(lengths)}, expected the same for all, one of {self._batches}"
            )
        batch = lengths.pop()
        checked = {name: checked_tensor(feeds[name], spec, (batch, *spec.shape[1:])) for name, spec in known.items()}
        return self._opened().run(checked)

    def close(self) -> None:
        """Give the runner back. Using the session afterwards is an error; closing it again is none."""
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.close()

    def __enter__(self) -> Session:
        self._opened()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._runner is None else self._info["runner"]
        return f"<Session {self._manifest.network.name} graph '{self._graph.role}' {state}>"

    def _opened(self) -> Runner:
        runner = self._runner
        if runner is None:
            raise UsageError("the session is closed", hint="open another with edgefer.load")
        return runner

    def _answers(self, bound: Sequence[Bound]) -> list[Estimate]:
        runner = self._opened()
        if self._logits is None:
            raise InputError(
                f"graph '{self._graph.role}' has no logits, so there is no class to answer with",
                hint="Session.run gives its raw outputs",
            )
        answers: list[Estimate] = []
        while len(answers) < len(bound):
            left = bound[len(answers) :]
            batch = next((size for size in self._batches if size <= len(left)), self._batches[-1])
            answers += self._chunk(runner, left[:batch], batch)
        return answers

    def _chunk(self, runner: Runner, chunk: Sequence[Bound], batch: int) -> list[Estimate]:
        if batch == 1:
            outputs = runner.run(chunk[0].feeds)
        else:
            # A graph made for larger batches only: the last example fills the rest, and its answers are dropped.
            padded = [*chunk, *[chunk[-1]] * (batch - len(chunk))]
            outputs = runner.run({name: np.concatenate([b.feeds[name] for b in padded]) for name in padded[0].feeds})
        return [self._estimate(outputs, row, bound.modalities) for row, bound in enumerate(chunk)]

    def _estimate(self, outputs: Outputs, row: int, modalities: tuple[str, ...]) -> Estimate:
        assert self._logits is not None
        logits = outputs[self._logits][row].astype(np.float32, copy=False)
        values: list[float] = logits.tolist()
        if not all(map(math.isfinite, values)):
            raise InputError(
                f"graph '{self._graph.role}' answered logits that are not finite: {values}",
                hint="inputs must be in the range that the manifest states; if they are, run `edgefer verify`",
            )
        probabilities = softmax(values, self._manifest.temperature)
        index = values.index(max(values))
        distance, known = None, None
        if self._rejection is not None:
            distance, known = self._rejection.judge(outputs[self._rejection.output][row])
        return Estimate(
            label=self._manifest.labels[index],
            index=index,
            confidence=probabilities[index],
            labels=self._manifest.labels,
            probabilities=np.array(probabilities, np.float32),
            logits=logits,
            outputs={name: value[row] for name, value in outputs.items() if name != self._logits},
            modalities=modalities,
            distance=distance,
            known=known,
        )


def load(
    bundle: Bundle | str | os.PathLike[str],
    *,
    device: str = "auto",
    threads: int | None = None,
    optimise: bool = True,
    graph: str | None = None,
    cpu_form: Asked = "auto",
) -> Session:
    """Open a bundle: `Session` under the name that reads well.

    >>> with edgefer.load("network.edgefer") as network:  # doctest: +SKIP
    ...     print(network.infer_images(visible=frame, infrared=heat).label)
    """
    return Session(bundle, device=device, threads=threads, optimise=optimise, graph=graph, cpu_form=cpu_form)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - started


def _check_graph(graph: GraphSpec, runner: Runner) -> tuple[int, ...]:
    """Check that the graph in the file has the inputs and outputs that the manifest says; return the batches it takes,
    largest first. An ONNX of fixed batch takes only that one, whatever engines are made from it."""
    found, declared = runner.inputs, {spec.name: spec.shape for spec in graph.inputs}
    missing_outputs = sorted({spec.name for spec in graph.outputs} - set(runner.outputs))
    if found.keys() != declared.keys() or missing_outputs:
        raise BundleError(
            f"graph '{graph.role}' is not what the manifest says: it takes {sorted(found)} and gives "
            f"{sorted(runner.outputs)}; declared are {sorted(declared)} and {sorted(s.name for s in graph.outputs)}",
            hint="build the bundle again",
        )
    for name, shape in found.items():
        fits = len(shape) == len(declared[name]) and all(
            axis is None or axis == want for axis, want in zip(shape, declared[name], strict=True)
        )
        if not fits:
            raise BundleError(
                f"input '{name}' of graph '{graph.role}' has the shape {shape}; the manifest says {declared[name]}",
                hint="build the bundle again",
            )
    fixed = any(shape[0] is not None for shape in found.values())
    return (min(graph.batches),) if fixed else tuple(sorted(set(graph.batches), reverse=True))


def _info(bundle: Bundle, graph: GraphSpec, opened: Opened, threads: int | None, optimise: bool) -> dict[str, object]:
    return {
        "runner": opened.name,
        "why": opened.why,
        "threads": threads,
        "optimise": optimise,
        "versions": {"edgefer": __version__, "numpy": np.__version__, **opened.runner.versions},
        "graph": str(graph.role),
        "network": bundle.manifest.network.name,
        "precision": str(bundle.manifest.precision),
        "bundle": str(bundle.path) if bundle.path else None,
        "digest": bundle.digest,
    }
