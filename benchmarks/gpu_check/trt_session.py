"""Sessions over an engine that the TensorRT of this machine compiles: cold once, warm ever after."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.gpu_check.known import Wrong
from benchmarks.gpu_check.result import Check
from benchmarks.gpu_check.session_checks import made
from benchmarks.gpu_check.subject import Subject
from edgefer.bundle.container import Bundle
from edgefer.engine.flavours import FLAVOURS, FlavourName, load
from edgefer.errors import EnvironmentMismatch
from edgefer.runtime.gpu_settings import GpuSettings
from edgefer.runtime.session import Session

GOLDEN = 4
"""Golden inputs of the bundles to check with."""


def full_width() -> Bundle:
    """Two ResNet-18 towers at 224 x 224, fused: the size of `viri-fusion`, with random weights and golden inputs.

    Raises:
        EnvironmentMismatch: `onnx` or `onnxruntime` is missing.
    """
    return _with_golden("full_width")


def small() -> Bundle:
    """Four convolutions at 224 x 224, for a million inferences.

    Raises:
        EnvironmentMismatch: `onnx` or `onnxruntime` is missing.
    """
    return _with_golden("small")


def trt_subject(flavour: FlavourName, bundle: Bundle, folder: Path) -> Subject:
    """The bundle on one TensorRT; engines go to a cache in `folder`.

    Raises:
        EnvironmentMismatch: that TensorRT is not installed, or cannot be imported.
    """
    version = load(flavour).version

    def open_session(settings: GpuSettings) -> Session:
        with only(flavour):
            return Session(bundle, device="tensorrt", gpu=replace(settings, cache=folder / "cache"))

    return Subject(f"{flavour} {version}", bundle, open_session)


def cold_and_warm(subject: Subject) -> tuple[list[Check], dict[str, dict[str, float]]]:
    """Opens it twice: the first time an engine is compiled, the second time it is there. The stages of both, in
    seconds."""
    loading: dict[str, dict[str, float]] = {}

    def opened(expected: str) -> str:
        with subject.open(GpuSettings(require_cached=expected == "warm")) as session:
            found, seconds = str(session.info["loading"]), session.info["seconds"]
        if found != expected:
            raise Wrong(f"the session was opened {found}, expected {expected}")
        if isinstance(seconds, Mapping):
            loading[expected] = {str(stage): float(took) for stage, took in seconds.items()}
        return ", ".join(f"{stage} {took:.2f} s" for stage, took in loading[expected].items())

    checks = [made(f"{subject.engine}: opened cold", lambda: opened("cold"))]
    if checks[0].state == "passed":
        checks.append(made(f"{subject.engine}: opened warm", lambda: opened("warm")))
    return checks, loading


@contextmanager
def only(flavour: FlavourName) -> Iterator[None]:
    """Inside of the block no other TensorRT can be imported."""
    others: dict[str, Any] = {name: sys.modules.get(name) for name in FLAVOURS if name != flavour}
    for name in others:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name, module in others.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def _with_golden(name: str) -> Bundle:
    try:
        from benchmarks import two_towers

        return two_towers.with_golden(getattr(two_towers, name)(), GOLDEN)
    except ImportError as error:
        raise EnvironmentMismatch(
            f"the bundle to check with cannot be made here: {error}", hint="pip install 'edgefer[device,cpu]'"
        ) from error
