"""GatedPool's kernels: a map's mean per channel, times the sigmoid of W p + b, or of W p² + b.

The device code is kernels/include/edgefer/gated_pool.cuh; `gated_tower` says how it is launched, and when only once.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from edgefer.kernels.forms import Element, Form
from edgefer.kernels.gated_tower import Towers, entries, plan_towers, step, towers_floor, towers_requested
from edgefer.kernels.gated_tower import unsupported as towers_unsupported
from edgefer.kernels.plan import Entry, Gpu, Plan


class GatedPoolParams(ctypes.Structure):
    """The parameters of the kernels; gated_pool_params.h says what they mean."""

    _fields_ = (
        ("F", ctypes.c_void_p),
        ("W", ctypes.c_void_p),
        ("b", ctypes.c_void_p),
        ("f", ctypes.c_void_p),
        ("workspace", ctypes.c_void_p),
        ("x_scale", ctypes.c_float),
        ("square", ctypes.c_int),
        ("images", ctypes.c_int),
        ("channels", ctypes.c_int),
        ("padded", ctypes.c_int),
        ("pixels", ctypes.c_int),
        ("across", ctypes.c_int),
        ("rows", ctypes.c_int),
        ("columns", ctypes.c_int),
        ("quads", ctypes.c_int),
        ("row_stride", ctypes.c_int),
        ("column_stride", ctypes.c_int),
    )


ENTRIES: tuple[Entry, ...] = entries("gated_pool")


@dataclass(frozen=True)
class GatedPool:
    """One node: F of `shape` (N, C, H, W) in `form`, W (C, C), b (C) and the output f (N, C) of type `weights`.

    `weights` is that of F, or f32 or f16 where F is INT8; `x_scale` is what one step of an INT8 F is worth.
    """

    shape: tuple[int, int, int, int]
    form: Form
    weights: Element
    square: bool = False
    x_scale: float = 0.0


def unsupported(node: GatedPool) -> str:
    """Why no kernel does this node on some GPU, or ""."""
    return towers_unsupported(_towers(node))


def plan(node: GatedPool, gpu: Gpu) -> Plan:
    """How the node is launched on `gpu`.

    Raises:
        UsageError: `unsupported` says why it is not, or an INT8 map has no scale.
    """
    launched, _ = plan_towers("gated_pool", _towers(node), gpu)
    parameters = {
        **launched.parameters,
        "x_scale": step(node.form, node.x_scale, "x_scale"),
        "square": int(node.square),
        "pixels": node.shape[2] * node.shape[3],
    }
    return Plan(launched.launches, parameters, launched.workspace_bytes)


def bytes_moved(node: GatedPool, plan: Plan) -> int:
    """Bytes that the launches of `plan` must move where no cache holds anything beforehand.

    F, W, b and f once; where there are two launches the means are also written and read. What several blocks read is
    counted once, because it stays in the L2 cache; `bytes_requested` counts it as often as it is read.
    """
    return floor_bytes(node) + 2 * plan.workspace_bytes


def bytes_requested(node: GatedPool, gpu: Gpu) -> int:
    """Bytes that the launches on `gpu` ask the L2 cache for and give it; `towers_requested` has the formula."""
    towers = _towers(node)
    return towers_requested(*plan_towers("gated_pool", towers, gpu), towers)


def floor_bytes(node: GatedPool) -> int:
    """Bytes of F, W, b and f, each once."""
    return towers_floor(_towers(node))


def _towers(node: GatedPool) -> Towers:
    images, channels, height, width = node.shape
    return Towers(images, channels, (height * width,), node.form, node.weights)
