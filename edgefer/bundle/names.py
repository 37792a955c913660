"""Which names a member of a bundle may have: plain relative ASCII paths, nothing that could leave a folder."""

from __future__ import annotations

import re

MANIFEST = "manifest.json"
MAX_NAME_LENGTH = 200

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")
_DRIVE = re.compile(r"[A-Za-z]:")


def graph_member(role: str) -> str:
    """The member that holds the ONNX of the graph with this role."""
    return f"graphs/{role}.onnx"


def golden_member(name: str) -> str:
    """The member that holds a golden array."""
    return f"golden/{name}.npy"


def fault_of_name(name: str) -> str | None:
    """Why `name` cannot name a member, or None where it can.

    The rule is an allow-list (ASCII letters, digits and `._+-` in parts joined by `/`, no part beginning with a
    dot); the reasons before it only say more precisely what is wrong with the usual attempts to escape.
    """
    if not name:
        return "it is empty"
    if len(name) > MAX_NAME_LENGTH:
        return f"it has {len(name)} characters, more than {MAX_NAME_LENGTH}"
    if "\\" in name:
        return "it contains a backslash"
    if _DRIVE.match(name):
        return "it begins with a drive letter"
    if name.startswith("/"):
        return "it is an absolute path"
    if name.endswith("/"):
        return "it is a folder"
    parts = name.split("/")
    if ".." in parts:
        return "it climbs out of its folder with '..'"
    if not all(_PART.fullmatch(part) for part in parts):
        return "it has other characters than ASCII letters, digits and . _ + - in parts joined by /"
    return None
