"""Planted defects that are allowed to survive, each with the reason why no case can show it."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from kernels.tools.toolchain import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ALLOWED = ROOT / "kernels/mutations.toml"


class Survivor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`key` is that of `Mutant`; `reason` says why the code with the defect is right, or why no case can tell."""

    key: str
    reason: str


class _File(msgspec.Struct, forbid_unknown_fields=True):
    survivor: tuple[Survivor, ...] = ()


def allowed(path: Path) -> tuple[Survivor, ...]:
    """What the file allows.

    Raises:
        msgspec.ValidationError: a field is missing, unknown or of the wrong type.
    """
    return msgspec.convert(tomllib.loads(path.read_text()), _File).survivor
