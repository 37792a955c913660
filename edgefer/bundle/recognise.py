"""What a file that is not a bundle probably is, so that the message can say so."""

from __future__ import annotations

_HINTS = "`edgefer build-engine` makes a bundle"
# The first field of an ONNX model is ir_version (tag 0x08); the second begins with one of these tags.
_ONNX_SECOND_TAGS = tuple(b"\x12\x1a\x22\x2a\x32\x3a\x42")


def recognise(head: bytes) -> tuple[str, str] | None:
    """A description of a file by its first bytes, with a hint, or None where it begins like a zip file."""
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return None
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<body")):
        return "a web page", "the download answered with a page instead of the file; look at it and fetch it again"
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself", "run `git lfs pull`"
    if len(head) > 2 and head[0] == 0x08 and 1 <= head[1] <= 40 and head[2] in _ONNX_SECOND_TAGS:
        return "an ONNX model", f"{_HINTS} from a network"
    if head.startswith((b"ptrt", b"ftrt")):
        return "a TensorRT engine", "an engine is made from a bundle, and never part of one"
    if head.startswith(b"\x80") and head[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}:
        return "a pickle, such as an old PyTorch checkpoint", f"{_HINTS} from a checkpoint, with --weights"
    if text.startswith((b"{", b"[")):
        return "JSON", f"{_HINTS}; a manifest alone is none"
    return "neither a zip file nor anything else that edgefer knows", _HINTS
