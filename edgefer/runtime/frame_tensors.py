"""From a camera's frames to tensors on the CPU: images of OpenCV and NV12, by the manifest's fit or through views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from edgefer.errors import InputError
from edgefer.runtime.device_array import device_array
from edgefer.runtime.nv12 import Nv12, rgb_of_yuv
from edgefer.runtime.preprocess import ColourOrder, Image, Preprocessor, Tensor, checked_image
from edgefer.runtime.view import View, fitted, of_frame, through
from edgefer.runtime.view_pixels import Plane, Share, seen
from edgefer.runtime.vision import opencv


class OnGpu(Protocol):
    """An array in GPU memory, of any library."""

    @property
    def __cuda_array_interface__(self) -> Mapping[str, Any]: ...


Frame: TypeAlias = Image | Nv12 | OnGpu
ViewLike: TypeAlias = View | npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Given:
    """A camera's frame and what is to be seen of it; without a view, what the manifest says."""

    preprocessor: Preprocessor
    frame: Frame
    view: ViewLike | None = None

    @property
    def name(self) -> str:
        """The input's."""
        return self.preprocessor.spec.name


@dataclass(frozen=True, eq=False)
class _Shown:
    levels: Image
    share: Share | None
    colour: ColourOrder


def frame_tensors(given: Sequence[Given], colour: ColourOrder = "bgr") -> list[Tensor]:
    """The tensor (1, C, H, W) of every frame, in order; what is seen of each is taken before any is converted, as
    `preprocess.tensors_of` does.

    Args:
        given: frames (H, W), (H, W, 1) or (H, W, 3), uint8 or uint16, or in NV12; of any size.
        colour: the order of three channels.

    Raises:
        InputError: a frame or a view cannot be taken, or is in GPU memory.
        EnvironmentMismatch: OpenCV is not installed.
    """
    shown = [_shown(each, colour) for each in given]
    return [
        each.preprocessor.tensor(picture.levels, colour=picture.colour, share=picture.share)
        for each, picture in zip(given, shown, strict=True)
    ]


def _shown(given: Given, colour: ColourOrder) -> _Shown:
    if isinstance(given.frame, Nv12):
        return _of_nv12(given, given.frame)
    refuse_device_memory(given.frame, given.name)
    image = checked_image(given.frame, given.name)
    if given.view is None:
        return _Shown(given.preprocessor.resized(image), None, colour)
    size = given.preprocessor.size
    (levels,), share = seen([Plane(image)], of_frame(given.view, size, image.shape[:2], given.name), size)
    return _Shown(levels, share, colour)


def _of_nv12(given: Given, frame: Nv12) -> _Shown:
    planes, size = _planes(frame, given.name), given.preprocessor.size
    rows, columns = planes[0].pixels.shape[:2]
    image = given.preprocessor.spec.image
    assert image is not None
    if given.view is not None:
        view = of_frame(given.view, size, (rows, columns), given.name)
    elif image.equalise == "none" and image.resize in ("area-bilinear", "bilinear"):
        view = fitted(image, size, (rows, columns))
    else:
        whole, _ = seen(planes, through(np.eye(3), (rows, columns), (rows, columns)), (rows, columns))
        return _Shown(given.preprocessor.resized(_rgb(frame, whole)), None, "rgb")
    parts, share = seen(planes, view, size)
    return _Shown(_rgb(frame, parts), share, "rgb")


def _planes(frame: Nv12, name: str) -> list[Plane]:
    """Luma, Cb and Cr, to be rounded as colours only. They are apart because OpenCV interpolates two channels in steps,
    whatever its release.

    Raises:
        InputError: they are not what `Nv12` says.
    """
    luma, chroma = checked_nv12(frame, name)
    # Pairs stand a quarter of their own distance beyond their first pixel, or on it.
    right = -0.25 if frame.site == "centre" else 0.0
    pairs = [Plane(chroma[..., which], 0.5, right, -0.25, precise=True) for which in (0, 1)]
    return [Plane(luma, precise=True), *pairs]


def checked_nv12(frame: Nv12, name: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Luma (H, W) and chroma (ceil(H/2), ceil(W/2), 2) of a frame in the host's memory.

    Raises:
        InputError: they are not what `Nv12` says, or in GPU memory.
    """
    for plane in (frame.luma, frame.chroma):
        refuse_device_memory(plane, name)
        if not isinstance(plane, np.ndarray) or plane.dtype != np.uint8:
            found = f"{plane.dtype} elements" if isinstance(plane, np.ndarray) else f"a {type(plane).__name__}"
            raise InputError(f"the NV12 frame for input '{name}' has {found}, expected NumPy arrays of uint8")
    check_nv12_shapes(frame.luma.shape, frame.chroma.shape, name)
    return frame.luma, frame.chroma


def check_nv12_shapes(luma: tuple[int, ...], chroma: tuple[int, ...], name: str) -> None:
    """Raise InputError where the planes' shapes do not belong together."""
    if len(luma) != 2 or 0 in luma or chroma != (-(-luma[0] // 2), -(-luma[1] // 2), 2):
        raise InputError(
            f"the NV12 frame for input '{name}' has luma {luma} and chroma {chroma}, expected (H, W) and "
            "(ceil(H/2), ceil(W/2), 2)",
            hint="Nv12.from_rows takes both in one array, as OpenCV and V4L2 give them",
        )


def refuse_device_memory(frame: object, name: str) -> None:
    """Raise InputError where a frame is in GPU memory, which the CPU does not read."""
    if not isinstance(frame, np.ndarray) and device_array(frame, name) is not None:
        raise InputError(
            f"the frame for input '{name}' is in GPU memory, and it is pre-processed on the CPU here",
            hint="copy it to the host: .cpu().numpy(), cupy.asnumpy; of a session on a GPU, "
            "info['settings']['images'] says why",
        )


def _rgb(frame: Nv12, parts: Sequence[npt.NDArray[Any]]) -> Image:
    """(H, W, 3) in the order R, G, B and uint8, rounded, of luma, Cb and Cr."""
    cv2 = opencv()
    rows = np.array(rgb_of_yuv(frame.matrix, full_range=frame.full_range), np.float64).reshape(3, 4)
    levels = cv2.transform(cv2.merge(list(parts)), rows)
    # Pairs of chroma and luma exist that no colour has.
    rgb: Image = np.rint(levels.clip(0, 255)).astype(np.uint8)
    return rgb
