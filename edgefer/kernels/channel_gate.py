"""Launch plans of the channel gate (squeeze-and-excite): in two launches, or in one where images are small."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import NamedTuple

from edgefer.kernels import gating
from edgefer.kernels.forms import Element, Form
from edgefer.kernels.gating import GateForms, Pooling, ceiling, pitch
from edgefer.kernels.plan import Gpu, Launch, Plan


class ChannelGateParams(ctypes.Structure):
    """The structure of kernels/include/edgefer/channel_gate_params.h."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("X", "W1", "b1", "W2", "b2", "Y", "workspace")),
        *((name, ctypes.c_int) for name in ("channels", "pixels", "hidden", "hard")),
        *((name, ctypes.c_int) for name in ("pool_bands", "pool_pixels", "tile_pixels", "copied")),
        *((name, ctypes.c_float) for name in ("alpha", "beta", "x_scale", "y_scale")),
    )


GATES = ("sigmoid", "hard_sigmoid")
ENTRIES = gating.entries("channel_gate", "edgefer::ChannelGateParams")


@dataclass(frozen=True)
class ChannelGate:
    """One node: X of `shape` (N, C, H, W) in `form`, Y in the form `output`, and weights of the type `weights`.

    There are `hidden` units. `gate` is the sigmoid of a score, or `hard_sigmoid`: max(0, min(1, alpha * score + beta)).
    The scales are what one step of an INT8 X or Y is worth.
    """

    shape: tuple[int, int, int, int]
    hidden: int
    form: Form
    output: Form
    weights: Element
    gate: str = "sigmoid"
    alpha: float = 0.2
    beta: float = 0.5
    x_scale: float = 0.0
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
    def pixels(self) -> int:
        return self.shape[2] * self.shape[3]


def unsupported(node: ChannelGate) -> str:
    """Why there is no kernel for this node, or "" if there is."""
    if node.gate not in GATES:
        return f"a gate {node.gate!r}, and the kernels have {' and '.join(GATES)}"
    return gating.unsupported(node.forms, node.shape, node.hidden)


class _Tile(NamedTuple):
    """The pixels that one block of `apply` or `single` writes, and whether it copies them into shared memory."""

    pixels: int
    copied: bool
    shared_bytes: int


def plan(node: ChannelGate, gpu: Gpu) -> Plan:
    """The launches that are taken to cost least: `pool` and `apply`, or `single`.

    The model behind the choice (`gating.cost`) counts elements passed through and latencies; no GPU has confirmed it.

    Raises:
        UsageError: there is no kernel (`unsupported` says so beforehand), an INT8 tensor has no scale, or the gates of
            all channels do not fit in the GPU's shared memory, which takes less than 99 KB of it.
    """
    reason = unsupported(node)
    if reason:
        raise gating.refused(reason)
    pool = gating.pooling(node.form, (node.batch, node.channels, node.pixels), 1, gpu)
    apply, applying = _best_tile(node, gpu, pool)
    whole = _tile(node, node.pixels, None, copied=True)
    if whole.shared_bytes <= gpu.shared_bytes:
        passes = 2 * node.channels * node.pixels
        single = gating.cost(gpu, node.batch, whole.shared_bytes, passes + _weights(node))
        if apply is None or single <= pool.cost + applying:
            launch = Launch(
                f"edgefer_channel_gate_single_{node.forms.codes}",
                (1, 1, node.batch),
                gating.THREADS,
                whole.shared_bytes,
            )
            return Plan((launch,), _parameters(node, whole, Pooling(1, node.pixels, 0, 0)))
    if apply is None:
        raise gating.refused(f"{gpu.shared_bytes} bytes of shared memory are too few for {node.channels} channels")
    tiles = ceiling(node.pixels, apply.pixels)
    launches = (
        Launch(
            f"edgefer_channel_gate_pool_{node.form.code}",
            (pool.bands, 1, node.batch),
            gating.POOL_THREADS,
            pool.shared_bytes,
        ),
        Launch(
            f"edgefer_channel_gate_apply_{node.forms.codes}", (tiles, 1, node.batch), gating.THREADS, apply.shared_bytes
        ),
    )
    workspace = node.batch * pool.bands * pitch(node.channels) * 4
    return Plan(launches, _parameters(node, apply, pool), workspace)


def bytes_moved(node: ChannelGate, plan: Plan) -> int:
    """Bytes that the launches of `plan` must move where no cache holds anything beforehand.

    One launch: X, Y and the weights once. Two: X twice, the partial results written and read once, Y and the weights
    once. What several blocks read of weights and partial results is counted once, because it stays in the L2 cache.
    """
    moved = floor_bytes(node) + _weight_bytes(node)
    if len(plan.launches) == 1:
        return moved
    return moved + node.batch * node.channels * node.pixels * node.form.size + 2 * plan.workspace_bytes


def floor_bytes(node: ChannelGate) -> int:
    """Bytes that any kernel must move: X read once, Y written once."""
    return node.batch * node.channels * node.pixels * (node.form.size + node.output.size)


def _parameters(node: ChannelGate, tile: _Tile, pool: Pooling) -> dict[str, int | float]:
    return {
        "channels": node.channels,
        "pixels": node.pixels,
        "hidden": node.hidden,
        "hard": int(node.gate == "hard_sigmoid"),
        "pool_bands": pool.bands,
        "pool_pixels": pool.pixels,
        "tile_pixels": tile.pixels,
        "copied": int(tile.copied),
        "alpha": node.alpha,
        "beta": node.beta,
        "x_scale": gating.scale_of(node.form, node.x_scale, "x_scale"),
        "y_scale": gating.scale_of(node.output, node.y_scale, "y_scale"),
    }


def _best_tile(node: ChannelGate, gpu: Gpu, pool: Pooling) -> tuple[_Tile | None, int]:
    """The tile with which `apply` costs least, and that cost; none where no tile fits."""
    best, least = None, 0
    for pixels in gating.sizes(node.pixels, 2 * gpu.multiprocessors):
        for copied in (True, False) if node.form.layout != "linear" else (False,):
            tile = _tile(node, pixels, pool, copied=copied)
            if tile.shared_bytes > gpu.shared_bytes:
                continue
            work = node.channels * pixels * (1 if copied else 2)
            found = gating.cost(
                gpu,
                node.batch * ceiling(node.pixels, pixels),
                tile.shared_bytes,
                work + _weights(node) + pool.bands * pitch(node.channels),
            )
            if best is None or found < least:
                best, least = tile, found
            break
    return best, least


def _tile(node: ChannelGate, pixels: int, pool: Pooling | None, *, copied: bool) -> _Tile:
    """A tile with the shared memory that ChannelGateMemory of kernels/include/edgefer/channel_gate.cuh divides.

    Without `pool` the block pools X itself.
    """
    if pool is None:
        lanes = gating.lanes(node.form, node.channels, gating.THREADS)
    else:
        lanes = gating.partial_lanes(node.channels, gating.THREADS, pool.bands)
    floats = (2 + lanes) * pitch(node.channels) + pitch(node.hidden)
    copy = ceiling(pixels * node.channels * node.form.size, 16) * 16 if copied else 0
    return _Tile(pixels, copied, copy + 4 * floats)


def _weights(node: ChannelGate) -> int:
    """Elements of the two matrices, all of which every block passes through."""
    return 2 * node.channels * node.hidden


def _weight_bytes(node: ChannelGate) -> int:
    return (_weights(node) + node.hidden + node.channels) * (4 if node.weights == "f32" else 2)
