"""Which Jetson software this is: the L4T release file, and the JetPack that brought it."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

RELEASE_FILE = Path("/etc/nv_tegra_release")

_RELEASE = re.compile(r"#\s*R(?P<major>\d+)\s*\(release\),\s*REVISION:\s*(?P<revision>[\d.]+)")

# The longest beginning that fits counts; L4T numbers parts that JetPack's own version leaves out.
_JETPACKS = {
    "35": "5",
    "36.3": "6.0",
    "36.4": "6.1",
    "36.4.3": "6.2",
    "36.4.4": "6.2.1",
    "38": "7",
    "39.2": "7.2",
}


class Tegra(msgspec.Struct, frozen=True, kw_only=True):
    """L4T as in "36.4.3", and JetPack as in "6.2" (None for a release that is not in the table)."""

    l4t: str
    jetpack: str | None


def tegra(path: Path = RELEASE_FILE) -> Tegra | None:
    """What the release file says; None on a machine that has none, or one that cannot be read as such."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return None
    match = _RELEASE.search(text)
    if match is None:
        return None
    parts = [match["major"], *match["revision"].strip(".").split(".")]
    while parts[-1] == "0" and len(parts) > 2:
        parts.pop()
    beginnings = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    jetpack = next((_JETPACKS[each] for each in beginnings if each in _JETPACKS), None)
    return Tegra(l4t=".".join(parts), jetpack=jetpack)
