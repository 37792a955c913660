"""What serving costs before it is used."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "onnx", "cv2", "onnxruntime", "openvino", "tensorrt", "tensorrt_rtx", "google", "tritonclient"}


@pytest.mark.parametrize(
    "module",
    [
        *("edgefer.serve.triton", "edgefer.serve.deepstream", "edgefer.cli.triton", "edgefer.cli.deepstream"),
        # What the server's Python imports, where neither onnx nor a runner is installed.
        *("edgefer.serve.prepare", "edgefer.serve.answer", "edgefer.serve.settings"),
    ],
)
def test_nothing_heavy_is_imported(module: str) -> None:
    script = f"import {module}, json, sys; print(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not set(json.loads(run.stdout)) & HEAVY
