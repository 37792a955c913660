"""Engines that were built with the plugins in Python, loaded with those of the C++ library, and the reverse."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.gpu_check.result import Check
from edgefer.bundle.container import Bundle
from edgefer.engine.compile import CompiledEngine, CompileRequest, compile_onnx
from edgefer.engine.decision import Contender, RaceResult
from edgefer.engine.flavours import FlavourName
from edgefer.engine.plugin_identity import LIBRARY
from edgefer.engine.race import race, race_data
from edgefer.errors import CompileError, PluginMissing

BUILT = Path(__file__).parents[2] / "build" / "plugin" / "libedgefer_plugins.so"
"""Where `make plugin` puts it."""

Compile = Callable[[bytes, CompileRequest], CompiledEngine]
Race = Callable[..., RaceResult]


def library() -> Path | None:
    """The C++ library: the one that the environment names, or that was built in this checkout."""
    named = os.environ.get(LIBRARY, "")
    if named:
        return Path(named)
    return BUILT if BUILT.exists() else None


def across(
    bundle: Bundle,
    flavour: FlavourName,
    found: Path | None,
    *,
    compile_: Compile = compile_onnx,
    race_: Race = race,
) -> Check:
    """Passed where each kind of plugins runs the engines of both kinds, and all answer the golden inputs right."""
    name = f"{flavour}: engines of the Python plugins and of the C++ library, each loaded with both"
    if found is None:
        return Check(name=name, state="absent", found=f"the C++ library is not built: make plugin, or set {LIBRARY}")
    graph = bundle.manifest.graphs[0]
    data, why = race_data(bundle, graph)
    if data is None:
        return Check(name=name, state="absent", found=why)
    kinds: dict[str, Path | None] = {"Python": None, "C++": found}
    request = CompileRequest(flavour, batches=graph.batches, way="plugin")
    plans: dict[str, bytes] = {}
    wrong: list[str] = []
    for kind, path in kinds.items():
        with plugins_from(path):
            try:
                plans[kind] = compile_(bundle.onnx(graph), request).plan
            except (CompileError, PluginMissing) as error:
                wrong.append(f"no engine with the plugins in {kind}: {error}")
    if wrong:
        return Check(name=name, state="failed", found="; ".join(wrong))
    for kind, path in kinds.items():
        with plugins_from(path):
            # A race of two engines, both with plugins: the keys only tell them apart.
            result = race_({"plugin": plans["Python"], "inline": plans["C++"]}, data, flavour)
        for built, contender in (("Python", result.plugin), ("C++", result.inline)):
            fault = _fault(contender)
            if fault:
                wrong.append(f"built in {built}, loaded in {kind}: {fault}")
    return Check(name=name, state="failed" if wrong else "passed", found="; ".join(wrong) or f"with {found}")


@contextmanager
def plugins_from(path: Path | None) -> Iterator[None]:
    """Child processes take the plugins from this library; from Python for None."""
    before: Any = os.environ.pop(LIBRARY, None)
    try:
        if path is not None:
            os.environ[LIBRARY] = str(path)
        yield
    finally:
        os.environ.pop(LIBRARY, None)
        if before is not None:
            os.environ[LIBRARY] = before


def _fault(contender: Contender) -> str:
    if contender.problem:
        return contender.problem
    return "" if contender.right else f"off from the golden answers by {contender.errors}"
