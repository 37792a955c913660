"""What GatedPool and GatedFusion have in common: how towers are pooled and gated (`gated_tower.cuh`), as launches.

One launch, in which every block pools the maps of its images again, or two, with the means in the workspace. To pool
again costs a multiprocessor the time of reading these maps from L2, at most 64 bytes a clock; to launch again is taken
for 2 µs. The first reaches the second at about 160 KB and 1.3 GHz; neither has been measured with these kernels. Linear
maps take two launches: what one thread can read of them at once is too short.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgefer.errors import UsageError
from edgefer.kernels.forms import CXX, FORMS, Element, Form
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
    power_of_two,
)

POOLED_AGAIN_BYTES = 131_072
"""What a block may read of maps to spare a launch."""

_FLOAT = 4
_WARP = 32
_PIXELS_PER_THREAD = 8
_GROUPS_ACROSS = 8
"""Groups of channels that a block of the pooling launch takes: 128 bytes of every pixel."""


@dataclass(frozen=True)
class Towers:
    """One or two maps, each pooled and gated with a matrix of its own. `pixels` has H·W of each.

    Number of images and of channels, form and the weights' element type are the same for all.
    """

    images: int
    channels: int
    pixels: tuple[int, ...]
    form: Form
    weights: Element

    @property
    def group(self) -> int:
        """Channels that one thread takes: those of 16 bytes, or one of a linear map."""
        return 1 if self.form.layout == "linear" else 16 // self.form.size

    @property
    def weight_size(self) -> int:
        """Bytes of a weight, and of an element of the output."""
        return size_of(self.weights)

    @property
    def padded(self) -> int:
        return padded(self.channels, self.weight_size)


def entries(operation: str) -> tuple[Entry, ...]:
    """The entries of `gated_pool` or `gated_fusion`: `pool` and `gate`, and `whole` for both in one launch."""
    floats: tuple[Element, ...] = ("f32", "f16")
    together = [form for form in FORMS if form.layout != "linear"]
    arguments: dict[str, tuple[str, ...]] = {
        **{f"pool_{form.code}": (form.element, form.layout) for form in FORMS},
        **{f"gate_{_suffix(weights)}": (weights,) for weights in floats},
        **{
            f"whole_{code(form, weights)}": (form.element, form.layout, weights)
            for form in together
            for weights in weight_types(form)
        },
    }
    structure = "".join(word.capitalize() for word in operation.split("_")) + "Params"
    return tuple(
        Entry(
            name=f"edgefer_{operation}_{phase}",
            header=f"{operation}.cuh",
            body=f"edgefer::{operation}_{phase.split('_')[0]}<{', '.join(CXX[each] for each in names)}>",
            parameters=structure,
            threads=THREADS,
        )
        for phase, names in arguments.items()
    )


def weight_types(form: Form) -> tuple[Element, ...]:
    """The element types of weights beside a map of `form`: its own, or either where it is INT8."""
    return ("f32", "f16") if form.element == "i8" else (form.element,)


def code(form: Form, weights: Element) -> str:
    """As in the names of entries: `f16h`, `i8c_w16`."""
    return f"{form.code}_{_suffix(weights)}" if form.element == "i8" else form.code


def size_of(element: Element) -> int:
    """Bytes of one element."""
    return Form(element, "linear").size


def step(form: Form, scale: float, name: str) -> float:
    """The value of one step of a map: `scale` where it is INT8, else 1.

    Raises:
        UsageError: an INT8 map has no scale.
    """
    if form.element != "i8":
        return 1.0
    if not scale > 0:
        raise UsageError(f"{name} is {scale:g} for an INT8 map", hint="expected what one step of the map is worth")
    return scale


def unsupported(towers: Towers) -> str:
    """Why no kernel gates these towers on some GPU, or ""."""
    if min(towers.images, towers.channels, *towers.pixels) < 1:
        return f"a size is 0 (batch {towers.images}, {towers.channels} channels, {min(towers.pixels)} pixels)"
    if towers.images > MOST_IMAGES:
        return f"a batch of {towers.images}, at most {MOST_IMAGES}"
    if not towers.form.takes(towers.channels):
        return f"{towers.channels} channels, {towers.form.code} takes multiples of {towers.form.channel_multiple}"
    if towers.weights not in weight_types(towers.form):
        return f"weights {towers.weights} beside {towers.form.code}, expected {' or '.join(weight_types(towers.form))}"
    if _tile(towers, Gpu("", 1, LEAST_SHARED_BYTES)) is None:
        return f"{towers.channels} channels: {_LEAST_TILE} do not fit into shared memory"
    return ""


def plan_towers(operation: str, towers: Towers, gpu: Gpu) -> tuple[Plan, Tile]:
    """The plan without the parameters that only the operation knows, and its tile.

    Raises:
        UsageError: `unsupported` says why.
    """
    reason = unsupported(towers)
    tile = None if reason else _tile(towers, gpu)
    if tile is None:
        raise UsageError(
            f"no kernel of {operation}: {reason or 'this GPU has too little shared memory'}",
            hint="use the operator's function body instead",
        )
    whole = _in_one_launch(towers, tile, gpu)
    across = _across(towers, whole=whole)
    count = len(towers.pixels)
    down, along = tile.blocks(towers.channels, towers.images)
    fields = _fields(towers, tile, across)
    if whole:
        entry = f"edgefer_{operation}_whole_{code(towers.form, towers.weights)}"
        return Plan((Launch(entry, (down, along, count), THREADS, _whole_bytes(towers, tile)),), fields), tile
    slices = ceil_div(towers.padded, across * towers.group)
    pool = Launch(
        f"edgefer_{operation}_pool_{towers.form.code}",
        (slices, towers.images, count),
        THREADS,
        THREADS * towers.group * _FLOAT,
    )
    gate = Launch(
        f"edgefer_{operation}_gate_{_suffix(towers.weights)}", (down, along, count), THREADS, tile.shared_bytes
    )
    return Plan((pool, gate), fields, count * towers.images * towers.padded * _FLOAT), tile


def towers_requested(plan: Plan, tile: Tile, towers: Towers) -> int:
    """Bytes that the launches ask the L2 cache for and give it: what several blocks read counts as often.

    The matrices and biases are read once for every tile of images. In one launch each map is read by as many blocks as
    there are tiles of rows; in two once, and the means are written once and read by as many.
    """
    down, along = tile.blocks(towers.channels, towers.images)
    total = 0
    for pixels in towers.pixels:
        maps = towers.images * towers.channels * pixels * towers.form.size
        means = towers.images * towers.padded * _FLOAT
        total += along * (towers.channels + 1) * towers.channels * towers.weight_size
        total += maps * down if len(plan.launches) == 1 else maps + means * (1 + down)
        total += towers.images * towers.channels * towers.weight_size
    return total


def towers_floor(towers: Towers) -> int:
    """Bytes of all inputs and outputs, each once: no design moves fewer."""
    maps = towers.images * towers.channels * sum(towers.pixels) * towers.form.size
    weights = (towers.channels + 1) * towers.channels * towers.weight_size
    return maps + len(towers.pixels) * (weights + towers.images * towers.channels * towers.weight_size)


_LEAST_TILE = "four rows of weights and one image's means"


def _suffix(weights: Element) -> str:
    return {"f32": "w32", "f16": "w16"}[weights]


def _tile(towers: Towers, gpu: Gpu) -> Tile | None:
    return choose_tile(towers.channels, towers.images, towers.channels, towers.weight_size, len(towers.pixels), gpu)


def _in_one_launch(towers: Towers, tile: Tile, gpu: Gpu) -> bool:
    if towers.form.layout == "linear" or _whole_bytes(towers, tile) > gpu.shared_bytes:
        return False
    return tile.columns * towers.channels * max(towers.pixels) * towers.form.size <= POOLED_AGAIN_BYTES


def _whole_bytes(towers: Towers, tile: Tile) -> int:
    # Pooling and the product's partial sums use one place, one after the other.
    return tile.weight_bytes + tile.column_bytes + max(PARTIAL_BYTES, THREADS * towers.group * _FLOAT)


def _across(towers: Towers, *, whole: bool) -> int:
    """Groups of channels side by side; few of them where pooling has a launch, so that it has many blocks."""
    if towers.form.layout == "linear":
        lanes = power_of_two(ceil_div(max(towers.pixels), _PIXELS_PER_THREAD))
        return THREADS // min(lanes, _WARP)
    groups = power_of_two(towers.channels // towers.group)
    return min(groups, THREADS if whole else _GROUPS_ACROSS)


def _fields(towers: Towers, tile: Tile, across: int) -> Mapping[str, int]:
    return {
        "images": towers.images,
        "channels": towers.channels,
        "padded": towers.padded,
        "across": across,
        "rows": tile.rows,
        "columns": tile.columns,
        "quads": tile.quads,
        "row_stride": tile.row_stride,
        "column_stride": tile.column_stride,
    }
