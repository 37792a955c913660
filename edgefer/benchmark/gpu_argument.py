"""What a session may take of a GPU, on the command line of a child process."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from edgefer.runtime.gpu_settings import GpuSettings


def to_argument(settings: GpuSettings) -> str:
    """One word of JSON. The cache's folder becomes absolute: a child has another working folder."""
    told = asdict(settings)
    return json.dumps({**told, "cache": None if settings.cache is None else str(Path(settings.cache).absolute())})


def from_argument(word: str) -> GpuSettings:
    """What `to_argument` wrote.

    Raises:
        UsageError: a setting cannot be what it is.
    """
    return GpuSettings(**json.loads(word))
