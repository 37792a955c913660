"""Session: a graph of a bundle, loaded and ready to answer."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NoReturn, cast

import numpy.typing as npt

from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import GraphSpec
from edgefer.errors import InputError, UsageError
from edgefer.progress import Reporter
from edgefer.runtime.answers import Answers
from edgefer.runtime.binding import Binder, Bound
from edgefer.runtime.calls import Calls, Submit
from edgefer.runtime.cpu_form import Asked
from edgefer.runtime.estimate import Estimate
from edgefer.runtime.frame_tensors import Frame, ViewLike
from edgefer.runtime.frames import Cameras
from edgefer.runtime.gpu_settings import GpuSettings
from edgefer.runtime.opening import check_asked, opened, read
from edgefer.runtime.out_arrays import Arrays
from edgefer.runtime.pending import HostQueue, PendingEstimate
from edgefer.runtime.preprocess import ColourOrder
from edgefer.runtime.runner import DeviceRunner, Runner, RunnerRequest
from edgefer.runtime.session_info import CPU, counters, session_info
from edgefer.runtime.tensor_check import checked_anywhere, checked_tensor

Outputs = dict[str, npt.NDArray[Any]]


class Session:
    """Answers with one graph of a bundle. Any number of threads may use one session at once.

    Args:
        bundle: a bundle, or the path of one.
        device: "auto", "cpu" or "tensorrt"; or a runner by its name: "openvino", "onnxruntime". "auto" is TensorRT on
            an NVIDIA GPU where that works, and the CPU otherwise, with an `EdgeferWarning` where the GPU is there. The
            CPU is served by OpenVINO where it is installed and by onnxruntime otherwise, and always where `optimise` is
            False.
        threads: how many threads one inference may use on the CPU; None leaves it to the runner.
        optimise: False evaluates the graph literally, node by node on the CPU, for comparisons that must not depend on
            the machine.
        graph: the role of the graph to run where the bundle has several; None is the first.
        cpu_form: what onnxruntime runs of a bundle in INT8 or FP16. "auto" is a form that this CPU computes fast,
            derived from the deployed graph, checked against the golden inputs and cached; "deployed" is the graph as it
            is; "reduced" is a derived form with 7-bit weights, for x86 CPUs without VNNI. `info` says which one runs,
            and why. The bundle's verdict is on the deployed graph.
        gpu: what the session may take of a GPU, and where its engine is kept; None is what `GpuSettings` has.
        reporter: hears of the progress of compiling an engine, which may take minutes.

    Raises:
        BundleError: the file is not a whole bundle, or its graph is not what its manifest says.
        EnvironmentMismatch: the device, or a package that it needs, cannot be had here. With device="tensorrt" also
            DeviceError, PluginMissing and EngineMissing.
        CompileError, EngineIncompatible: with device="tensorrt", the graph cannot be compiled for this GPU, or its
            engine does not answer the golden inputs as the bundle says.
        InputError: the bundle has no graph with that role.
        UsageError: `device`, `threads`, `cpu_form` or `gpu` cannot be what they are.
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
        gpu: GpuSettings | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        check_asked(threads, cpu_form, gpu)
        seconds: dict[str, float] = {}
        made = read(bundle, seconds)
        self._manifest, self._graph = made.manifest, made.graph(graph)
        answers = Answers(made, self._graph)
        request = RunnerRequest(
            *(made, self._graph, threads, optimise), seconds=seconds, cpu_form=cpu_form, gpu=gpu, reporter=reporter
        )
        found, self._batches = opened(device, request)
        self._runner: Runner | None = found.runner
        self._on_gpu = found.device != CPU
        check = checked_anywhere if self._on_gpu else checked_tensor
        self._binder = Binder(self._graph, check)
        self._calls = Calls(self._graph, self._batches, answers, check)
        self._queue = HostQueue(found.runner)
        try:
            on_gpu = found.runner if self._on_gpu else None
            self._cameras = Cameras(self._graph, self._binder, request.settings, on_gpu, gpu)
        except BaseException:
            found.runner.close()
            raise
        self._info = session_info(request, found)

    @property
    def info(self) -> dict[str, object]:
        """What to write down beside a result.

        `runner`, its `device` ("cpu" or "tensorrt") and `why` it was chosen, with the reason against each that was
        passed over; `threads`, `optimise`, and `gpu`, the GpuSettings (None on the CPU); `versions`, `graph`,
        `network`, `precision`, `bundle` and `digest`.
        `settings` is what the runner was set to beyond that, such as the precision that OpenVINO computes in, or which
        form of the graph onnxruntime runs, and why that one.
        `loading` is "cold" where an engine was built, "warm" where it came from the cache, None on the CPU.
        `seconds` is what opening took, by stage: read (and verify), open (load the graph), warm-up (the first run), and
        what the runner did beside that: form (deriving one for this CPU) and self-check; on a GPU engine (built or
        found), deserialise, capture and golden (the self-check).
        `counters` is what the runner on a GPU has counted until now, by name; empty on the CPU.
        """
        return {**self._info, "counters": counters(self._runner)}

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

    # `out` is Any here, not Arrays: a type checker holds every value of infer(**tensors) against it as well.
    def infer(self, *, out: Any = None, **tensors: object) -> Estimate:
        """The answer for one example.

        Args:
            tensors: float32 (1, C, H, W) by role (`visible=`, `infrared=`) or by the input's own name, in the range
                that the manifest states. A camera may be left out (or None) where the graph takes a mask `present`.
                NumPy arrays; on a GPU also arrays in its memory, of any library with `__cuda_array_interface__`.
                Whether their values are finite cannot be seen from here: what is not gives logits that are not, and
                those are refused.
            out: arrays for outputs, by name, with the batch axis: (1, ...), contiguous. The estimate's logits and
                outputs are then views of them, so that the next call with the same arrays changes both. Outputs left
                out get memory of their own.

        Raises:
            InputError: a tensor is unknown, missing, of the wrong type or shape, or not finite, or in GPU memory and
                the session on the CPU; or `out` has what cannot be written to; or the logits are not finite.
            UsageError: the session is closed.
        """
        bound = self._binder.bind(tensors)
        return self._calls.one(self._opened(), bound, out)

    def infer_async(self, *, out: Any = None, **tensors: object) -> PendingEstimate:
        """`infer` without waiting for the answer.

        Arrays on the host may be changed as soon as this returns; those in GPU memory, and `out`, are in use until the
        answer is there. On a GPU as many inferences run side by side as the session has streams, and one more waits
        for the oldest. On the CPU they run one after the other, in a thread that is started with the first; with
        several waiting already (`edgefer.runtime.pending.MOST_PENDING`), this call waits for room.

        Raises:
            InputError: as `infer`, but for what only the answer shows.
            UsageError: the session is closed.
        """
        bound = self._binder.bind(tensors)
        runner = self._opened()
        submit: Submit = cast(DeviceRunner, runner).submit if self._on_gpu else self._queue.submit
        return self._calls.later(runner, submit, bound, out)

    def infer_images(
        self,
        *,
        visible: Frame | None = None,
        infrared: Frame | None = None,
        colour: ColourOrder = "bgr",
        views: Mapping[str, ViewLike | None] | None = None,
    ) -> Estimate:
        """The answer for one pair of frames as cameras give them, pre-processed as the manifest says. On a GPU a kernel
        does that in the same graph as the engine, for all formats that it takes; `info["settings"]["images"]` tells.

        Args:
            visible: an image (H, W) or (H, W, 3), uint8 or uint16, any size; or `edgefer.runtime.nv12.Nv12`. NumPy
                arrays; on a GPU also arrays in its memory, whose rows are contiguous: they are read in place.
            infrared: likewise.
            colour: the order of the channels of three-channel images: "bgr", as OpenCV reads them, or "rgb".
            views: what is to be seen of a frame, by role, in place of the manifest's crop and fit: a View of
                `edgefer.runtime.view`, such as that over a face, or a homography (3, 3) from the input's pixels to
                those of the frame.

        Raises:
            InputError: a frame is missing, of the wrong type or shape, in GPU memory where the CPU is to read it, or
                none is taken for that camera; or a view cannot be taken.
            EnvironmentMismatch: OpenCV is not installed, and the CPU needs it.
            UsageError: the session is closed.
        """
        frames = {"visible": visible, "infrared": infrared}
        runner, bound = self._cameras.prepare(self._opened(), frames, views, colour)
        return self._calls.one(runner, bound)

    def infer_batch(self, examples: Sequence[Mapping[str, object]]) -> list[Estimate]:
        """The answers for several examples, each a mapping as `infer` takes; run in the batches of the graph. Examples
        in GPU memory are run one by one.

        Raises:
            InputError: as `infer`; the message names the example. Or one is in GPU memory, and the graph takes no
                batch of 1.
            UsageError: the session is closed.
        """
        bound: list[Bound] = []
        for index, example in enumerate(examples):
            if not isinstance(example, Mapping):
                raise InputError(
                    f"example {index} is a {type(example).__name__}, expected tensors by role or the names of inputs",
                    hint="infer_batch takes a list of mappings; Session.run takes arrays of a whole batch",
                )
            try:
                bound.append(self._binder.bind(example))
            except InputError as error:
                raise InputError(f"example {index}: {error.message}", hint=error.hint, details=error.details) from error
        return self._calls.several(self._opened(), bound)

    def run(self, feeds: Mapping[str, Any], *, out: Arrays | None = None) -> Outputs:
        """Every output of the graph by name, raw, for feeds by input name with a batch that the graph was made for.

        Args:
            feeds: float32, on the host, or on a GPU in its memory as `infer` takes them.
            out: arrays to write outputs to, by name, with the batch of the feeds; they are returned in their place.

        Raises:
            InputError: a feed is unknown, missing, of the wrong type or shape, or not finite, or in GPU memory and the
                session on the CPU; or `out` has what cannot be written to.
            UsageError: the session is closed.
        """
        return self._calls.raw(self._opened(), feeds, out)

    def bind(self, **arrays: object) -> None:
        """Prepare for arrays in GPU memory that are given again and again: `infer` and `run` then read them where they
        lie, where others are copied once on the GPU. The last four sets of addresses are kept; `info` counts both.

        Args:
            arrays: by role or by the input's own name, float32 with a batch of the graph, as `run` takes them. Inputs
                that are left out come from the host, or are copied.

        Raises:
            InputError: an array is unknown, not in GPU memory, or not of the shape and type of the input.
            UsageError: the session runs on the CPU, or is closed, or no array is given.
        """
        runner = self._opened()
        if not self._on_gpu:
            raise UsageError(
                f"the session runs on {self._info['runner']}, on the CPU, and has nothing to bind arrays to",
                hint="device='tensorrt' runs it on an NVIDIA GPU",
            )
        if not arrays:
            raise UsageError("there is no array to bind", hint="name at least one, such as visible=")
        cast(DeviceRunner, runner).bind(self._calls.bindable(self._binder.specs_of(arrays), arrays))

    def close(self) -> None:
        """Give the runner back, once what was submitted is answered. Using the session afterwards is an error; closing
        it again is none."""
        runner, self._runner = self._runner, None
        if runner is not None:
            self._queue.close()
            try:
                runner.close()
            except UsageError:  # it goes on: it was asked from inside of an inference
                self._runner = runner
                raise

    def __enter__(self) -> Session:
        self._opened()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise UsageError(
            "a session cannot be copied or pickled: what it holds of a GPU or a runtime belongs to this process",
            hint="threads share one; give other processes the bundle's path, and open a session in each",
        )

    def __repr__(self) -> str:
        state = "closed" if self._runner is None else self._info["runner"]
        return f"<Session {self._manifest.network.name} graph '{self._graph.role}' {state}>"

    def _opened(self) -> Runner:
        runner = self._runner
        if runner is None:
            raise UsageError("the session is closed", hint="open another with edgefer.load")
        return runner


def load(
    bundle: Bundle | str | os.PathLike[str],
    *,
    device: str = "auto",
    threads: int | None = None,
    optimise: bool = True,
    graph: str | None = None,
    cpu_form: Asked = "auto",
    gpu: GpuSettings | None = None,
    reporter: Reporter | None = None,
) -> Session:
    """Open a bundle: `Session` under the name that reads well.

    >>> with edgefer.load("network.edgefer") as network:  # doctest: +SKIP
    ...     print(network.infer_images(visible=frame, infrared=heat).label)
    """
    return Session(
        bundle,
        device=device,
        threads=threads,
        optimise=optimise,
        graph=graph,
        cpu_form=cpu_form,
        gpu=gpu,
        reporter=reporter,
    )
