"""The form of a file of facts: one TensorRT release, and what changes from the release it is based on.

Every fact names its source by a key of `sources`. What a file does not say is that of its `base`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Severity = Literal["refused", "warning", "unknown"]


class OnnxRelease(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ONNX release that a parser is built with, and the newest IR version which that knows."""

    version: str
    ir: int
    source: str
    note: str = ""


class OpsetRange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Opsets `first` to `last` are documented; above that up to `unclear` sources disagree, and `why` says how."""

    first: int
    last: int
    source: str
    unclear: int = 0
    why: str = ""


class Tensors(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Element types that a tensor may have at all, whatever reads it."""

    types: tuple[str, ...]
    source: str


class Sourced(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That something is so, according to a source."""

    source: str


class Names(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names of operators or plugins; `types` is a key of the file's `types`, empty where no element type is known."""

    source: str
    names: tuple[str, ...]
    types: str = ""


class Restriction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A check by name on the nodes of some operators; which of the further fields count, the check decides.

    `foldable`: an input that is computed from constants alone passes, too. `remedy` says what a user can do.
    """

    check: str
    operators: tuple[str, ...]
    source: str
    remedy: str
    severity: Severity = "refused"
    attribute: str = ""
    attributes: tuple[str, ...] = ()
    values: tuple[int | float | str, ...] = ()
    allowed: tuple[int | str, ...] = ()
    input: int = 0
    inputs: tuple[int, ...] = ()
    with_input: int = -1
    count: int = 0
    limit: int = 0
    what: str = ""
    plugin: str = ""
    foldable: bool = False


class Lifted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Restrictions of the base that no longer hold for these operators."""

    check: str
    operators: tuple[str, ...]
    source: str


class Facts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file."""

    title: str
    base: str = ""
    notes: tuple[str, ...] = ()
    onnx: OnnxRelease | None = None
    opset: OpsetRange | None = None
    tensors: Tensors | None = None
    by_name: Sourced | None = None
    sources: dict[str, str] = {}
    types: dict[str, tuple[str, ...]] = {}
    operators: tuple[Names, ...] = ()
    unsupported: tuple[Names, ...] = ()
    plugins: Names | None = None
    restrictions: tuple[Restriction, ...] = ()
    lifted: tuple[Lifted, ...] = ()
