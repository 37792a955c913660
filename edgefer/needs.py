"""Which packages each verb needs, and which extra brings them: one table for `edgefer doctor` and for its errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec


class Package(NamedTuple):
    """The module that a package brings, the extra that brings the package, and other distributions of the module."""

    module: str
    extra: str | None = None
    others: tuple[str, ...] = ()


# By the name that pip knows.
PACKAGES: dict[str, Package] = {
    "numpy": Package("numpy"),
    "onnxruntime": Package("onnxruntime", "cpu", ("onnxruntime-gpu",)),
    "openvino": Package("openvino", "openvino"),
    "opencv-python": Package(
        "cv2", "vision", ("opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
    ),
    "onnx": Package("onnx", "export"),
    "torch": Package("torch", "export"),
    "onnxsim": Package("onnxsim", "export"),
    "onnxscript": Package("onnxscript", "export"),
    "matplotlib": Package("matplotlib", "export"),
    "jinja2": Package("jinja2", "export"),
    "pycuda": Package("pycuda", "pycuda"),
    "cryptography": Package("cryptography", "sign"),
    "cuda-bindings": Package("cuda.bindings", "device"),
}

TENSORRT = "tensorrt or tensorrt_rtx"
GPU = "an NVIDIA GPU and its driver"

# What a session on the GPU runs on: the context and the memory, streams and graphs, and the engine.
_GPU = (GPU, "pycuda", "cuda-bindings", TENSORRT)

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

# What can take a package's place in a verb that only runs bundles: all of these together.
_INSTEAD = {"onnxruntime": ("openvino", "onnx")}

# What is done, the packages it needs, and the extras that bring those.
_VERBS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("build-engine NETWORK", _EXPORT, ("export",)),
    ("build-engine BUNDLE", ("onnx", TENSORRT), ("device",)),
    ("networks", ("torch",), ("export",)),
    ("train", ("torch", "opencv-python"), ("export",)),
    ("infer", ("onnxruntime", "opencv-python"), ("cpu", "vision")),
    ("evaluate", ("onnxruntime", "opencv-python"), ("cpu", "vision")),
    ("verify", ("onnxruntime",), ("cpu",)),
    ("check", ("onnx",), ("device",)),
    ("triton, deepstream", ("onnx",), ("device",)),
    ("Session on ready tensors", ("onnxruntime",), ("cpu",)),
    ("Session on the GPU, engine in the cache", _GPU, ("device", "pycuda")),
    ("Session on the GPU, engine compiled first", (*_GPU, "onnx"), ("device", "pycuda")),
    ("benchmark", ("onnxruntime",), ("cpu",)),
    ("benchmark --html", ("onnxruntime", "matplotlib", "jinja2"), ("cpu", "benchmark")),
    ("sign, verify --key, cache import --key", ("cryptography",), ("sign",)),
    ("cache, without a key", (), ()),
    ("inspect", (), ()),
)


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """One line of "what is missing for what": `missing` is empty where `verb` can be done here."""

    verb: str
    missing: tuple[str, ...]
    hint: str


def needs(installed: Mapping[str, bool], tensorrt_hint: Callable[[], str]) -> tuple[Need, ...]:
    """For each verb what is missing. `installed` says whether each of `PACKAGES`, `TENSORRT` and `GPU` is there."""
    found = []
    for verb, packages, extras in _VERBS:
        # Where the extra `cpu` would do, the graph is only to be run.
        instead = _INSTEAD if "cpu" in extras else {}
        missing = tuple(
            package
            for package in packages
            if not installed[package] and not (package in instead and all(map(installed.__getitem__, instead[package])))
        )
        hints = []
        if any(package in PACKAGES for package in missing):
            hints.append(f"pip install 'edgefer[{','.join(extras)}]'")
        if TENSORRT in missing:
            hints.append(tensorrt_hint())
        if GPU in missing:
            hints.append("run it where they are")
        found.append(Need(verb=verb, missing=missing, hint="; ".join(hints)))
    return tuple(found)
