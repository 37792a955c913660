"""What the pre-processing kernel takes and gives: frames, cameras, forms of the output; and what it cannot do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgefer.bundle.image_faults import image_faults
from edgefer.bundle.manifest import ImageSpec, InputSpec
from edgefer.runtime.nv12 import ChromaSite, YuvMatrix

FrameFormat = Literal["bgr8", "rgb8", "nv12", "gray8", "y16"]
OutputForm = Literal["f32n", "f16n", "f16h8", "i8c4"]

LARGEST_SIDE = 65_535
_PIXEL_BYTES: dict[FrameFormat, int] = {"bgr8": 3, "rgb8": 3, "nv12": 1, "gray8": 1, "y16": 2}
_VISIBLE: tuple[FrameFormat, ...] = ("bgr8", "rgb8", "nv12", "gray8")
_INFRARED: tuple[FrameFormat, ...] = ("gray8", "y16")
_MOST_CHANNELS: dict[OutputForm, int] = {"f32n": 6, "f16n": 6, "f16h8": 8, "i8c4": 4}


@dataclass(frozen=True)
class Frame:
    """How a camera's frames lie in memory. Strides are in bytes; 0 stands for rows, planes and frames without gaps.

    `bgr8` and `rgb8` are (H, W, 3) and `gray8` (H, W) in uint8, `y16` (H, W) in uint16. `nv12` is a plane of luma
    (H, W) and one of pairs Cb, Cr (ceil(H/2), ceil(W/2), 2), both in uint8, converted by `matrix`, from the limited
    range (luma 16 to 235) unless `full_range`; `chroma` is where a pair stands: amid its four pixels, or at the left
    ones as in H.264.
    """

    format: FrameFormat
    height: int
    width: int
    stride: int = 0
    chroma_stride: int = 0
    frame_stride: int = 0
    chroma_frame_stride: int = 0
    matrix: YuvMatrix = "bt601"
    full_range: bool = False
    chroma: ChromaSite = "centre"

    @property
    def row_bytes(self) -> int:
        """From one row to the next."""
        return self.stride or self.width * _PIXEL_BYTES[self.format]

    @property
    def chroma_row_bytes(self) -> int:
        """From one row of chroma to the next; 0 where there is none."""
        return (self.chroma_stride or 2 * -(-self.width // 2)) if self.format == "nv12" else 0

    @property
    def frame_bytes(self) -> int:
        """From one frame of a batch to the next."""
        return self.frame_stride or self.row_bytes * self.height

    @property
    def chroma_frame_bytes(self) -> int:
        """From the chroma of one frame to that of the next."""
        return self.chroma_frame_stride or self.chroma_row_bytes * -(-self.height // 2)


@dataclass(frozen=True)
class Camera:
    """One camera: its frames, and what their pixels become (`image`: colour, range, mean, deviation, window, pad level)
    in `channels` channels. Crop, fit and resizing are those of the views."""

    frame: Frame
    image: ImageSpec
    channels: int


@dataclass(frozen=True)
class Output:
    """What is written: `f32n` and `f16n` are (N, C, H, W) in FP32 and FP16, `f16h8` is (N, H, W, 8) in FP16 and `i8c4`
    (N, H, W, 4) in INT8, filled up with zeros. C are the channels of the visible camera, then those of the infrared
    one; with `separate` each camera has an output of its own. `scale` is the value of one step of INT8."""

    form: OutputForm
    height: int
    width: int
    separate: bool = False
    scale: float = 0.0


def unsupported(visible: Camera | None, infrared: Camera | None, output: Output, frames: int = 1) -> str:
    """Why the kernel cannot do this, "" where it can."""
    if visible is None and infrared is None:
        return "there is no camera"
    if output.separate and (visible is None or infrared is None):
        return "separate outputs are for two cameras, and there is one"
    if not (1 <= output.height <= LARGEST_SIDE and 1 <= output.width <= LARGEST_SIDE and 1 <= frames <= LARGEST_SIDE):
        return f"{frames} outputs of {output.height}x{output.width}, expected 1 to {LARGEST_SIDE} of each"
    if (output.scale > 0) != (output.form == "i8c4"):
        return f"the scale {output.scale:g} with the form {output.form}: INT8 has one above 0, the others have 0"
    for name, camera, formats in (("visible", visible, _VISIBLE), ("infrared", infrared, _INFRARED)):
        reason = "" if camera is None else _fault_of(camera, formats)
        if reason:
            return f"the {name} camera {reason}"
    counts = [camera.channels for camera in (visible, infrared) if camera is not None]
    most = _MOST_CHANNELS[output.form]
    if not output.separate and sum(counts) > most:
        return f"{sum(counts)} channels in the form {output.form}, which has {most}"
    return ""


def _fault_of(camera: Camera, formats: tuple[FrameFormat, ...]) -> str:
    frame, image = camera.frame, camera.image
    if frame.format not in formats:
        return f"has frames in {frame.format}, expected {' or '.join(formats)}"
    if not (1 <= frame.height <= LARGEST_SIDE and 1 <= frame.width <= LARGEST_SIDE):
        return f"has frames of {frame.height}x{frame.width}, expected sides of 1 to {LARGEST_SIDE}"
    if frame.row_bytes < frame.width * _PIXEL_BYTES[frame.format] or frame.row_bytes >= 1 << 31:
        return f"has {frame.row_bytes} bytes from row to row of {frame.width} pixels in {frame.format}"
    if frame.format == "nv12" and not 2 * -(-frame.width // 2) <= frame.chroma_row_bytes < 1 << 31:
        return f"has {frame.chroma_row_bytes} bytes from row to row of chroma for {frame.width} pixels"
    if frame.frame_bytes < frame.row_bytes * (frame.height - 1) + frame.width * _PIXEL_BYTES[frame.format]:
        return f"has {frame.frame_bytes} bytes from frame to frame, which is less than a frame"
    # Pixels and pairs of two bytes are read at once.
    pairs = {"y16": (frame.row_bytes, frame.frame_bytes), "nv12": (frame.chroma_row_bytes, frame.chroma_frame_bytes)}
    if any(distance % 2 for distance in pairs.get(frame.format, ())):
        return "has an odd number of bytes from row to row or from frame to frame"
    if image.equalise != "none":
        return f"equalises by {image.equalise}, which needs the whole image first"
    if image.resize not in ("area-bilinear", "bilinear"):
        return f"resizes by {image.resize}, expected area-bilinear or bilinear"
    spec = InputSpec(name="", role="other", shape=(1, camera.channels, 1, 1), image=image)
    return next(image_faults(spec), "")
