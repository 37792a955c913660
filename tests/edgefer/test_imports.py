"""What importing edgefer costs: nothing that it does not need."""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import edgefer

HEAVY = (
    *("torch", "onnx", "cv2", "onnxruntime", "openvino", "matplotlib", "rich"),
    *("tensorrt", "tensorrt_rtx", "pycuda", "cuda"),
)


def modules_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after running `code`."""
    script = f"{code}\nimport json, sys; print(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import edgefer",
        "import edgefer; edgefer.load, edgefer.Session, edgefer.Bundle, edgefer.Estimate, edgefer.InputError",
        "import edgefer.bundle.container, edgefer.bundle.verify, edgefer.runtime.session, edgefer.runtime.golden_check",
        "from edgefer import *",
    ],
)
def test_heavy_packages_are_not_imported(code: str) -> None:
    assert not modules_after(code) & {*HEAVY, "edgefer_export"}


def test_onnxruntime_reports_to_nobody_and_leaves_no_file(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    kept = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    script = "import edgefer, onnxruntime, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    for given, expected in (({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0")):
        environment = {**kept, **given, "TMPDIR": str(tmp_path)}
        run = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        assert run.stdout.strip() == expected
        if not given:
            assert list(tmp_path.iterdir()) == []


def test_catching_errors_needs_no_numpy() -> None:
    assert not modules_after("import edgefer; edgefer.InputError, edgefer.errors.BundleError") & {"numpy", "msgspec"}


def test_everything_in_the_public_list_is_there() -> None:
    for name in edgefer.__all__:
        assert getattr(edgefer, name) is not None
        assert name in dir(edgefer)
    assert edgefer.load is importlib.import_module("edgefer.runtime.session").load
    errors = {name for name, value in vars(edgefer.errors).items() if isinstance(value, type)}
    assert {name for name in errors if not name.startswith("_") and name != "ClassVar"} <= set(edgefer.__all__)


def test_other_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        edgefer.lode  # noqa: B018
    assert not hasattr(edgefer, "__wrapped__")


def test_no_module_of_the_bundle_or_the_runtime_imports_them_at_its_top() -> None:
    root = Path(edgefer.__file__).parent
    for path in [*root.glob("*.py"), *root.glob("bundle/*.py"), *root.glob("runtime/**/*.py")]:
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & {*HEAVY, "edgefer_export"}, path
