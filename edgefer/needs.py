"""Which packages each verb needs, and which extra brings them: one table for `edgefer doctor` and for its errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

# Package as pip names it, with the other distributions that bring the same module, and the module.
PACKAGES: dict[str, tuple[tuple[str, ...], str]] = {
    "numpy": ((), "numpy"),
    "onnxruntime": (("onnxruntime-gpu",), "onnxruntime"),
    "opencv-python": (
        ("opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
        "cv2",
    ),
    "onnx": ((), "onnx"),
    "torch": ((), "torch"),
    "onnxsim": ((), "onnxsim"),
    "onnxscript": ((), "onnxscript"),
    "matplotlib": ((), "matplotlib"),
    "jinja2": ((), "jinja2"),
    "pycuda": ((), "pycuda"),
}

TENSORRT = "tensorrt or tensorrt_rtx"

_EXPORT = (
    "torch",
    "onnx",
    "onnxsim",
    "onnxscript",
    "onnxruntime",
    "opencv-python",
    "matplotlib",
    "jinja2",
)

# What is done, the packages it needs, and the extras that bring those.
_VERBS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("build-engine NETWORK", _EXPORT, ("export",)),
    ("build-engine BUNDLE", ("onnx", TENSORRT), ("device",)),
    ("networks", ("torch",), ("export",)),
    ("train", ("torch", "opencv-python"), ("export",)),
    ("infer", ("onnxruntime", "opencv-python"), ("cpu", "vision")),
    ("evaluate", ("onnxruntime", "opencv-python"), ("cpu", "vision")),
    ("verify", ("onnxruntime",), ("cpu",)),
    ("Session on ready tensors", ("onnxruntime",), ("cpu",)),
    ("inspect", (), ()),
)


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """One line of "what is missing for what": `missing` is empty where `verb` can be done here."""

    verb: str
    missing: tuple[str, ...]
    hint: str


def needs(installed: Mapping[str, bool], tensorrt_hint: Callable[[], str]) -> tuple[Need, ...]:
    """For each verb what is missing. `installed` says for each of `PACKAGES` and `TENSORRT` whether it is there."""
    found = []
    for verb, packages, extras in _VERBS:
        missing = tuple(package for package in packages if not installed[package])
        hints = []
        if any(package != TENSORRT for package in missing):
            hints.append(f"pip install 'edgefer[{','.join(extras)}]'")
        if TENSORRT in missing:
            hints.append(tensorrt_hint())
        found.append(Need(verb=verb, missing=missing, hint="; ".join(hints)))
    return tuple(found)
