"""From a camera's image to the tensor that a network takes, as the manifest says: the only place where this is done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from edgefer.bundle.image_faults import image_faults
from edgefer.bundle.manifest import InputSpec
from edgefer.errors import InputError
from edgefer.runtime.equalise import Equaliser
from edgefer.runtime.geometry import Geometry
from edgefer.runtime.grey import grey
from edgefer.runtime.resize import area_bilinear
from edgefer.runtime.vision import opencv

Image: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Tensor: TypeAlias = npt.NDArray[np.float32]
ColourOrder: TypeAlias = Literal["bgr", "rgb"]

_DEEPEST = 65535


class Preprocessor:
    """Makes the tensor (1, C, H, W) of one input from an image. Holds no state that a call changes: safe to share
    between threads.

    Args:
        spec: the input, whose `image` says how; C is 1 or 3.

    Raises:
        InputError: the input is not an image, or what is said of it contradicts itself.
    """

    def __init__(self, spec: InputSpec) -> None:
        image = spec.image
        if image is None or len(spec.shape) != 4 or spec.shape[1] not in (1, 3):
            raise InputError(
                f"input '{spec.name}' with the shape {spec.shape} is not one that images can be made into",
                hint="pass it as a tensor to Session.infer",
            )
        self.spec = spec
        self._name = spec.name
        self._channels, self._height, self._width = spec.shape[1:]
        self._colour, self._grey = image.colour, image.grey
        geometry = Geometry(image, self._height, self._width)
        as_they_are = image.crop == (0, 0, 1, 1) and image.fit == "stretch" and image.resize == "area-bilinear"
        self._geometry = None if as_they_are else geometry
        self._framed = not geometry.whole
        self._equaliser = None if image.equalise == "none" else Equaliser(image)
        mean = np.array(image.mean or (0.0,) * self._channels)
        std = np.array(image.std or (1.0,) * self._channels)
        if mean.shape != (self._channels,) or std.shape != (self._channels,):
            raise InputError(
                f"input '{spec.name}' has {self._channels} channels, but {mean.size} means and {std.size} deviations"
            )
        low, high = image.range
        grey_levels = np.arange(256) / 255 * (high - low) + low
        # An equalised image fills the range of its type.
        self._window = image.window16 if self._equaliser is None else (0, _DEEPEST)
        span = self._window[1] - self._window[0]
        with np.errstate(over="ignore"):
            self._tables = ((grey_levels[None] - mean[:, None]) / std[:, None]).astype(np.float32)
            self._scales = ((high - low) / span / std).astype(np.float32)
            self._offsets = ((low - mean) / std).astype(np.float32)
        if not all(np.isfinite(numbers).all() for numbers in (self._tables, self._scales, self._offsets)):
            raise InputError(f"input '{spec.name}' has a range, mean or deviation that float32 cannot hold")
        for fault in image_faults(spec):
            raise InputError(f"input '{spec.name}' {fault}")
        levels = image.pad * (self._channels // len(image.pad))
        self._pad = np.array([[[table[level]]] for table, level in zip(self._tables, levels, strict=True)], np.float32)
        self._alike = bool((mean == mean[0]).all() and (std == std[0]).all())

    def __call__(self, image: Image, *, colour: ColourOrder = "bgr", out: Tensor | None = None) -> Tensor:
        """The image as a tensor.

        Args:
            image: (H, W), (H, W, 1) or (H, W, 3), uint8 or uint16, of any size; may be a view, such as a crop.
            colour: the order of the image's three channels.
            out: where to put the result, (1, C, H, W) float32 and contiguous; new memory where left out.

        Raises:
            InputError: the image or `out` is not as above.
            EnvironmentMismatch: OpenCV is not installed.
        """
        return self.tensor(self.resized(image), colour=colour, out=out)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input."""
        return self._height, self._width

    def resized(self, image: Image) -> Image:
        """The first half of a call: what of the image is in the tensor, and in the size that it has there, (H, W) or
        (H, W, 3), its type and colour order unchanged; a view of `image` where nothing is to be resized.

        Raises:
            InputError: the image is not as a call takes it.
            EnvironmentMismatch: OpenCV is not installed.
        """
        pixels: Any = checked_image(image, self._name)
        if self._geometry is not None:
            return self._geometry(pixels)
        resized: Image = area_bilinear(pixels, self._height, self._width)
        return resized

    def tensor(
        self, resized: Image, *, colour: ColourOrder = "bgr", out: Tensor | None = None, share: Tensor | None = None
    ) -> Tensor:
        """The second half of a call: the tensor of what `resized` gave, or of what a view shows of a frame in the
        input's size, whose pixels are the picture to a `share` (H, W) of 0 to 1 and the pad level to the rest.

        Raises:
            InputError: `colour` or `out` is not as a call takes it.
        """
        if colour not in ("bgr", "rgb"):
            raise InputError(f"the colour order of input '{self._name}' is {colour!r}, expected 'bgr' or 'rgb'")
        tensor = self._checked_out(out)
        planes = self._planes(resized, colour)
        fill = self._fill8 if planes[0].dtype == np.uint8 else self._fill16
        targets = self._inside(tensor, *resized.shape[:2]) if self._framed else tensor[0]
        for channel, target in enumerate(targets):
            if channel and len(planes) == 1 and self._alike:
                np.copyto(target, targets[0])
            else:
                fill(planes[channel % len(planes)], channel, target)
        if share is not None:
            picture = tensor[0]
            picture -= self._pad
            picture *= share
            picture += self._pad
        return tensor

    def _inside(self, tensor: Tensor, height: int, width: int) -> Tensor:
        """The part of the tensor within the bars, (C, height, width), after painting the bars."""
        if self._geometry is None or (height, width) == (self._height, self._width):
            top, left, height, width = 0, 0, self._height, self._width
        else:
            top, left = self._geometry.place(height, width)
            tensor[0] = self._pad
        inside: Tensor = tensor[0, :, top : top + height, left : left + width]
        return inside

    def _checked_out(self, out: Tensor | None) -> Tensor:
        shape = (1, self._channels, self._height, self._width)
        if out is None:
            return np.empty(shape, np.float32)
        if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != np.float32:
            found = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
            raise InputError(f"`out` for input '{self._name}' is {found}, expected float32 {shape}")
        if not (out.flags.c_contiguous and out.flags.writeable):
            raise InputError(f"`out` for input '{self._name}' is read-only or not contiguous")
        return out

    def _planes(self, image: npt.NDArray[Any], colour: ColourOrder) -> list[npt.NDArray[Any]]:
        """The image's channels in the network's order; one only where all are the same."""
        if image.ndim == 3 and (self._channels == 1 or self._colour == "grey"):
            image = grey(image, colour, self._grey)
        if self._equaliser is not None:
            image = self._equaliser(image, colour)
        if image.ndim == 2:
            return [image]
        cv2 = opencv()
        # Into memory of its own for each plane: without it OpenCV takes several times as long.
        planes = list(cv2.split(image, [np.empty(image.shape[:2], image.dtype) for _ in range(3)]))
        return planes if colour == self._colour else planes[::-1]

    def _fill8(self, plane: npt.NDArray[np.uint8], channel: int, target: Tensor) -> None:
        # One table look-up does scale, mean and standard deviation at once, each value rounded only once.
        opencv().LUT(plane, self._tables[channel], dst=target)

    def _fill16(self, plane: npt.NDArray[np.uint16], channel: int, target: Tensor) -> None:
        low, high = self._window
        if (low, high) != (0, _DEEPEST):
            # The window's beginning is taken off as an integer: off the float it would cost digits.
            plane = np.clip(plane, low, high) - np.uint16(low)
        np.multiply(plane, self._scales[channel], out=target)
        if self._offsets[channel]:
            target += self._offsets[channel]


def tensors_of(images: Sequence[tuple[Preprocessor, Image]], colour: ColourOrder = "bgr") -> list[Tensor]:
    """The tensor of every image, in order, as calls of the preprocessors would give them.

    All are resized before any is converted: OpenCV's threads, which resizing uses and converting does not, would
    otherwise fall asleep in between, and waking them costs as much as a conversion.

    Raises:
        InputError: as a call of the preprocessor whose image it is.
        EnvironmentMismatch: OpenCV is not installed.
    """
    resized = [preprocessor.resized(image) for preprocessor, image in images]
    return [
        preprocessor.tensor(pixels, colour=colour) for (preprocessor, _), pixels in zip(images, resized, strict=True)
    ]


def checked_image(image: object, name: str) -> Image:
    """`image` as (H, W) or (H, W, 3), in memory as OpenCV can take it: copied only where it must be.

    Raises:
        InputError: it is none of the shapes and types that `Preprocessor` takes.
    """
    if not isinstance(image, np.ndarray):
        raise InputError(
            f"the image for input '{name}' is a {type(image).__name__}, expected a NumPy array",
            hint="read it with cv2.imread(path, cv2.IMREAD_UNCHANGED); a path that cannot be read gives None",
        )
    if image.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"the image for input '{name}' has elements of type {image.dtype}, expected uint8 or uint16",
            hint="pass float tensors to Session.infer instead",
        )
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        raise InputError(
            f"the image for input '{name}' has the shape {image.shape}, expected (H, W), (H, W, 1) or (H, W, 3)",
            hint="drop an alpha channel with image[..., :3]" if image.ndim == 3 and image.shape[2] == 4 else "",
        )
    if image.size == 0:
        raise InputError(f"the image for input '{name}' is empty: its shape is {image.shape}")
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    # OpenCV reads a crop in place, as its rows are at a fixed distance; anything else it would refuse or copy itself.
    packed = image.strides[-1] == image.itemsize and image.strides[0] > 0
    if image.ndim == 3:
        packed = packed and image.strides[1] == 3 * image.itemsize
    return image if packed else np.ascontiguousarray(image)
