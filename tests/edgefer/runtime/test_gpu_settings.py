"""What a caller may ask of a GPU, and is told when it cannot be."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from edgefer.errors import UsageError
from edgefer.runtime.gpu_settings import MOST_STREAMS, GpuSettings

WRONG: dict[str, tuple[Any, ...]] = {
    "streams": (0, -1, MOST_STREAMS + 1, 1.0, True, None, "2"),
    "priority": ("highest", 0, None),
    "memory_limit": (0, -5, 1e9, True, "1G"),
    "workspace_bytes": (0, 1.5, False),
    "timeout": (0, -1.0, "10"),
    "ordinal": (-1, 0.0, True, None),
    "graphs": (None, 1, "no"),
    "require_cached": (None, 0, "yes"),
    "zero_copy": (0, "auto"),
    "plugins": ("nonsense", True, 1),
    "cache": (5, True, b"folder"),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_what_cannot_be_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"{value!r}") as caught:
        GpuSettings(**{name: value})
    assert "expected" in caught.value.message


def test_what_can_be_is_taken() -> None:
    right: dict[str, tuple[Any, ...]] = {
        **{"streams": (MOST_STREAMS,), "priority": ("low",), "memory_limit": (1,), "timeout": (0.5,)},
        **{"graphs": (False,), "zero_copy": (True, False, None), "plugins": ("auto", "plugin", "inline", None)},
        **{"cache": ("folder", Path("folder"), None), "require_cached": (True,)},
    }
    for name, values in right.items():
        for value in values:
            assert getattr(GpuSettings(**{name: value}), name) == value


def test_settings_are_given_by_name_and_do_not_change() -> None:
    with pytest.raises(TypeError):
        GpuSettings(2)  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        GpuSettings().streams = 2  # type: ignore[misc]
