"""What a session says of itself: what to write down beside its answers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from edgefer.bundle.container import Bundle
from edgefer.runtime.gpu_settings import GpuSettings
from edgefer.runtime.runner import RunnerRequest
from edgefer.runtime.runners import Opened
from edgefer.version import __version__

CPU = "cpu"


def session_info(request: RunnerRequest, opened: Opened) -> dict[str, object]:
    """All that does not change while the session is open; the keys are documented at `Session.info`."""
    bundle, graph = request.bundle, request.graph
    return {
        "runner": opened.name,
        "device": opened.device,
        "why": opened.why,
        "threads": request.threads,
        "optimise": request.optimise,
        "gpu": None if opened.device == CPU else _plain(request),
        "versions": {"edgefer": __version__, "numpy": np.__version__, **opened.runner.versions},
        "graph": str(graph.role),
        "network": bundle.manifest.network.name,
        "precision": str(bundle.manifest.precision),
        "bundle": _path(bundle),
        "digest": bundle.digest,
        "settings": request.settings,
        "seconds": request.seconds,
        "loading": request.settings.get("loading"),
    }


def counters(runner: Any) -> dict[str, int]:
    """What a runner has counted so far; nothing for one that counts nothing."""
    return dict(getattr(runner, "counters", {}))


def _plain(request: RunnerRequest) -> dict[str, object]:
    settings = asdict(request.gpu or GpuSettings())
    return {**settings, "cache": None if settings["cache"] is None else str(settings["cache"])}


def _path(bundle: Bundle) -> str | None:
    return str(bundle.path) if bundle.path else None
