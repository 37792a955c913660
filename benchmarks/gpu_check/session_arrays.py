"""Whether a session takes and gives arrays as it says: the caller's, the GPU's, frames, later, and wrong ones."""

from __future__ import annotations

import importlib
from contextlib import ExitStack
from typing import Any

import numpy as np

from benchmarks.gpu_check.known import EXAMPLES, Absent, Known, Wrong, close, logits_of, on_gpu, same
from benchmarks.gpu_check.subject import counted
from edgefer.errors import InputError
from edgefer.runtime.gpu_settings import GpuSettings
from edgefer.runtime.preprocess import Preprocessor

FRAME_TOLERANCE = 2e-3
"""Of |a - b| / (1 + |b|) between logits of frames that the GPU and OpenCV pre-processed."""


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
            tensors = {cameras[role].name: Preprocessor(cameras[role])(frame) for role, frame in pair.items()}
            from_tensors = session.infer(**tensors).logits
            worst = max(worst, close("frames", session.infer_images(**pair).logits, from_tensors, FRAME_TOLERANCE))
        stage = session.info["settings"]
    how = stage.get("frames", "") if isinstance(stage, dict) else ""
    return f"frames and tensors that OpenCV made of them are off by {worst:.2g}{f'; {how}' if how else ''}"


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
