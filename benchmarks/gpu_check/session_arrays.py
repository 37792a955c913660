"""Whether a session takes and gives arrays as it says: the caller's, the GPU's, frames, later, and wrong ones."""

from __future__ import annotations

import importlib
from contextlib import ExitStack
from typing import Any

import numpy as np

from benchmarks.gpu_check.known import EXAMPLES, Absent, Known, Wrong, close, logits_of, on_gpu, same
from benchmarks.gpu_check.subject import counted
from edgefer.errors import InputError
from edgefer.runtime.frame_tensors import Given, frame_tensors
from edgefer.runtime.frames import IMAGES
from edgefer.runtime.gpu_settings import GpuSettings
from edgefer.runtime.preprocess import Preprocessor

FRAME_TOLERANCE = 2e-3
"""Of |a - b| / (1 + |b|) between logits of frames that the GPU and OpenCV pre-processed."""
_AWRY = np.array([[1.1, 0.05, 12.0], [-0.04, 0.95, 7.0], [2e-5, 1e-5, 1.0]])
"""A homography from an input's pixels to a frame's: a part of it, turned a little and seen from the side."""


def out(known: Known) -> str:
    with known.subject.open(GpuSettings()) as session:
        arrays = {spec.name: np.empty((1, *spec.shape[1:]), np.float32) for spec in session.graph.outputs}
        for example, wanted in zip(known.examples, known.expected, strict=True):
            estimate = session.infer(**example, out=arrays)
            same("out=", [estimate.logits], [wanted])
            if not any(np.shares_memory(estimate.logits, array) for array in arrays.values()):
                raise Wrong("the logits of infer(out=...) are not in the caller's memory")
    return "answers are written into the caller's arrays"


def later(known: Known) -> str:
    with known.subject.open(GpuSettings(streams=2)) as session:
        pending = [session.infer_async(**example) for example in known.examples]
        if any(each.event is None for each in pending):
            raise Wrong("infer_async gave no event")
        same("infer_async", [each.result(timeout=60).logits for each in pending], known.expected)
        if not all(each.done() for each in pending):
            raise Wrong("an answer that was given is said not to be there")
    return f"{len(pending)} inferences were asked for before the first answer was waited for"


def bound(known: Known) -> str:
    with ExitStack() as stack, known.subject.open(GpuSettings()) as session:
        arrays = on_gpu(known.examples[0], stack)
        session.bind(**arrays)
        captures, copied = counted(session, "captures"), counted(session, "copied")
        for example, wanted in zip(known.examples, known.expected, strict=True):
            for name, array in example.items():
                arrays[name].put(array)
            same("bound arrays", [logits_of(session, arrays)], [wanted])
        captures, copied = counted(session, "captures") - captures, counted(session, "copied") - copied
    if captures or copied:
        raise Wrong(f"bound arrays were copied {copied} times, and {captures} graphs captured for them after bind")
    return "bound arrays are read where they lie, from one graph"


def unbound(known: Known) -> str:
    with ExitStack() as stack, known.subject.open(GpuSettings()) as session:
        before = counted(session, "copied")
        for example, wanted in zip(known.examples, known.expected, strict=True):
            same("arrays on the GPU", [logits_of(session, on_gpu(example, stack))], [wanted])
        copied = counted(session, "copied") - before
    if copied != sum(map(len, known.examples)):
        raise Wrong(f"{copied} copies were counted for {EXAMPLES} inferences of {len(known.examples[0])} arrays")
    return f"other arrays in the GPU's memory cost one copy each: {copied}"


def torch(known: Known) -> str:
    try:
        module: Any = importlib.import_module("torch")
    except ImportError:
        raise Absent("PyTorch is not installed") from None
    if not module.cuda.is_available():
        raise Absent("this PyTorch has no CUDA")
    with known.subject.open(GpuSettings()) as session:
        other = module.cuda.Stream()
        for example, wanted in zip(known.examples, known.expected, strict=True):
            with module.cuda.stream(other):  # runs beside the session, in the same context
                noise = module.rand(1024, 1024, device="cuda")
                noise = noise @ noise
            tensors = {name: module.from_numpy(array).cuda() for name, array in example.items()}
            same("tensors of PyTorch", [logits_of(session, tensors)], [wanted])
    if float(module.ones(8, device="cuda").sum()) != 8:
        raise Wrong("PyTorch does not compute any more after the session is closed")
    return f"tensors of PyTorch {module.__version__}, work of its own beside, and it goes on afterwards"


def frames(known: Known) -> str:
    if not known.subject.frames():
        raise Absent("the network takes no images")
    try:
        importlib.import_module("cv2")
    except ImportError:
        raise Absent("OpenCV is not installed, which the answers are held against") from None
    worst = 0.0
    with known.subject.open(GpuSettings()) as session:
        cameras = {str(spec.role): spec for spec in session.graph.inputs if spec.image is not None}
        for seed in range(EXAMPLES):
            pair: dict[str, Any] = known.subject.frames(seed)
            views = None if seed % 2 else dict.fromkeys(pair, _AWRY)
            given = [Given(Preprocessor(cameras[role]), frame, (views or {}).get(role)) for role, frame in pair.items()]
            tensors = dict(zip((each.name for each in given), frame_tensors(given, "bgr"), strict=True))
            found = session.infer_images(**pair, views=views).logits
            worst = max(worst, close("frames", found, session.infer(**tensors).logits, FRAME_TOLERANCE))
        settings: Any = session.info["settings"]
    if str(settings[IMAGES]).startswith("on the CPU"):
        raise Wrong(f"frames did not go through the kernel: {settings[IMAGES]}")
    return f"whole frames and views through the kernel are off from what OpenCV makes of them by {worst:.2g}"


def wrong(known: Known) -> str:
    with ExitStack() as stack, known.subject.open(GpuSettings()) as session:
        short = {name: np.ascontiguousarray(array[..., :-1]) for name, array in known.examples[0].items()}
        given: list[dict[str, Any]] = [dict(short), dict(on_gpu(short, stack))]
        for tensors in given:
            try:
                session.infer(**tensors)
            except InputError:
                continue
            raise Wrong("arrays of the wrong shape were taken")
        same("wrong arrays before", [logits_of(session, known.examples[0])], known.expected[:1])
    return "arrays of the wrong shape are refused, and the session goes on"
