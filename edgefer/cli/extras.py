"""Which extra of the distribution brings a package that is missing."""

from __future__ import annotations

from edgefer.errors import EnvironmentMismatch
from edgefer.needs import PACKAGES

# Package as it is imported -> extra. A verb that can do with a smaller extra than these names it itself.
EXTRAS = {package.module: package.extra for package in PACKAGES.values() if package.extra} | {
    "markupsafe": "export",
    "tensorrt": "tensorrt",
    "tensorrt_rtx": "rtx",
    "cuda": "device",
}


def explain(error: ImportError, verb: str) -> EnvironmentMismatch | None:
    """The error to show for a package that cannot be imported; None when the package is not one of an extra."""
    package = _package(error)
    extra = EXTRAS.get(package)
    if extra is None:
        return None
    missing = isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] == package
    found = "is not installed" if missing else "is installed but cannot be loaded"
    return EnvironmentMismatch(
        f"`edgefer {verb}` needs the package `{package}`, which {found}.",
        hint=f"pip install 'edgefer[{extra}]'",
        details="" if missing else str(error),
    )


def _package(error: ImportError) -> str:
    if error.name:
        return error.name.split(".")[0]
    # A shared library that does not load leaves no name behind, but the frame of the package that wanted it.
    trace = error.__traceback__
    while trace is not None:
        package = str(trace.tb_frame.f_globals.get("__name__", "")).split(".")[0]
        if package in EXTRAS:
            return package
        trace = trace.tb_next
    return ""
