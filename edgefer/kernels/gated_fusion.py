"""GatedFusion's kernels: two GatedPools side by side or interleaved, each half times a mask of the modality.

The device code is kernels/include/edgefer/gated_fusion.cuh; `gated_tower` says how it is launched, and when only once.
Both towers are in the same launches.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from edgefer.errors import UsageError
from edgefer.kernels.forms import Element, Form
from edgefer.kernels.gated_tower import Towers, entries, plan_towers, size_of, step, towers_floor, towers_requested
from edgefer.kernels.gated_tower import unsupported as towers_unsupported
from edgefer.kernels.plan import Entry, Gpu, Plan
from edgefer.kernels.tiles import Tile


class GatedFusionParams(ctypes.Structure):
    """The parameters of the kernels; gated_fusion_params.h says what they mean."""

    _fields_ = (
        ("Fv", ctypes.c_void_p),
        ("Fi", ctypes.c_void_p),
        ("Wv", ctypes.c_void_p),
        ("bv", ctypes.c_void_p),
        ("Wi", ctypes.c_void_p),
        ("bi", ctypes.c_void_p),
        ("P", ctypes.c_void_p),
        ("f", ctypes.c_void_p),
        ("workspace", ctypes.c_void_p),
        ("x_scale", ctypes.c_float),
        ("r_scale", ctypes.c_float),
        ("square_visible", ctypes.c_int),
        ("square_infrared", ctypes.c_int),
        ("interleave", ctypes.c_int),
        ("mask_half", ctypes.c_int),
        ("images", ctypes.c_int),
        ("channels", ctypes.c_int),
        ("padded", ctypes.c_int),
        ("visible_pixels", ctypes.c_int),
        ("infrared_pixels", ctypes.c_int),
        ("across", ctypes.c_int),
        ("rows", ctypes.c_int),
        ("columns", ctypes.c_int),
        ("quads", ctypes.c_int),
        ("row_stride", ctypes.c_int),
        ("column_stride", ctypes.c_int),
    )


ENTRIES: tuple[Entry, ...] = entries("gated_fusion")


@dataclass(frozen=True)
class GatedFusion:
    """One node: Fv of `shape` and Fi of `infrared_shape` (N, C, H, W; only H and W may differ) in `form`; Wv, Wi
    (C, C), bv, bi (C) and the output f (N, 2C) of type `weights`.

    `weights` is that of the maps, or f32 or f16 where they are INT8; one step of Fv is worth `x_scale` then, one of Fi
    `r_scale`. `mask` is the type of P (N, 2), whose columns the visible and the infrared half are multiplied with, or
    None without P; the operator's definition makes it that of the weights. No address of P is given without one.
    """

    shape: tuple[int, int, int, int]
    infrared_shape: tuple[int, int, int, int]
    form: Form
    weights: Element
    mask: Element | None = None
    square_visible: bool = False
    square_infrared: bool = False
    interleave: bool = False
    x_scale: float = 0.0
    r_scale: float = 0.0


def unsupported(node: GatedFusion) -> str:
    """Why no kernel does this node on some GPU, or ""."""
    if node.shape[:2] != node.infrared_shape[:2]:
        return f"Fv is {list(node.shape)} and Fi {list(node.infrared_shape)}: only height and width may differ"
    if node.mask not in (None, "f32", "f16"):
        return f"P is {node.mask}, expected f32 or f16"
    return towers_unsupported(_towers(node))


def plan(node: GatedFusion, gpu: Gpu) -> Plan:
    """How the node is launched on `gpu`.

    Raises:
        UsageError: `unsupported` says why it is not, or an INT8 map has no scale.
    """
    launched = _launched(node, gpu)[0]
    parameters = {
        **launched.parameters,
        "x_scale": step(node.form, node.x_scale, "x_scale"),
        "r_scale": step(node.form, node.r_scale, "r_scale"),
        "square_visible": int(node.square_visible),
        "square_infrared": int(node.square_infrared),
        "interleave": int(node.interleave),
        "mask_half": int(node.mask == "f16"),
        "visible_pixels": node.shape[2] * node.shape[3],
        "infrared_pixels": node.infrared_shape[2] * node.infrared_shape[3],
    }
    return Plan(launched.launches, parameters, launched.workspace_bytes)


def bytes_moved(node: GatedFusion, plan: Plan) -> int:
    """Bytes that the launches of `plan` must move where no cache holds anything beforehand.

    All inputs and f once; where there are two launches the means are also written and read. What several blocks read is
    counted once, because it stays in the L2 cache; `bytes_requested` counts it as often as it is read.
    """
    return floor_bytes(node) + 2 * plan.workspace_bytes


def bytes_requested(node: GatedFusion, gpu: Gpu) -> int:
    """Bytes that the launches on `gpu` ask the L2 cache for and give it; `towers_requested` has the formula, and P is
    read for every row of a matrix."""
    launched, tile = _launched(node, gpu)
    towers = _towers(node)
    return towers_requested(launched, tile, towers) + _mask_bytes(node) * towers.channels


def floor_bytes(node: GatedFusion) -> int:
    """Bytes of all inputs and of f, each once."""
    return towers_floor(_towers(node)) + _mask_bytes(node)


def _launched(node: GatedFusion, gpu: Gpu) -> tuple[Plan, Tile]:
    reason = unsupported(node)
    if reason:
        raise UsageError(f"no kernel of gated_fusion: {reason}", hint="use the operator's function body instead")
    return plan_towers("gated_fusion", _towers(node), gpu)


def _mask_bytes(node: GatedFusion) -> int:
    return 0 if node.mask is None else 2 * node.shape[0] * size_of(node.mask)


def _towers(node: GatedFusion) -> Towers:
    images, channels, height, width = node.shape
    pixels = (height * width, node.infrared_shape[2] * node.infrared_shape[3])
    return Towers(images, channels, pixels, node.form, node.weights)
