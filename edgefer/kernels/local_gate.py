"""LocalGate's kernels: z + z · sigmoid(W2 relu(W1 z + b1) + b2) at every pixel, then the mean over the pixels.

The device code is kernels/include/edgefer/local_gate.cuh: two launches, with the hidden activations in the workspace.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from edgefer.errors import UsageError
from edgefer.kernels.forms import CXX, FORMS, Element, Form
from edgefer.kernels.gated_tower import code, size_of, step, weight_types
from edgefer.kernels.plan import Entry, Gpu, Launch, Plan
from edgefer.kernels.tiles import (
    LEAST_SHARED_BYTES,
    MOST_IMAGES,
    PARTIAL_BYTES,
    THREADS,
    Tile,
    ceil_div,
    choose_tile,
    padded,
)

_FLOAT = 4
_LARGEST_ROWS = 16
"""Of W2 that a block takes: with all 49 pixels of a 7×7 map they keep every thread busy."""
_LARGEST_COLUMNS = 64


class LocalGateParams(ctypes.Structure):
    """The parameters of the kernels; local_gate_params.h says what they mean."""

    _fields_ = (
        ("Z", ctypes.c_void_p),
        ("W1", ctypes.c_void_p),
        ("b1", ctypes.c_void_p),
        ("W2", ctypes.c_void_p),
        ("b2", ctypes.c_void_p),
        ("f", ctypes.c_void_p),
        ("workspace", ctypes.c_void_p),
        ("x_scale", ctypes.c_float),
        ("channels", ctypes.c_int),
        ("padded", ctypes.c_int),
        ("pixels", ctypes.c_int),
        ("hidden", ctypes.c_int),
        ("hidden_padded", ctypes.c_int),
        ("rows1", ctypes.c_int),
        ("columns1", ctypes.c_int),
        ("quads1", ctypes.c_int),
        ("row_stride1", ctypes.c_int),
        ("column_stride1", ctypes.c_int),
        ("rows2", ctypes.c_int),
        ("columns2", ctypes.c_int),
        ("quads2", ctypes.c_int),
        ("row_stride2", ctypes.c_int),
        ("column_stride2", ctypes.c_int),
    )


ENTRIES: tuple[Entry, ...] = tuple(
    Entry(
        name=f"edgefer_local_gate_{phase}_{code(form, weights)}",
        header="local_gate.cuh",
        body=f"edgefer::local_gate_{phase}<{CXX[form.element]}, {CXX[form.layout]}, {CXX[weights]}>",
        parameters="LocalGateParams",
        threads=THREADS,
    )
    for phase in ("hidden", "gate")
    for form in FORMS
    for weights in weight_types(form)
)


@dataclass(frozen=True)
class LocalGate:
    """One node: Z of `shape` (N, C, H, W) in `form`; W1 (hidden, C), b1, W2 (C, hidden), b2 and the output f (N, C) of
    type `weights`.

    `weights` is that of Z, or f32 or f16 where Z is INT8; `x_scale` is what one step of an INT8 Z is worth.
    """

    shape: tuple[int, int, int, int]
    hidden: int
    form: Form
    weights: Element
    x_scale: float = 0.0

    @property
    def pixels(self) -> int:
        return self.shape[2] * self.shape[3]

    @property
    def weight_size(self) -> int:
        """Bytes of a weight, and of an element of the output."""
        return size_of(self.weights)

    @property
    def hidden_padded(self) -> int:
        return padded(self.hidden, self.weight_size)


def unsupported(node: LocalGate) -> str:
    """Why no kernel does this node on some GPU, or ""."""
    channels = node.shape[1]
    if min(*node.shape, node.hidden) < 1:
        return (
            f"a size is 0 (batch {node.shape[0]}, {channels} channels, {node.pixels} pixels, {node.hidden} hidden ones)"
        )
    if node.shape[0] > MOST_IMAGES:
        return f"a batch of {node.shape[0]}, at most {MOST_IMAGES}"
    if not node.form.takes(channels):
        return f"{channels} channels, {node.form.code} takes multiples of {node.form.channel_multiple}"
    if node.weights not in weight_types(node.form):
        return f"weights {node.weights} beside {node.form.code}, expected {' or '.join(weight_types(node.form))}"
    tiles = _tiles(node, Gpu("", 1, LEAST_SHARED_BYTES))
    if tiles is None:
        return f"{channels} channels and {node.hidden} hidden ones: one pixel's do not fit into shared memory"
    # So many pixels keep every GPU busy, and those with more shared memory take no smaller tiles.
    most = tiles[0].columns * MOST_IMAGES
    if node.pixels > most:
        return f"{node.pixels} pixels of {channels} channels, at most {most}"
    return ""


def plan(node: LocalGate, gpu: Gpu) -> Plan:
    """How the node is launched on `gpu`.

    Raises:
        UsageError: `unsupported` says why it is not, or an INT8 map has no scale.
    """
    first, second = _demanded(node, gpu)
    images, channels = node.shape[:2]
    down, along = first.blocks(node.hidden_padded, node.pixels)
    name = code(node.form, node.weights)
    launches = (
        Launch(f"edgefer_local_gate_hidden_{name}", (down, along, images), THREADS, first.shared_bytes),
        Launch(
            f"edgefer_local_gate_gate_{name}", (ceil_div(channels, second.rows), images, 1), THREADS, _bytes2(second)
        ),
    )
    parameters: dict[str, int | float] = {
        "x_scale": step(node.form, node.x_scale, "x_scale"),
        "channels": channels,
        "padded": padded(channels, node.weight_size),
        "pixels": node.pixels,
        "hidden": node.hidden,
        "hidden_padded": node.hidden_padded,
    }
    for number, tile in enumerate((first, second), start=1):
        parameters[f"rows{number}"] = tile.rows
        parameters[f"columns{number}"] = tile.columns
        parameters[f"quads{number}"] = tile.quads
        parameters[f"row_stride{number}"] = tile.row_stride
        parameters[f"column_stride{number}"] = tile.column_stride
    return Plan(launches, parameters, _hidden_bytes(node))


def bytes_moved(node: LocalGate, plan: Plan) -> int:
    """Bytes that the launches of `plan` must move where no cache holds anything beforehand.

    Z in both launches, W1, b1, W2, b2 and f once, the hidden activations written and read. What several blocks of one
    launch read is counted once, because it stays in the L2 cache; `bytes_requested` counts it as often as it is read.
    """
    images, channels = node.shape[:2]
    return floor_bytes(node) + images * channels * node.pixels * node.form.size + 2 * plan.workspace_bytes


def bytes_requested(node: LocalGate, gpu: Gpu) -> int:
    """Bytes that the launches on `gpu` ask the L2 cache for and give it: what several blocks read counts as often.

    First launch: W1 and b1 once for every tile of pixels of every image, Z once for every tile of rows, the hidden
    activations written once. Second: W2 and b2 once for every image, the hidden activations once for every tile of
    rows, Z once, f written once.
    """
    first, second = _demanded(node, gpu)
    images, channels = node.shape[:2]
    down1, along1 = first.blocks(node.hidden_padded, node.pixels)
    down2 = ceil_div(channels, second.rows)
    weights1 = (channels + 1) * node.hidden * node.weight_size
    weights2 = (node.hidden + 1) * channels * node.weight_size
    map_bytes = images * channels * node.pixels * node.form.size
    launch1 = images * along1 * weights1 + down1 * map_bytes + _hidden_bytes(node)
    launch2 = images * weights2 + down2 * _hidden_bytes(node) + map_bytes + images * channels * node.weight_size
    return launch1 + launch2


def floor_bytes(node: LocalGate) -> int:
    """Bytes of Z, W1, b1, W2, b2 and f, each once."""
    images, channels = node.shape[:2]
    weights = (2 * channels * node.hidden + node.hidden + channels) * node.weight_size
    return images * channels * (node.pixels * node.form.size + node.weight_size) + weights


def _demanded(node: LocalGate, gpu: Gpu) -> tuple[Tile, Tile]:
    reason = unsupported(node)
    tiles = None if reason else _tiles(node, gpu)
    if tiles is None:
        raise UsageError(
            f"no kernel of local_gate: {reason or 'this GPU has too little shared memory'}",
            hint="use the operator's function body instead",
        )
    return tiles


def _tiles(node: LocalGate, gpu: Gpu) -> tuple[Tile, Tile] | None:
    """Those of both launches, or None where one does not fit."""
    images, channels = node.shape[:2]
    first = choose_tile(node.hidden_padded, node.pixels, channels, node.weight_size, images, gpu)
    second = _second_tile(node, gpu)
    return None if first is None or second is None else (first, second)


def _second_tile(node: LocalGate, gpu: Gpu) -> Tile | None:
    """Fewer rows until every multiprocessor has a block, then fewer pixels at a time and at last fewer rows until they
    fit. The pixels are shared out evenly. The channels in 16 bytes of Z are not divided."""
    images, channels = node.shape[:2]
    least = 4 if node.form.layout == "linear" else 16 // node.form.size
    rows = _LARGEST_ROWS
    while rows > least and ceil_div(channels, rows) * images < gpu.multiprocessors:
        rows //= 2
    columns = min(_LARGEST_COLUMNS, node.pixels)
    while True:
        columns = ceil_div(node.pixels, ceil_div(node.pixels, columns))
        tile = Tile(rows, columns, node.hidden, node.weight_size)
        if _bytes2(tile) <= gpu.shared_bytes:
            return tile
        if columns > 1:
            columns = ceil_div(columns, 2)
        elif rows > least:
            rows //= 2
        else:
            return None


def _bytes2(tile: Tile) -> int:
    """Shared memory of the second launch: the product's, and the block's channels of the same pixels."""
    columns = max(tile.column_bytes, THREADS * _FLOAT)
    return tile.weight_bytes + columns + tile.columns * tile.rows * _FLOAT + PARTIAL_BYTES


def _hidden_bytes(node: LocalGate) -> int:
    return node.shape[0] * node.pixels * node.hidden_padded * _FLOAT
