"""What the Python models of a Triton repository read beside them: the part of a manifest that they need."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import InputSpec
from edgefer.errors import BundleError
from edgefer.runtime.class_means import Rejection
from edgefer.version import __version__

SETTINGS = "settings.json"
SETTINGS_VERSION = 1


class PrepareSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The cameras of a graph with its mask `present`, and the order in which images have their channels."""

    inputs: tuple[InputSpec, ...]
    colour: Literal["bgr", "rgb"]
    edgefer: str
    version: int = SETTINGS_VERSION


class MeansSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the classes lie in the output `output`, as `EmbeddingSpec` says; `means` is (C, D)."""

    output: str
    means: tuple[tuple[float, ...], ...]
    spread: tuple[float, ...]
    reject_beyond: float


class AnswerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What makes labels and probabilities of logits, and says "none of these" where the bundle can."""

    labels: tuple[str, ...]
    temperature: float
    edgefer: str
    means: MeansSettings | None = None
    version: int = SETTINGS_VERSION


Settings = TypeVar("Settings", PrepareSettings, AnswerSettings)


def read_settings(path: Path, kind: type[Settings]) -> Settings:
    """The settings in a file.

    Raises:
        BundleError: the file is missing, or of another version of edgefer that this one cannot read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(
            f"{path} cannot be read: {error}",
            hint="install the edgefer that wrote the repository, as its requirements.txt says, or write it again",
        ) from error


def answer_settings(bundle: Bundle, rejection: Rejection | None) -> AnswerSettings:
    """Those of a bundle; `rejection` is what its graph tells known samples by, None where it does not.

    Raises:
        BundleError: the means of the classes are no array.
    """
    manifest = bundle.manifest
    means = None
    if rejection is not None and manifest.embedding is not None:
        means = MeansSettings(
            output=rejection.output,
            means=tuple(map(tuple, bundle.array(manifest.embedding.means).tolist())),
            spread=manifest.embedding.spread,
            reject_beyond=manifest.embedding.reject_beyond,
        )
    return AnswerSettings(labels=manifest.labels, temperature=manifest.temperature, edgefer=__version__, means=means)
