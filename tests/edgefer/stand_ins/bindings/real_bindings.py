"""The Python bindings of several TensorRTs, which are ordinary wheels, over libraries that do nothing.

The libraries that bindings want are stubs that this compiles: enough to import them, to derive from their classes and
to pass their structures about. Nothing is parsed, built or run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[4]
CACHE = ROOT / "build" / "bindings"

VERSIONS = {
    "10.3.0": "tensorrt-cu12-bindings==10.3.0",
    "10.13.3.9": "tensorrt-cu13-bindings==10.13.3.9",
    "10.16.1.11": "tensorrt-cu13-bindings==10.16.1.11",
    "11.4.0.106": "tensorrt-cu13-bindings==11.4.0.106",
}
"""JetPack 6.2, JetPack 7.0 and 7.1, JetPack 7.2, and the release after."""

MODULE = "tensorrt_bindings"

STUBS = """\
void *createInferBuilder_INTERNAL(void) { return 0; }
void *createInferRefitter_INTERNAL(void) { return 0; }
void *createInferRuntime_INTERNAL(void) { return 0; }
void *createNvOnnxParser_INTERNAL(void) { return 0; }
void *createNvOnnxParserRefitter_INTERNAL(void) { return 0; }
int getNvOnnxParserVersion(void) { return 0; }
void *getPluginRegistry(void) { return 0; }
void *getBuilderPluginRegistry(void) { return 0; }
_Bool initLibNvInferPlugins(void) { return 1; }
"""

needs_stubs = [
    pytest.mark.network,
    pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc for stub libraries"),
    pytest.mark.skipif(sys.platform != "linux", reason="the stubs are ELF libraries"),
]
"""What a test of those bindings is marked with."""


def installed(version: str) -> Path:
    """The folder with the bindings of a version; asked for from the package index once."""
    folder = CACHE / f"{version}-cp{sys.version_info.major}{sys.version_info.minor}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / f"{version}.lock"):
        if folder.is_dir():
            return folder
        fresh = folder.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"]
        run = subprocess.run(
            [*command, "--target", fresh, VERSIONS[version]], capture_output=True, text=True, check=False, timeout=300
        )
        if run.returncode != 0:
            pytest.skip(f"the package index gave no {VERSIONS[version]}: {run.stderr.strip().splitlines()[-1:]}")
        fresh.rename(folder)
    return folder


def environment(version: str, folder: Path) -> dict[str, str]:
    """What a child needs in its environment to import the bindings of a version; stubs are compiled into `folder`."""
    bindings = installed(version)
    (library,) = (bindings / MODULE).glob("tensorrt*.so")
    names = _wanted_libraries(library)
    assert names
    source = folder / "stubs.c"
    source.write_text(STUBS)
    for name in names:
        subprocess.run(["gcc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", folder / name, source], check=True)
    return {"PYTHONPATH": os.pathsep.join([str(bindings), str(ROOT)]), "LD_LIBRARY_PATH": str(folder)}


def answer_of(child: Path, module: str, environment: Mapping[str, str], question: Any = None) -> dict[str, Any]:
    """The last line that `python CHILD MODULE` prints, as JSON; it reads the question, as JSON, from standard input."""
    run = subprocess.run(
        [sys.executable, child, module],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **environment},
    )
    assert run.returncode == 0, run.stderr[-4000:]
    answer: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return answer


def _wanted_libraries(library: Path) -> list[str]:
    """The names of TensorRT's libraries that a shared object asks for."""
    found = re.findall(rb"\0(libnv(?:infer|infer_plugin|onnxparser)\.so\.\d+)(?=\0)", library.read_bytes())
    return sorted({name.decode() for name in found})
