"""Making a case of the pre-processing kernel from cameras and views, and judging what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefer.kernels.plan import ORIN, Gpu
from edgefer.kernels.preprocess import PreprocessParams, plan
from edgefer.kernels.preprocess_frame import Camera, Output
from edgefer.kernels.preprocess_view import VIEW, View, fitted, packed
from kernels.cases.case import Buffer, Case, Memory, error_of
from kernels.cases.preprocess_memory import Shot, memory_of
from kernels.cases.preprocess_reference import Picture, values_of

MOST_NEAR_EDGE = 0.05
"""Of an input's pixels, those that are not compared because a sample of theirs lies on the picture's edge."""


@dataclass(frozen=True)
class Side:
    """One camera of a case: its views, one for each frame of the batch, and the seed of its pixels."""

    camera: Camera
    views: tuple[View, ...]
    seed: int = 0


def case(name: str, visible: Side | None, infrared: Side | None, output: Output, gpu: Gpu = ORIN) -> Case:
    """A case whose frames are noise."""
    shown = {prefix: side for prefix, side in (("visible", visible), ("infrared", infrared)) if side is not None}
    frames = max(len(side.views) for side in shown.values())
    inputs: dict[str, NDArray[Any]] = {}
    sides: list[tuple[Side, Shot]] = []
    for prefix, side in shown.items():
        shot = memory_of(side.camera.frame, frames, np.random.default_rng(side.seed))
        inputs |= {prefix: shot.pixels, f"{prefix}_views": packed(side.views)}
        if shot.pairs is not None:
            inputs[f"{prefix}_chroma"] = shot.chroma
        sides.append((side, shot))
    groups = {"y": sides[:1], "y_infrared": sides[1:]} if output.separate else {"y": sides}

    def judge(found: Memory) -> str:
        faults = {field: _fault(found[field], group, output) for field, group in groups.items()}
        return "; ".join(f"{field}: {fault}" for field, fault in faults.items() if fault)

    return Case(
        name=f"preprocess {name} {output.form} {output.height}x{output.width}",
        plan=plan(
            visible.camera if visible else None, infrared.camera if infrared else None, output, gpu, frames=frames
        ),
        structure=PreprocessParams,
        inputs=inputs,
        outputs={field: _buffer(group, output, frames) for field, group in groups.items()},
        judge=judge,
    )


def _buffer(group: list[tuple[Side, Shot]], output: Output, frames: int) -> Buffer:
    size = (output.height, output.width)
    if output.form == "f16h8":
        return Buffer((frames, *size, 8), np.float16)
    if output.form == "i8c4":
        return Buffer((frames, *size, 4), np.int8)
    channels = sum(side.camera.channels for side, _ in group)
    return Buffer((frames, channels, *size), np.float32 if output.form == "f32n" else np.float16)


def _fault(found: NDArray[Any], group: list[tuple[Side, Shot]], output: Output) -> str:
    """What is wrong with one output of a batch, or ""."""
    element = {"f32n": "f32", "f16n": "f16", "f16h8": "f16", "i8c4": "i8"}[output.form]
    for index in range(len(found)):
        expected, near = _expected(group, index, output)
        values = found[index] if output.form in ("f32n", "f16n") else found[index].transpose(2, 0, 1)
        filling = np.zeros((len(values) - len(expected), *near.shape))
        expected = np.concatenate([expected, filling])
        if not np.isfinite(values).all():
            return f"frame {index} has a value that is not finite"
        if near.sum() > 2 + MOST_NEAR_EDGE * near.size:
            return f"frame {index} has {near.mean():.0%} of its pixels on the edge: choose another view for the case"
        wrong = error_of(element, values[:, ~near], expected[:, ~near])
        if wrong:
            return f"frame {index} {wrong}"
    return ""


def _expected(
    group: list[tuple[Side, Shot]], index: int, output: Output
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    channels, near = [], np.zeros((output.height, output.width), bool)
    for side, shot in group:
        # As the kernel reads it: the homography in single precision.
        memory = packed([side.views[index]]).view(VIEW)[0, 0]
        left, top, right, bottom = (int(edge) for edge in memory["crop"])
        picture = Picture(
            frame=side.camera.frame,
            planes=shot.planes[index],
            chroma=None if shot.pairs is None else shot.pairs[index],
            to_source=memory["to_source"].astype(np.float64).reshape(3, 3),
            crop=(left, top, right, bottom),
            samples=(int(np.clip(memory["samples"][0], 1, 16)), int(np.clip(memory["samples"][1], 1, 16))),
        )
        values, on_edge = values_of(picture, side.camera.image, side.camera.channels, near.shape)
        channels.append(values / (output.scale or 1.0))
        near |= on_edge
    return np.concatenate(channels), near


def fit(camera: Camera, size: tuple[int, int], frames: int = 1, seed: int = 0) -> Side:
    """The whole frames of a camera as its manifest fits them."""
    view = fitted(camera.image, size, (camera.frame.height, camera.frame.width))
    return Side(camera, (view,) * frames, seed)
