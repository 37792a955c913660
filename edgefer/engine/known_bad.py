"""TensorRT releases that are known to do harm, each with the public report that says so.

The only place in edgefer where a version number decides anything; what a release *can* do is found by asking it
(`edgefer.engine.flavours`).
"""

from __future__ import annotations

from typing import Literal

import msgspec


class KnownBad(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table.

    `release` is a version or the beginning of one, compared part by part ("10.2.0" covers 10.2.0.19, not 10.20.0).
    `severity` is `avoid` where the release fails or miscomputes in general, `caution` where `affects` bounds it.
    """

    package: str
    release: str
    severity: Literal["avoid", "caution"]
    affects: str
    link: str

    def text(self) -> str:
        """One sentence for a terminal."""
        return f"{self.package} {self.release}: {self.affects} ({self.link})"


TABLE: tuple[KnownBad, ...] = (
    KnownBad(
        package="tensorrt",
        release="10.2.0",
        severity="avoid",
        affects="the wheel asks for a builder library of another platform, so building an engine fails",
        link="https://github.com/ultralytics/ultralytics/pull/24367",
    ),
    KnownBad(
        package="tensorrt",
        release="10.3",
        severity="caution",
        affects="wrong results reported for transformers with dynamic dimensions; static shapes are not reported",
        link="https://github.com/NVIDIA/TensorRT/issues/4419",
    ),
    KnownBad(
        package="tensorrt",
        release="10.16.2",
        severity="caution",
        affects="a DequantizeLinear that compiles on compute capability 11.0 is refused on 8.7 (Orin)",
        link="https://github.com/NVIDIA/TensorRT/issues/4832",
    ),
    KnownBad(
        package="tensorrt",
        release="11.1",
        severity="caution",
        affects="a detection transformer is silently miscomputed in FP32, reproduced on two GPU generations",
        link="https://github.com/NVIDIA/TensorRT/issues/4813",
    ),
)


def known_bad(package: str, version: str) -> tuple[KnownBad, ...]:
    """The lines of the table that cover `version` of `package` (`tensorrt` or `tensorrt_rtx`), worst first."""
    parts = version.split(".")
    found = [
        line
        for line in TABLE
        if line.package == package and parts[: len(line.release.split("."))] == line.release.split(".")
    ]
    return tuple(sorted(found, key=lambda line: line.severity))
