"""Without a GPU nothing makes a Runtime of TensorRT, which can be an object around nothing: its next call crashes."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import edgefer
from edgefer.bundle.container import Bundle
from edgefer.engine.driver import cuda_driver

MAKERS = {"engine/trt_runtime.py"}
"""The modules that make a runtime, in one function each, which is called inside of a context of the GPU."""

TRIPWIRE = """
import pathlib
import tensorrt_rtx
def tripped(*arguments, **named):
    pathlib.Path({marker!r}).write_text("made")
    raise SystemExit("a runtime was made without a GPU")
tensorrt_rtx.Runtime = tripped
"""

WAYS = {
    "session": "Session(BUNDLE, device='tensorrt')",
    "automatic": "Session(BUNDLE, device='auto').close()",
    "race": "race({'plugin': b'x', 'inline': b'y'}, RaceData({}, {}, {}, 1), 'tensorrt_rtx')",
    "compile": "compile_onnx(Bundle.read(BUNDLE).onnx(Bundle.read(BUNDLE).graph()), CompileRequest('tensorrt_rtx'))",
    "doctor": "main(['doctor'])",
    "verify": "main(['verify', BUNDLE])",
}

CODE = """
import sys
BUNDLE = sys.argv[1]
from edgefer import Session
from edgefer.bundle.container import Bundle
from edgefer.cli.main import main
from edgefer.engine.compile import CompileRequest, compile_onnx
from edgefer.engine.race import RaceData, race
from edgefer.errors import EdgeferError
try:
    {way}
except EdgeferError as error:
    print(type(error).__name__, error)
print("at the end")
"""


@pytest.mark.skipif(bool(cuda_driver().gpus), reason="there is a GPU here")
@pytest.mark.parametrize("way", WAYS)
def test_nothing_makes_a_runtime(way: str, tiny_bundle: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    marker = tmp_path / "marker"
    (tmp_path / "sitecustomize.py").write_text(TRIPWIRE.format(marker=str(marker)))
    bundle = tiny_bundle.write(tmp_path / "tiny.edgefer")
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(way=WAYS[way]), str(bundle)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "EDGEFER_CACHE": str(tmp_path / "cache")},
    )
    assert not marker.exists()
    assert "at the end" in done.stdout, done.stderr[-2000:]


def test_the_tripwire_can_trip(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    marker = tmp_path / "marker"
    (tmp_path / "sitecustomize.py").write_text(TRIPWIRE.format(marker=str(marker)))
    code = "import tensorrt_rtx as trt; from edgefer.engine.race_engine import runtime_of; runtime_of(trt, None)"
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(tmp_path)}, check=False)
    assert done.returncode != 0
    assert marker.exists()


def test_runtimes_are_made_in_one_place_alone() -> None:
    folder = Path(edgefer.__file__).parent
    found = {}
    for path in folder.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "Runtime"]
        if calls:
            found[path.relative_to(folder).as_posix()] = len(calls)
    assert found == dict.fromkeys(MAKERS, 1)
