"""Every graph of the real inputs: a bundle that answers as the file does, or an error that names what is at fault.

The table is the expectation: for each file the sizes that it leaves open, and what becomes of it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("cv2")

import edgefer  # noqa: E402
from edgefer.bundle.container import Bundle  # noqa: E402
from edgefer.bundle.golden import golden_feeds  # noqa: E402
from edgefer.errors import CompileError, EdgeferError, ExportError, InputError  # noqa: E402
from edgefer.numeric_error import relative_error  # noqa: E402
from edgefer_export import build as building  # noqa: E402
from edgefer_export import steps  # noqa: E402
from edgefer_export.report.html import write_report  # noqa: E402
from edgefer_export.simplify import SimplifyResult, simplify  # noqa: E402
from edgefer_export.spec import BuildSpec  # noqa: E402

DATA = Path(os.environ.get("EDGEFER_TEST_DATA", "."))
pytestmark = pytest.mark.skipif("EDGEFER_TEST_DATA" not in os.environ, reason="EDGEFER_TEST_DATA names no folder")

TOLERANCE = 1e-4


@dataclass(frozen=True)
class Case:
    """One file. `shapes` are what `--input` states; `error` and `said` are the refusal, where it is refused; `rtx` is
    what TensorRT-RTX names, where it does not compile the bundle."""

    file: str
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    error: type[EdgeferError] | None = None
    said: str = ""
    rtx: str = ""

    @property
    def path(self) -> Path:
        folder = "face_detector" if self.file.startswith("version-slim") else "onnx_conformance"
        return DATA / folder / f"{self.file}.onnx"


SQUARE = (4, 4)
CASES = (
    Case("add_with_dup_inputs"),
    Case("and"),
    Case("attention", {"q": (2, 4), "k": (4, 3), "v": (3, 5)}),
    Case("attention_same_qkv", {"q": SQUARE}),
    Case("capability", error=ExportError, said="node 'Fake1' (FAKE!)"),
    Case("cleanable"),
    Case("const_foldable"),
    Case("conv"),
    Case("custom_op_node", error=ExportError, said="ai.onnx.contrib::NegPos"),
    Case("dim_param"),
    Case("dynamic_identity", {"X": (2, 6, 8)}),
    Case("empty", error=InputError, said="empty.onnx: the graph has no outputs"),
    Case("empty_tensor_expand", rtx="(Expand)"),
    Case("ext_weights", error=InputError, said="the weights 'a' lie in 'ext_weights.data'"),
    Case("identity"),
    Case("identity_identity"),
    Case("identity_multi_ch"),
    Case("identity_with_initializer"),
    Case("inp_dim_val_not_set", {"X": (4, 5, 6)}),
    Case("instancenorm"),
    Case("loop", rtx="node 4 'cond___while_Less' (Less)"),
    Case("matmul"),
    Case("matmul.bf16", error=InputError, said="input 'a' is of type bfloat16"),
    Case("matmul.bf16.i32data", error=InputError, said="input 'A' is of type bfloat16"),
    Case("matmul.fp16"),
    Case("matmul_2layer"),
    Case("multi_attention", dict.fromkeys(("q", "q1", "k", "k2", "v", "v2"), SQUARE)),
    Case("multi_output"),
    Case("needs_constraints"),
    Case("no_op_reshape"),
    Case("nonzero", rtx="(NonZero)"),
    Case("pow_scalar"),
    Case("qdq_conv"),
    Case("reducable"),
    Case("reducable_with_const"),
    Case("renamable"),
    Case("reshape"),
    Case("residual_block"),
    Case("roialign", rtx="(RoiAlign)"),
    Case("scan"),
    Case("sparse.conv"),
    Case("sparse.matmul"),
    Case("tensor_attr"),
    Case("toy_subgraph", error=ExportError, said="node 'n1' (O)"),
    Case("transpose_matmul"),
    Case("unbounded_dds"),
    Case("unsorted"),
    Case("version-slim-320"),
    Case("version-slim-320_simplified"),
    Case("version-slim-320_without_postprocessing"),
)
TAKEN = [case for case in CASES if case.error is None]
REFUSED = [case for case in CASES if case.error is not None]


def ids(case: Case) -> str:
    return case.file


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds without the child that simplifies and without the report's page, a second each; both are tested below."""
    monkeypatch.setattr(steps, "simplify", lambda model: SimplifyResult(model, False, "not simplified: a test"))
    monkeypatch.setattr(building, "write_report", lambda report, folder: (folder, folder))


def built(case: Case, folder: Path) -> Bundle:
    output = folder / f"{case.file}.edgefer"
    building.build(BuildSpec(network=str(case.path), inputs=case.shapes, output=output, flavour="none"))
    return Bundle.read(output)


def answers_of_file(case: Case, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """What the file itself gives for one example of the bundle's inputs, read apart from the code under test."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(case.path), options, providers=["CPUExecutionProvider"])
    types = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(bool)": np.bool_}
    types |= {"tensor(int32)": np.int32, "tensor(int64)": np.int64}
    fed = {}
    for value in session.get_inputs():
        array = feeds[value.name]
        rank = len(value.shape) or (len(case.shapes[value.name]) if value.name in case.shapes else 0)
        fed[value.name] = np.asarray(array if array.ndim == rank else array[0], types[value.type])
    return session.run(None, fed)


def check_agreement(case: Case, bundle: Bundle) -> None:
    graph = bundle.manifest.graphs[0]
    stored = golden_feeds(bundle, graph.inputs)
    with edgefer.load(bundle, device="onnxruntime", threads=1) as session:
        for index in range(min(3, bundle.manifest.golden.count if bundle.manifest.golden else 1)):
            feeds = {name: array[index : index + 1] for name, array in stored.items()}
            found = session.run(feeds)
            expected = answers_of_file(case, feeds)
            assert len(expected) == len(graph.outputs)
            for spec, reference in zip(graph.outputs, expected, strict=True):
                value = found[spec.name]
                value = value if value.shape == reference.shape else value[0]
                assert value.dtype == reference.dtype
                assert relative_error(value, reference) <= TOLERANCE, spec.name


def test_the_table_holds_every_file() -> None:
    there = {path.stem for name in ("onnx_conformance", "face_detector") for path in (DATA / name).glob("*.onnx")}
    assert there == {case.file for case in CASES}
    assert len(TAKEN) >= 43
    assert sum(not case.rtx for case in TAKEN) >= 37


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("case", TAKEN, ids=ids)
def test_a_file_becomes_a_bundle_that_agrees_with_it(case: Case, tmp_path: Path) -> None:
    bundle = built(case, tmp_path)
    assert bundle.manifest.gate.verdict == "numeric"
    assert bundle.manifest.graphs[0].opset == 19
    check_agreement(case, bundle)


@pytest.mark.parametrize("case", REFUSED, ids=ids)
def test_a_file_is_refused_by_name(case: Case, tmp_path: Path) -> None:
    assert case.error is not None
    with pytest.raises(case.error) as raised:
        built(case, tmp_path)
    assert case.said in raised.value.message
    assert raised.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("case", TAKEN, ids=ids)
def test_what_tensorrt_rtx_makes_of_it(case: Case, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    from edgefer.engine.compile import CompileRequest, compile_onnx

    bundle = built(case, tmp_path)
    graph = bundle.member(bundle.manifest.graphs[0].member)
    if not case.rtx:
        assert compile_onnx(graph, CompileRequest("tensorrt_rtx"), timeout=300).plan
        return
    with pytest.raises(CompileError) as raised:
        compile_onnx(graph, CompileRequest("tensorrt_rtx"), timeout=300)
    assert case.rtx in str(raised.value)


@pytest.mark.parametrize("file", ["version-slim-320", "tensor_attr", "loop", "matmul.fp16"])
def test_a_whole_build(file: str, tmp_path: Path) -> None:
    assert (steps.simplify, building.write_report) == (simplify, write_report)
    case = next(case for case in CASES if case.file == file)
    bundle = built(case, tmp_path)
    check_agreement(case, bundle)
    assert "PyTorch" not in (tmp_path / f"{file}-report" / "report.html").read_text()
    given = "ONNX as given" if file == "matmul.fp16" else "fp32 ONNX as given"
    assert [step.step for step in bundle.manifest.gate.steps] == [given, "converted", "simplified"]
