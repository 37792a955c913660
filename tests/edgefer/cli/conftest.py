"""A bundle small enough to answer in microseconds, images for it, and the command line as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefer.bundle.manifest import (
    BudgetSpec,
    GateSpec,
    GraphSpec,
    ImageSpec,
    InputSpec,
    Manifest,
    NetworkSpec,
    OutputSpec,
    Provenance,
    StepFigure,
)

LABELS = ("dark", "bright")


@pytest.fixture(scope="session")
def run_cli() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`run_cli(*words, blocked=(), folder=None)`: the command line in a process; packages in `blocked` are missing."""

    def run(
        *words: str, blocked: tuple[str, ...] = (), folder: Path | None = None, code: str = ""
    ) -> subprocess.CompletedProcess[str]:
        program = f"{_BLOCKER.format(blocked=blocked)}\n{code}\n" + (
            "from edgefer.cli.main import main\nsys.exit(main(sys.argv[1:]))"
        )
        return subprocess.run(
            [sys.executable, "-c", program, *words],
            capture_output=True,
            text=True,
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            timeout=120,
            check=False,
        )

    return run


_BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
"""


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose answer is `bright` when the mean of both images is above one half. It has passed its gate."""
    path: Path = tmp_path_factory.mktemp("bundles") / "tiny.edgefer"
    return make_bundle(path, "pass")


@pytest.fixture(scope="session")
def undecided_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, but its gate could not decide."""
    path: Path = tmp_path_factory.mktemp("bundles") / "undecided.edgefer"
    return make_bundle(path, "undecided")


def make_bundle(path: Path, verdict: Any) -> Path:
    pytest.importorskip("onnx")
    from edgefer.bundle.container import Bundle

    figure = StepFigure(
        step="ONNX FP32",
        count=200,
        correct=181,
        mean_recall=0.905,
        worst_class="dark",
        worst_recall=0.88,
        agreement=1.0,
        max_error=1e-6,
    )
    inputs = tuple(
        InputSpec(name=role, role=role, shape=(1, channels, 8, 8), image=ImageSpec(colour=colour, band=band))
        for role, channels, colour, band in (("visible", 3, "rgb", "visible"), ("infrared", 1, "grey", "lwir"))
    )
    manifest = Manifest(
        network=NetworkSpec(name="tiny", options={"size": "8"}, parameters=2),
        graphs=(
            GraphSpec(
                role="fused",
                member="graphs/fused.onnx",
                inputs=inputs,
                outputs=(OutputSpec(name="logits", role="logits", shape=(1, 2)),),
            ),
        ),
        labels=LABELS,
        precision="fp32",
        gate=GateSpec(verdict=verdict, reason="A reason.", budget=BudgetSpec(), steps=(figure,), data_count=200),
        provenance=Provenance(created="2026-03-14T09:26:53Z"),
    )
    return Bundle.from_members(manifest, {"graphs/fused.onnx": _graph()}).write(path)


def _graph() -> bytes:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("ReduceMean", ["visible"], ["v"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("ReduceMean", ["infrared"], ["i"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Add", ["v", "i"], ["sum"]),
        helper.make_node("Unsqueeze", ["sum", "axis"], ["column"]),
        helper.make_node("MatMul", ["column", "weight"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["logits"]),
    ]
    constants = {
        "axis": np.array([1], np.int64),
        "weight": np.array([[-4.0, 4.0]], np.float32),
        "bias": np.array([4.0, -4.0], np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("visible", TensorProto.FLOAT, [1, 3, 8, 8]),
            helper.make_tensor_value_info("infrared", TensorProto.FLOAT, [1, 1, 8, 8]),
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="session")
def pairs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs in the layout `pairs`: five dark, five bright, one of which lies among the dark ones by mistake."""
    cv2 = pytest.importorskip("cv2")
    root: Path = tmp_path_factory.mktemp("pairs")
    for label, level in (("dark", 40), ("bright", 220)):
        for index in range(5):
            value = 220 if (label, index) == ("dark", 4) else level
            for role in ("visible", "infrared"):
                folder = root / role / label
                folder.mkdir(parents=True, exist_ok=True)
                image = np.full((20, 16) if role == "infrared" else (20, 16, 3), value + index, np.uint8)
                image[0, 0] = 0
                assert cv2.imwrite(str(folder / f"{index}.png"), image)
    return root
