"""Says of the bindings of one TensorRT what a list of names is there: `python api_child.py MODULE`, the list on stdin.

Prints one line of JSON. Of every name that can be called it gives the parameters of each overload as pybind11 wrote
them into the docstring; and what edgefer's own probes decide on these bindings.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from edgefer.engine.builder import BuildLog, logger_for, start
from edgefer.engine.flavours import Flavour
from edgefer.engine.progress import BuildProgress, monitor_of, read_progress
from edgefer.engine.race_engine import runtime_of
from edgefer.engine.timing_cache import timing_of
from edgefer.errors import EdgeferError

CLASSES = (
    *("Builder", "IBuilderConfig", "INetworkDefinition", "IOptimizationProfile", "OnnxParser", "ParserError"),
    *("Runtime", "ICudaEngine", "IExecutionContext", "ITimingCache", "IProgressMonitor", "ITensor", "EngineInspector"),
)


def overloads(name: str, doc: str | None) -> list[list[list[Any]]]:
    """The parameters of each signature in a docstring: names, and whether one may be left out. `self` is left off."""
    found = []
    for line in (doc or "").splitlines():
        match = re.match(rf"^\s*(?:\d+\. )?{re.escape(name)}\((?P<inside>.*)\) -> ", line)
        if match and match["inside"] != "*args, **kwargs":
            parts = [part for part in split(match["inside"]) if not part.startswith("self")]
            found.append([[part.split(":")[0].split(" = ")[0].strip(), " = " in part] for part in parts])
    return found


def split(text: str) -> list[str]:
    """At the commas that are in no bracket."""
    parts, depth, current = [], 0, ""
    for letter in text:
        depth += {"[": 1, "(": 1, "<": 1, "]": -1, ")": -1, ">": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += letter
    return [part for part in [*parts, current.strip()] if part]


def described(trt: Any, name: str) -> dict[str, Any]:
    """Whether the name is there, and how it is called."""
    value = trt
    for part in name.split("."):
        if not hasattr(value, part):
            return {"there": False}
        value = getattr(value, part)
    last = name.rpartition(".")[2]
    if inspect.isfunction(value):  # written in Python
        signature = inspect.signature(value).parameters.values()
        return {"there": True, "overloads": [[[each.name, each.default is not each.empty] for each in signature]]}
    if isinstance(value, type):
        return {"there": True, "overloads": overloads("__init__", value.__init__.__doc__)}
    return {"there": True, "overloads": overloads(last, value.__doc__)}


def probes(trt: Any, name: str) -> dict[str, Any]:
    """What edgefer finds out about a release by asking it."""
    flavour = Flavour("tensorrt_rtx" if "rtx" in name else "tensorrt", trt, trt.__version__)
    with tempfile.TemporaryDirectory() as folder:
        timing = timing_of(flavour, None, folder, Path(folder) / "stage")
        path = Path(folder) / "progress.json"
        monitor = monitor_of(trt, BuildProgress(path))
        monitor.phase_start("Building", None, 4)
        told = read_progress(path)
        assert monitor.step_complete("Building", 0) is True
        monitor.phase_finish("Building")
    log = BuildLog()
    logger_for(trt, log).log(trt.ILogger.Severity.WARNING, "heard")
    return {
        "builds without a GPU": flavour.builds_without_gpu,
        "network flags": flavour.network_flags,
        "timing cache": timing is not None,
        "progress": told is not None and told.phase == "Building, 1 of 4",
        "log": log.warnings == ["heard"],
    }


def nothing_behind(trt: Any, name: str) -> dict[str, str]:
    """What edgefer says where the library gives null pointers, as the stubs do."""
    flavour, answers = Flavour("tensorrt", trt, trt.__version__), {}
    if "rtx" not in name:  # the real library, which builds
        for what, call in (
            ("builder", lambda: start(flavour, BuildLog())),
            ("runtime", lambda: runtime_of(trt, BuildLog())),
        ):
            try:
                call()
            except EdgeferError as error:
                answers[what] = f"{type(error).__name__}: {error.message}"
    return answers


def main(module: str) -> None:
    trt = importlib.import_module(module)
    names = json.load(sys.stdin)
    answer = {
        "version": trt.__version__,
        "names": {name: described(trt, name) for name in names},
        "members": {each: [name for name in dir(getattr(trt, each, None)) if name[0] != "_"] for each in CLASSES},
        "probes": probes(trt, module),
        "nothing": nothing_behind(trt, module),
    }
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
