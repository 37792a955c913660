"""What of a camera's pre-processing DeepStream's nvinfer can do, as the keys of its configuration.

nvinfer scales a frame or an object to the network's size, takes 8-bit pixels x of it, and computes
net-scale-factor * (x - offset), with one offset for each channel and one factor for all: NVIDIA, DeepStream SDK
developer guide, "Gst-nvinfer", https://docs.nvidia.com/metropolis/deepstream/dev-guide/text/DS_plugin_gst-nvinfer.html.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from edgefer.bundle.manifest import ImageSpec, InputSpec
from edgefer.errors import ExportError

_WHOLE = (0.0, 0.0, 1.0, 1.0)
_WHOLE_16_BITS = (0, 65535)
_FORMATS = {"rgb": 0, "bgr": 1, "grey": 2}
# As the enumeration NvBufSurfTransform_Inter numbers them: nearest and bilinear are the same on every unit that scales.
_FILTERS = {"nearest": 0, "bilinear": 1}
_INSIDE = "let the network normalise inside its graph, and build the bundle with the default --preprocess"


def image_keys(spec: InputSpec, image: ImageSpec) -> dict[str, str]:
    """The keys of the group `property` that say how the input is made.

    Raises:
        ExportError: nvinfer cannot do what a field of the manifest says; all such fields are named.
    """
    faults = [*_faults(spec, image)]
    if faults:
        raise ExportError(
            f"nvinfer cannot make input '{spec.name}' as the bundle says: {faults[0][0]}",
            details="\n".join(fault for fault, _ in faults[1:]),
            hint="; or ".join(dict.fromkeys(hint for _, hint in faults)),
        )
    factor, offsets = _scaling(spec, image)
    letterbox = image.fit == "letterbox"
    return {
        "net-scale-factor": repr(factor),
        "offsets": ";".join(map(repr, offsets)),
        "model-color-format": str(_FORMATS[image.colour]),
        "infer-dims": ";".join(map(str, spec.shape[1:])),
        "maintain-aspect-ratio": str(int(letterbox)),
        "symmetric-padding": str(int(letterbox and image.align == "centre")),
        "scaling-filter": str(_FILTERS.get(image.resize, 1)),
    }


def image_notes(image: ImageSpec) -> Iterator[str]:
    """What nvinfer does nearly as the bundle says, and nearly only."""
    if image.resize not in _FILTERS:
        yield (
            f"the bundle resizes by `{image.resize}`, nvinfer bilinearly: check answers on frames of your own, or "
            "bring frames near the network's size first"
        )
    if image.colour == "grey":
        yield f"nvinfer takes grey from the luma of the stream; the bundle says {image.grey} of colours in full range"


def _faults(spec: InputSpec, image: ImageSpec) -> Iterator[tuple[str, str]]:
    """What cannot be expressed, each with what to do about it."""
    crop = "crop before nvinfer, with nvvideoconvert or nvdspreprocess, and build the bundle without it"
    if image.crop != _WHOLE:
        yield f"`crop` is {image.crop}, and it scales the whole frame or object", crop
    if image.fit == "centre-crop":
        yield "`fit` is centre-crop, and it stretches or pads, and never crops", crop
    if image.fit == "letterbox" and any(image.pad):
        yield f"`pad` is {image.pad}, and its bars are black", "build the bundle with pad 0"
    if image.equalise != "none":
        yield f"`equalise` is {image.equalise}, and it equalises nothing", "build the bundle without equalisation"
    if image.window16 != _WHOLE_16_BITS:
        yield (
            f"`window16` is {image.window16}, and it takes pixels of 8 bits only",
            "bring 16-bit frames to 8 bits before nvinfer, and build the bundle without window16",
        )
    if image.colour == "grey" and spec.shape[1] == 3:
        yield "`colour` is grey in three channels, and it makes one", "build the network for one channel"
    if image.colour == "grey" and image.grey == "average":
        yield "`grey` is average, and it takes the luma", "build the bundle with grey bt601"
    if len(set(image.std)) > 1:
        yield f"`std` is {image.std}, and it has one factor for all channels", _INSIDE
    elif not _positive(spec, image):
        yield f"`range` {image.range} with `mean` {image.mean} needs an offset below 0, which it does not take", _INSIDE


def _positive(spec: InputSpec, image: ImageSpec) -> bool:
    return all(math.isfinite(offset) and offset >= 0 for offset in _scaling(spec, image)[1])


def _scaling(spec: InputSpec, image: ImageSpec) -> tuple[float, list[float]]:
    """Factor and offsets, in levels of 0..255, of ((x / 255 (high - low) + low) - mean) / std."""
    low, high = image.range
    std = image.std[0] if image.std else 1.0
    means = image.mean or (0.0,) * spec.shape[1]
    return (high - low) / 255 / std, [(mean - low) * 255 / (high - low) for mean in means]
