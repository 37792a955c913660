"""The plugins with the Python bindings of several TensorRTs, which are ordinary wheels.

The libraries that bindings want are stubs that this test compiles: enough to import them, to derive from their classes
and to pass their structures about. Nothing is parsed and nothing is built.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from edgefer.plugins.fields import FIELDS

ROOT = Path(__file__).resolve().parents[3]
CHILD = Path(__file__).with_name("bindings_child.py")
CACHE = ROOT / "build" / "bindings"

VERSIONS = {
    "10.3.0": "tensorrt-cu12-bindings==10.3.0",
    "10.13.3.9": "tensorrt-cu13-bindings==10.13.3.9",
    "10.16.1.11": "tensorrt-cu13-bindings==10.16.1.11",
    "11.4.0.106": "tensorrt-cu13-bindings==11.4.0.106",
}
"""JetPack 6.2, JetPack 7.0 and 7.1, JetPack 7.2, and the release after."""

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

OFFERED = {
    "tensorrt FLOAT 32": ["LINEAR", "HWC"],
    "tensorrt FLOAT 9": ["LINEAR"],
    "tensorrt HALF 32": ["LINEAR", "HWC8"],
    "tensorrt HALF 12": ["LINEAR"],
    "tensorrt INT8 32": ["CHW32"],
    "tensorrt INT32 32": [],
    "tensorrt_rtx FLOAT 32": ["HWC"],
    "tensorrt_rtx FLOAT 9": ["LINEAR"],
    "tensorrt_rtx HALF 32": ["HWC"],
    "tensorrt_rtx HALF 12": ["LINEAR"],
    "tensorrt_rtx INT8 32": ["CHW32"],
    "tensorrt_rtx INT32 32": [],
}


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


def wanted_libraries(library: Path) -> list[str]:
    """The names of TensorRT's libraries that a shared object asks for."""
    found = re.findall(rb"\0(libnv(?:infer|infer_plugin|onnxparser)\.so\.\d+)(?=\0)", library.read_bytes())
    return sorted({name.decode() for name in found})


def stubs(folder: Path, names: list[str]) -> None:
    source = folder / "stubs.c"
    source.write_text(STUBS)
    for name in names:
        subprocess.run(["gcc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", folder / name, source], check=True)


def answer_of(module: str, environment: dict[str, str]) -> dict[str, Any]:
    run = subprocess.run(
        [sys.executable, CHILD, module],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **environment},
    )
    assert run.returncode == 0, run.stderr[-4000:]
    answer: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return answer


def judge(answer: dict[str, Any]) -> None:
    assert answer["missing"] == []
    assert answer["offered"] == OFFERED
    for name, fields in FIELDS.items():
        found = answer["serialised"][name]
        assert found["declared"] == [each.name for each in fields]
        values = {"int32": 3, "float32": 0.25, "char": "hard_sigmoid"}
        assert found["stored"] == [
            [each.name, each.type.upper(), 13 if each.type == "char" else 1, values[each.type]] for each in fields
        ]
        assert found["timing_cache_id"]
    words = "has relu as FLOAT32 with 1 entries, expected INT32 with 1"
    assert answer["refused"] == {
        "BUILD": f"CompileError: the node of edgefer::CbamAttention {words}",
        "RUNTIME": f"EngineIncompatible: the engine's edgefer::CbamAttention {words}",
    }
    run = answer["run"]
    assert run["workspace"] >= 0
    assert (run["type"], run["axes"], run["added"]) == ("HALF", [4, 2], ["SUM"])
    assert 3 in run["grid"]  # the batch
    assert (run["addresses"], run["stream"]) == ([16, 32, 48, 64, 80, 96], 7)


@pytest.mark.network
@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc for stub libraries")
@pytest.mark.skipif(sys.platform != "linux", reason="the stubs are ELF libraries")
@pytest.mark.parametrize("version", VERSIONS)
def test_bindings(version: str, tmp_path: Path) -> None:
    folder = installed(version)
    (library,) = (folder / "tensorrt_bindings").glob("tensorrt*.so")
    names = wanted_libraries(library)
    assert names
    stubs(tmp_path, names)
    paths = {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]), "LD_LIBRARY_PATH": str(tmp_path)}
    answer = answer_of("tensorrt_bindings", paths)
    assert answer["version"].startswith(version.rsplit(".", 1)[0])
    judge(answer)


def test_bindings_of_tensorrt_rtx() -> None:
    pytest.importorskip("tensorrt_rtx")
    judge(answer_of("tensorrt_rtx", {"PYTHONPATH": str(ROOT)}))


def test_the_table_of_what_is_used_is_complete() -> None:
    table = re.search(r"USED: .*?^\}", CHILD.read_text(), re.DOTALL | re.MULTILINE)
    assert table is not None
    listed = set(re.findall(r'^    "(\w+)":', table[0], re.MULTILINE))
    used: set[str] = set()
    for path in (ROOT / "edgefer" / "plugins").rglob("*.py"):
        used |= set(re.findall(r"\b(?:trt|flavour\.module)\.(\w+)", path.read_text()))
    assert used
    assert used <= listed
