"""Reading image files: depths, channels, orientation, alpha, and damage of every kind."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from edgefer.errors import DataError
from edgefer_export.data.images import IMAGE_SUFFIXES, read_image

cv2 = pytest.importorskip("cv2")

RNG = np.random.default_rng(5)
COLOUR = RNG.integers(0, 256, (24, 36, 3), dtype=np.uint8)
GREY = COLOUR[..., 1].copy()
COLOUR16 = RNG.integers(0, 65536, (24, 36, 3), dtype=np.uint16)
GREY16 = COLOUR16[..., 0].copy()


def write(path: Path, image: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), image)
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff"])
@pytest.mark.parametrize("image", [COLOUR, GREY, COLOUR16, GREY16], ids=["bgr8", "grey8", "bgr16", "grey16"])
def test_lossless_formats_give_the_stored_pixels(tmp_path: Path, suffix: str, image: np.ndarray) -> None:
    read = read_image(write(tmp_path / f"x{suffix}", image))
    assert read.dtype == image.dtype
    np.testing.assert_array_equal(read, image)


@pytest.mark.parametrize("name", ["x.bmp", "x.ppm", "x.PNG"])
def test_other_8_bit_formats_give_the_stored_pixels(tmp_path: Path, name: str) -> None:
    np.testing.assert_array_equal(read_image(write(tmp_path / name, COLOUR)), COLOUR)


def test_a_jpeg_is_read_with_its_channels(tmp_path: Path) -> None:
    assert read_image(write(tmp_path / "c.jpg", COLOUR)).shape == (24, 36, 3)
    assert read_image(write(tmp_path / "g.jpg", GREY)).shape == (24, 36)


def test_a_path_outside_ascii_is_read(tmp_path: Path) -> None:
    path = tmp_path / "größe 写真.png"
    path.write_bytes(cv2.imencode(".png", GREY)[1].tobytes())
    np.testing.assert_array_equal(read_image(path), GREY)


def test_the_orientation_tag_turns_the_image_as_imread_does(tmp_path: Path) -> None:
    jpeg = cv2.imencode(".jpg", COLOUR)[1].tobytes()
    tiff = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 1) + struct.pack("<HHII", 0x112, 3, 1, 6) + b"\0" * 4
    app1 = b"Exif\0\0" + tiff
    path = tmp_path / "turned.jpg"
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(app1) + 2) + app1 + jpeg[2:])
    read = read_image(path)
    assert read.shape == (36, 24, 3)
    np.testing.assert_array_equal(read, cv2.imread(str(path)))


def with_alpha(image: np.ndarray, alpha: int) -> np.ndarray:
    out = np.dstack([image, np.full(image.shape[:2], np.iinfo(image.dtype).max, image.dtype)])
    out[3, 4, 3] = alpha
    return out


@pytest.mark.parametrize(("suffix", "image"), [(".png", COLOUR), (".png", COLOUR16), (".tif", COLOUR)])
def test_an_opaque_alpha_channel_is_dropped(tmp_path: Path, suffix: str, image: np.ndarray) -> None:
    path = write(tmp_path / f"x{suffix}", with_alpha(image, np.iinfo(image.dtype).max))
    np.testing.assert_array_equal(read_image(path), image)


@pytest.mark.parametrize(("suffix", "image"), [(".png", COLOUR), (".png", COLOUR16), (".tif", COLOUR)])
def test_a_transparent_pixel_is_refused(tmp_path: Path, suffix: str, image: np.ndarray) -> None:
    path = write(tmp_path / f"x{suffix}", with_alpha(image, 7))
    with pytest.raises(DataError, match=r"1 of 864 pixels are not opaque") as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert caught.value.hint


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def palette_png(transparency: bytes) -> bytes:
    rows = b"".join(b"\0" + bytes([column % 4 for column in range(8)]) for _ in range(8))
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 3, 0, 0, 0)) + png_chunk(b"PLTE", bytes(range(12)))
    extra = png_chunk(b"tRNS", transparency) if transparency else b""
    return b"\x89PNG\r\n\x1a\n" + header + extra + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")


def test_a_palette_becomes_colours_and_its_transparency_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "palette.png"
    path.write_bytes(palette_png(b""))
    assert read_image(path)[0, 1].tolist() == [5, 4, 3]
    path.write_bytes(palette_png(b"\xff\x80"))
    with pytest.raises(DataError, match="not opaque"):
        read_image(path)


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tif", GREY.astype(np.float32))
    with pytest.raises(DataError, match="float32 values; 8- or 16-bit"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.6])
def test_a_file_cut_short_is_named(tmp_path: Path, suffix: str, kept: float) -> None:
    path = write(tmp_path / f"cut{suffix}", np.tile(COLOUR, (8, 8, 1)))
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(DataError, match=r"cut\.") as caught:
        read_image(path)
    assert caught.value.hint


def test_html_with_the_name_of_an_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_text("<html>not found</html>")
    with pytest.raises(DataError, match="not a readable image"):
        read_image(path)


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.png cannot be read"):
        read_image(tmp_path / "gone.png")


def test_suffixes_are_lower_case() -> None:
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in IMAGE_SUFFIXES)


@pytest.mark.skipif("EDGEFER_TEST_DATA" not in os.environ, reason="EDGEFER_TEST_DATA names no folder of real images")
def test_real_pairs_are_read_one_by_one() -> None:
    pairs = Path(os.environ["EDGEFER_TEST_DATA"]) / "tno_pairs"
    visible = sorted((pairs / "vi").glob("*.png"))
    assert len(visible) == 15
    for path in visible:
        image, partner = read_image(path), read_image(pairs / "ir" / path.name)
        assert image.dtype == partner.dtype == np.uint8
        assert image.shape[:2] == partner.shape[:2]
        assert min(image.std(), partner.std()) > 1
