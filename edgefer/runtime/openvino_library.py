"""OpenVINO as it is loaded here: on first use, and without the part of it that reports to its maker."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from typing import Any

from edgefer.errors import EnvironmentMismatch

_HINT = "pip install 'edgefer[openvino]'"
_REPORTER = "openvino_telemetry"
_loading = threading.Lock()
_cores: list[Any] = []


def unavailable() -> str | None:
    """Why OpenVINO cannot run a bundle here, found without importing it; None where it can."""
    missing = [name for name in ("openvino", "onnx") if not _installed(name)]
    return f"{' and '.join(missing)} not installed ({_HINT})" if missing else None


def openvino() -> Any:
    """The module.

    Importing `openvino` sends its maker an event and writes an identifier into the user's home folder, without asking,
    unless `openvino_telemetry` cannot be found; then it goes on with a stand-in of its own. So for the length of the
    first import it cannot be found. What was imported before this is left alone.

    Raises:
        EnvironmentMismatch: it is not installed, or cannot be loaded.
    """
    try:
        with _loading:
            if "openvino" in sys.modules:
                return importlib.import_module("openvino")
            present = _REPORTER in sys.modules
            before = sys.modules.get(_REPORTER)
            sys.modules[_REPORTER] = None  # type: ignore[assignment]  # how Python marks what must not be imported
            try:
                return importlib.import_module("openvino")
            finally:
                del sys.modules[_REPORTER]
                if present and before is not None:
                    sys.modules[_REPORTER] = before
    except ImportError as error:
        raise EnvironmentMismatch(
            "running a bundle through OpenVINO needs the package openvino, which cannot be imported",
            details=str(error),
            hint=_HINT,
        ) from error


def shared_core() -> Any:
    """The one `openvino.Core` of this process, made by the first call and kept to the end.

    On CPUs with AMX a core that compiles gives its thread another stack for signal handlers, and takes it back, memory
    and all, when it goes. Of two cores the one that goes last would put back the other's, which is gone by then, and
    the next signal that Python handles, such as the one of Ctrl-C, would end the process without a word.

    Raises:
        EnvironmentMismatch: OpenVINO is not installed, or cannot be loaded.
    """
    library = openvino()
    with _loading:
        if not _cores:
            _cores.append(library.Core())
        return _cores[0]


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # loaded without a specification, or a broken finder
        return sys.modules.get(module) is not None
