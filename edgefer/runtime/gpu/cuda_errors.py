"""pycuda's exceptions as typed errors with the driver's own names, and importing pycuda.

pycuda says "cuMemAlloc failed: out of memory": the call, and the driver's words for the error instead of its name. The
driver is asked for the words of every error it knows, and so gives the name back.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edgefer.errors import DeviceError, EnvironmentMismatch
from edgefer.kernels.driver import Driver, device_error

_INSTALL = (
    "pip install 'edgefer[device,pycuda]'; on a Jetson pycuda is compiled against /usr/local/cuda, "
    "as docs/on-the-jetson.md says"
)
REBUILD = (
    "compile it against this machine's CUDA: pip install --force-reinstall --no-cache-dir --no-binary pycuda pycuda; "
    "docs/on-the-jetson.md has the steps"
)
_SEPARATOR = " failed: "


def load_pycuda() -> Any:
    """The module pycuda.driver. Importing it touches no GPU.

    Raises:
        EnvironmentMismatch: it is not installed, or cannot be imported.
        DeviceError: there is no CUDA driver, to which it is linked.
    """
    try:
        return importlib.import_module("pycuda.driver")
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "pycuda":
            raise EnvironmentMismatch(
                "the package pycuda is needed to run on the GPU and is not installed", hint=_INSTALL, details=str(error)
            ) from error
        if "libcuda" in str(error):
            raise DeviceError(
                "there is no CUDA driver", hint="run this where an NVIDIA GPU and its driver are", details=str(error)
            ) from error
        raise EnvironmentMismatch(
            "the package pycuda is installed and cannot be imported", hint=REBUILD, details=str(error)
        ) from error


class Translator:
    """Makes `DeviceError` of the exceptions of `pycuda` (the module pycuda.driver)."""

    def __init__(self, pycuda: Any, driver: Driver) -> None:
        self._pycuda = pycuda
        self._bindings = driver.bindings
        self._names: dict[str, str] | None = None

    @contextmanager
    def guard(self) -> Iterator[None]:
        """`with translator.guard(): ...` lets nothing of pycuda's own out.

        Raises:
            DeviceError: pycuda raised.
        """
        try:
            yield
        except self._pycuda.Error as error:
            raise self.error(error) from error

    def error(self, error: Exception) -> DeviceError:
        """The typed error that says the same as `error`, an instance of pycuda.driver.Error."""
        call, found, words = str(error).partition(_SEPARATOR)
        if not found:
            return DeviceError(f"pycuda failed: {error}")
        # Behind the driver's words pycuda may have some of its own.
        for said, _, details in ((words, "", ""), words.partition(" - ")):
            name = self._name(said)
            if name is not None:
                return device_error(call, name, details)
        if isinstance(error, self._pycuda.MemoryError):
            return device_error(call, "CUDA_ERROR_OUT_OF_MEMORY", words)
        return DeviceError(f"{call} failed: {words}")

    def _name(self, words: str) -> str | None:
        if self._names is None:
            self._names = _words(self._bindings)
        return self._names.get(words) or self._names.get(_plain(words))


def _words(bindings: Any) -> dict[str, str]:
    """Error names by what the driver says for them, and by the words in the names themselves."""
    found: dict[str, str] = {}
    ask = getattr(bindings, "cuGetErrorString", None)
    for code in bindings.CUresult:
        found.setdefault(_plain(code.name.removeprefix("CUDA_ERROR_")), code.name)
        if ask is not None:
            result, text = ask(code)
            # A driver that is older than the bindings has no words for its successors' errors.
            if result == bindings.CUresult.CUDA_SUCCESS and text:
                found[text.decode(errors="replace")] = code.name
    return found


def _plain(words: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", words.lower()).strip()
