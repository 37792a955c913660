"""What the plans of CBAM and of the channel gate share: forms, the pooling launch, and the cost of a launch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from edgefer.errors import UsageError
from edgefer.kernels.forms import CXX, F16_HWC, F16_LINEAR, F32_HWC, F32_LINEAR, FORMS, I8_CHW32, Element, Form
from edgefer.kernels.plan import Entry, Gpu

POOL_THREADS = 256
THREADS = 512
"""Of the other launches."""
MAXIMUM_CHANNELS = 4096
MAXIMUM_HIDDEN = 1024
"""So that the gates of all channels fit into 99 KB of shared memory, the least that a GPU from 8.6 on has."""
MAXIMUM_BATCH = 65_535
"""What a grid's third dimension may be."""
MAXIMUM_ELEMENTS = 2**31 - 1
"""In an image: the kernels count its elements with 32 bits."""

LATENCY = 65_536
"""What a launch costs besides its work, in elements that one multiprocessor could have passed through in that time.

Unmeasured. With it, one launch is preferred to two for images up to about 30,000 elements.
"""
RESIDENT = 2
"""Blocks of 512 threads and 64 registers a thread that a multiprocessor runs at the same time."""


@dataclass(frozen=True)
class GateForms:
    """Forms of X (and of a residual) and of Y, and the type of the weights: that of a floating X; f32 or f16 where X is
    INT8."""

    x: Form
    y: Form
    weights: Element

    @property
    def codes(self) -> str:
        """As in the names of entries, `f16h_i8c` or `i8c_i8c_w16`."""
        suffix = f"_w{self.weights[1:]}" if self.x.element == "i8" else ""
        return f"{self.x.code}_{self.y.code}{suffix}"


COMBINATIONS: tuple[GateForms, ...] = (
    GateForms(F32_LINEAR, F32_LINEAR, "f32"),
    GateForms(F32_HWC, F32_HWC, "f32"),
    GateForms(F16_LINEAR, F16_LINEAR, "f16"),
    GateForms(F16_HWC, F16_HWC, "f16"),
    GateForms(F32_HWC, I8_CHW32, "f32"),
    GateForms(F16_HWC, I8_CHW32, "f16"),
    GateForms(I8_CHW32, I8_CHW32, "f32"),
    GateForms(I8_CHW32, I8_CHW32, "f16"),
)
"""Those for which there are entries."""


def entries(operation: str, parameters: str) -> tuple[Entry, ...]:
    """The entries of `operation`: `pool` for each form of X, `apply` and `single` for each combination."""
    header = f"{operation}.cuh"

    def entry(phase: str, codes: str, *arguments: str) -> Entry:
        body = f"edgefer::{operation}_{phase}<{', '.join(CXX[each] for each in arguments)}>"
        threads = POOL_THREADS if phase == "pool" else THREADS
        return Entry(f"edgefer_{operation}_{phase}_{codes}", header, body, parameters, threads)

    pools = [entry("pool", form.code, form.element, form.layout) for form in FORMS]
    others = [
        entry(phase, each.codes, each.x.element, each.x.layout, each.y.element, each.y.layout, each.weights)
        for phase in ("apply", "single")
        for each in COMBINATIONS
    ]
    return (*pools, *others)


def unsupported(forms: GateForms, shape: tuple[int, int, int, int], hidden: int) -> str:
    """Why there is no kernel for X of `shape` (N, C, H, W) in these forms, or "" if there is."""
    if min(*shape, hidden) < 1:
        return f"X has the shape {list(shape)} and the hidden layer {hidden} units, and none may be 0"
    batch, channels, height, width = shape
    if forms not in COMBINATIONS:
        return f"there is no kernel from {forms.x.code} to {forms.y.code} with weights in {forms.weights}"
    for form in (forms.x, forms.y):
        if not form.takes(channels):
            return f"{channels} channels, and the form {form.code} takes multiples of {form.channel_multiple}"
    for name, found, limit in (
        ("channels", channels, MAXIMUM_CHANNELS),
        ("hidden units", hidden, MAXIMUM_HIDDEN),
        ("images in a batch", batch, MAXIMUM_BATCH),
        ("elements in an image", channels * height * width, MAXIMUM_ELEMENTS),
    ):
        if found > limit:
            return f"{found} {name}, and the kernels take up to {limit}"
    return ""


def scale_of(form: Form, scale: float, name: str) -> float:
    """The scale of a tensor for the kernels: 1 where it is not INT8.

    Raises:
        UsageError: it is INT8 and `scale`, the attribute `name`, is not above 0.
    """
    if form.element != "i8":
        return 1.0
    if not 0.0 < scale < math.inf:
        raise UsageError(f"{name} is {scale}, and an INT8 tensor needs a scale above 0", hint="set it in the node")
    return scale


def refused(reason: str) -> UsageError:
    """What is raised where a plan is asked for that there cannot be."""
    return UsageError(f"no kernel does this: {reason}", hint="leave the node to its function body")


def ceiling(count: int, divisor: int) -> int:
    """`count / divisor`, rounded up."""
    return -(-count // divisor)


def pitch(channels: int) -> int:
    """Channels rounded up to 4: what a vector of them takes in shared memory and in the workspace."""
    return ceiling(channels, 4) * 4


def group(form: Form) -> int:
    """Channels that a thread takes at once: those of 16 bytes, or one in a linear layout."""
    return 1 if form.layout == "linear" else 16 // form.size


def lanes(form: Form, channels: int, threads: int) -> int:
    """Among how many threads a block divides the pixels of a group of channels while it pools X, and so the height of
    its scratch memory; 1 in a linear layout, where the lanes of a warp add up among themselves."""
    if form.layout == "linear":
        return 1
    return threads // min(channels // group(form), threads)


def partial_lanes(channels: int, threads: int, bands: int) -> int:
    """The same while it pools `bands` partial results."""
    return min(threads // min(pitch(channels) // 4, threads), bands)


@dataclass(frozen=True)
class Pooling:
    """The launch that pools: `bands` of `pixels` each, the last one perhaps smaller."""

    bands: int
    pixels: int
    shared_bytes: int
    cost: int


def pooling(form: Form, images: tuple[int, int, int], planes: int, gpu: Gpu) -> Pooling:
    """How `images` (batch, channels, pixels) are pooled in bands.

    A thread has at least four accesses of its own to wait for at the same time, and there are no more blocks than two
    for each multiprocessor, or one for each image. `planes` is 2 where maxima are wanted beside sums.
    """
    batch, channels, pixels = images
    at_once = 32 if form.layout == "linear" else lanes(form, channels, POOL_THREADS)
    wanted = min(ceiling(pixels, 4 * at_once), ceiling(2 * gpu.multiprocessors, batch))
    size = ceiling(pixels, wanted)
    bands = ceiling(pixels, size)
    shared = lanes(form, channels, POOL_THREADS) * planes * pitch(channels) * 4
    return Pooling(bands, size, shared, cost(gpu, bands * batch, shared, channels * size))


def cost(gpu: Gpu, blocks: int, shared_bytes: int, work: int) -> int:
    """What a launch of `blocks` costs, each with so much shared memory and `work` (in elements passed through).

    Blocks that a multiprocessor runs at the same time hide each other's latency, not each other's work.
    """
    resident = max(1, min(RESIDENT, gpu.shared_bytes // max(shared_bytes, 1)))
    return ceiling(blocks, resident * gpu.multiprocessors) * LATENCY + ceiling(blocks, gpu.multiprocessors) * work


def sizes(length: int, most: int) -> Iterator[int]:
    """What the parts of `length` can measure, largest first: from equal division into up to `most`, then halving."""
    last = 0
    for parts in range(1, min(length, most) + 1):
        size = ceiling(length, parts)
        if size != last:
            yield size
        last = size
    while last > 1:
        last //= 2
        yield last
