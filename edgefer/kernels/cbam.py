"""Launch plans of CBAM: in two launches without communication between blocks, or in one where images are small."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from edgefer.kernels import gating
from edgefer.kernels.forms import Element, Form
from edgefer.kernels.gating import GateForms, Pooling, ceiling, pitch
from edgefer.kernels.plan import Gpu, Launch, Plan

KERNELS = (3, 5, 7)
"""Sizes of the spatial convolution for which there is code."""
_WEIGHT_PITCH = 8


class CbamParams(ctypes.Structure):
    """The structure of kernels/include/edgefer/cbam_params.h."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("X", "W1", "b1", "W2", "b2", "Ws", "bs", "R", "Y", "workspace")),
        *((name, ctypes.c_int) for name in ("channels", "height", "width", "hidden", "kernel", "relu")),
        *((name, ctypes.c_int) for name in ("pool_bands", "pool_pixels", "tile_rows", "tile_columns", "copied")),
        *((name, ctypes.c_float) for name in ("x_scale", "r_scale", "y_scale")),
    )


ENTRIES = gating.entries("cbam", "edgefer::CbamParams")


@dataclass(frozen=True)
class Cbam:
    """One node: X of `shape` (N, C, H, W) in `form`, Y in the form `output`, and weights of the type `weights`.

    There are `hidden` units in the MLP; the spatial convolution is `kernel` x `kernel`. `residual`: whether R, in the
    form of X, is added before the ReLU. The scales are what one step of an INT8 X, R or Y is worth.
    """

    shape: tuple[int, int, int, int]
    hidden: int
    form: Form
    output: Form
    weights: Element
    kernel: int = 7
    relu: bool = False
    residual: bool = False
    x_scale: float = 0.0
    r_scale: float = 0.0
    y_scale: float = 0.0

    @property
    def forms(self) -> GateForms:
        return GateForms(self.form, self.output, self.weights)

    @property
    def batch(self) -> int:
        return self.shape[0]

    @property
    def channels(self) -> int:
        return self.shape[1]

    @property
    def height(self) -> int:
        return self.shape[2]

    @property
    def width(self) -> int:
        return self.shape[3]

    @property
    def pixels(self) -> int:
        return self.height * self.width


def unsupported(node: Cbam) -> str:
    """Why there is no kernel for this node, or "" if there is."""
    if node.kernel not in KERNELS:
        return f"a spatial convolution of {node.kernel} x {node.kernel}, and the kernels have 3, 5 and 7"
    return gating.unsupported(node.forms, node.shape, node.hidden)


class _Tile(NamedTuple):
    """What one block of `apply` or `single` writes, and whether it copies its part of X into shared memory."""

    rows: int
    columns: int
    copied: bool
    shared_bytes: int


def plan(node: Cbam, gpu: Gpu) -> Plan:
    """The launches that are taken to cost least: `pool` and `apply`, or `single`.

    The model behind the choice (`gating.cost`) counts elements passed through and latencies; no GPU has confirmed it.

    Raises:
        UsageError: there is no kernel (`unsupported` says so beforehand), an INT8 tensor has no scale, or not even one
            pixel's surroundings fit in the GPU's shared memory, which takes less than 99 KB of it.
    """
    reason = unsupported(node)
    if reason:
        raise gating.refused(reason)
    pool = gating.pooling(node.form, (node.batch, node.channels, node.pixels), 2, gpu)
    apply, applying = _best_tile(node, gpu, pool)
    whole = _tile(node, (node.height, node.width), None, copied=True)
    if whole.shared_bytes <= gpu.shared_bytes:
        passes = 3 * node.channels * node.pixels
        single = gating.cost(gpu, node.batch, whole.shared_bytes, passes + _weights(node))
        if apply is None or single <= pool.cost + applying:
            launch = Launch(
                f"edgefer_cbam_single_{node.forms.codes}", (1, 1, node.batch), gating.THREADS, whole.shared_bytes
            )
            return Plan((launch,), _parameters(node, whole, Pooling(1, node.pixels, 0, 0)))
    if apply is None:
        raise gating.refused(f"{gpu.shared_bytes} bytes of shared memory are too few for {node.channels} channels")
    across, down = ceiling(node.width, apply.columns), ceiling(node.height, apply.rows)
    launches = (
        Launch(
            f"edgefer_cbam_pool_{node.form.code}", (pool.bands, 1, node.batch), gating.POOL_THREADS, pool.shared_bytes
        ),
        Launch(
            f"edgefer_cbam_apply_{node.forms.codes}", (across, down, node.batch), gating.THREADS, apply.shared_bytes
        ),
    )
    workspace = node.batch * pool.bands * 2 * pitch(node.channels) * 4
    return Plan(launches, _parameters(node, apply, pool), workspace)


def bytes_moved(node: Cbam, plan: Plan) -> int:
    """Bytes that the launches of `plan` must move where no cache holds anything beforehand.

    One launch: X, the residual and Y once, the weights once. Two: X once for pooling; X again for every tile with what
    surrounds it, the sum over tiles of (rows + halo) x (columns + halo); the partial results written and read once; the
    residual, Y and the weights once. What several blocks read of weights and partial results is counted once, because
    it stays in the L2 cache.
    """
    moved = floor_bytes(node) + _weight_bytes(node)
    if len(plan.launches) == 1:
        return moved
    halo = node.kernel // 2
    rows = _with_halo(node.height, int(plan.parameters["tile_rows"]), halo)
    columns = _with_halo(node.width, int(plan.parameters["tile_columns"]), halo)
    return moved + node.batch * node.channels * rows * columns * node.form.size + 2 * plan.workspace_bytes


def floor_bytes(node: Cbam) -> int:
    """Bytes that any kernel must move: X and the residual read once, Y written once."""
    elements = node.batch * node.channels * node.pixels
    return elements * (node.form.size * (2 if node.residual else 1) + node.output.size)


def _parameters(node: Cbam, tile: _Tile, pool: Pooling) -> dict[str, int | float]:
    return {
        "channels": node.channels,
        "height": node.height,
        "width": node.width,
        "hidden": node.hidden,
        "kernel": node.kernel,
        "relu": int(node.relu),
        "pool_bands": pool.bands,
        "pool_pixels": pool.pixels,
        "tile_rows": tile.rows,
        "tile_columns": tile.columns,
        "copied": int(tile.copied),
        "x_scale": gating.scale_of(node.form, node.x_scale, "x_scale"),
        "r_scale": gating.scale_of(node.form, node.r_scale, "r_scale") if node.residual else 1.0,
        "y_scale": gating.scale_of(node.output, node.y_scale, "y_scale"),
    }


def _best_tile(node: Cbam, gpu: Gpu, pool: Pooling) -> tuple[_Tile | None, int]:
    """The tile with which `apply` costs least, and that cost; none where no tile fits."""
    best, least = None, 0
    halo = node.kernel // 2 * 2
    for tile in _tiles(node, gpu, pool):
        surroundings = min(node.height, tile.rows + halo) * min(node.width, tile.columns + halo)
        work = node.channels * (surroundings + tile.rows * tile.columns) * (1 if tile.copied else 2)
        blocks = node.batch * ceiling(node.height, tile.rows) * ceiling(node.width, tile.columns)
        found = gating.cost(
            gpu, blocks, tile.shared_bytes, work + _weights(node) + 2 * pool.bands * pitch(node.channels)
        )
        if best is None or found < least:
            best, least = tile, found
    return best, least


def _tiles(node: Cbam, gpu: Gpu, pool: Pooling) -> Iterator[_Tile]:
    """The tiles that fit, each with its part of X copied where that fits too."""
    # A row of a linear tile is what a warp reads together.
    narrowest = min(32, node.width) if node.form.layout == "linear" else 1
    for rows in gating.sizes(node.height, 32):
        for columns in gating.sizes(node.width, 32):
            if columns < narrowest and rows > 1:
                continue
            for copied in (True, False) if node.form.layout != "linear" else (False,):
                tile = _tile(node, (rows, columns), pool, copied=copied)
                if tile.shared_bytes <= gpu.shared_bytes:
                    yield tile
                    break


def _tile(node: Cbam, size: tuple[int, int], pool: Pooling | None, *, copied: bool) -> _Tile:
    """A tile of `size` with the shared memory that CbamMemory of kernels/include/edgefer/cbam.cuh divides.

    Without `pool` the block pools X itself.
    """
    rows, columns = size
    halo = node.kernel // 2 * 2
    surroundings = min(node.height, rows + halo) * min(node.width, columns + halo)
    if pool is None:
        lanes = gating.lanes(node.form, node.channels, gating.THREADS)
    else:
        lanes = gating.partial_lanes(node.channels, gating.THREADS, pool.bands)
    floats = (
        (3 + 2 * lanes) * pitch(node.channels)
        + pitch(node.hidden)
        + 2 * node.kernel * _WEIGHT_PITCH
        + pitch(rows * columns)
        + pitch(2 * (rows + halo) * (columns + halo))
    )
    copy = ceiling(surroundings * node.channels * node.form.size, 16) * 16 if copied else 0
    return _Tile(rows, columns, copied, copy + 4 * floats)


def _weights(node: Cbam) -> int:
    """Elements of the MLP's two matrices, all of which every block passes through."""
    return 2 * node.channels * node.hidden


def _weight_bytes(node: Cbam) -> int:
    vectors = node.hidden + node.channels + 2 * node.kernel * node.kernel + 1
    return (_weights(node) + vectors) * (4 if node.weights == "f32" else 2)


def _with_halo(length: int, size: int, halo: int) -> int:
    """The sum over the parts of `length` of their size with `halo` more on both sides, as far as the image goes."""
    firsts = range(0, length, size)
    return sum(min(length, first + size + halo) - max(0, first - halo) for first in firsts)
