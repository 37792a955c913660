"""ONNX files that cannot become a bundle: each is refused by a sentence that names the file, node or tensor."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("cv2")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgefer import atomic  # noqa: E402
from edgefer.errors import EdgeferError, ExportError, InputError, UsageError  # noqa: E402
from edgefer_export import build as building  # noqa: E402
from edgefer_export import steps  # noqa: E402
from edgefer_export.build import build  # noqa: E402
from edgefer_export.foreign import Said, load_onnx  # noqa: E402
from edgefer_export.simplify import SimplifyResult  # noqa: E402
from edgefer_export.spec import BuildSpec  # noqa: E402

FLOAT = TensorProto.FLOAT


def model(nodes: list[Any], weights: dict[str, np.ndarray] | None = None, **changed: Any) -> Any:
    """A network from x (1, 4) to y (1, 3), unless `changed` says otherwise."""
    graph = helper.make_graph(
        nodes,
        "test",
        changed.get("inputs", [helper.make_tensor_value_info("x", FLOAT, [1, 4])]),
        changed.get("outputs", [helper.make_tensor_value_info("y", FLOAT, [1, 3])]),
        [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", changed.get("opset", 17))], ir_version=8)


def weight(value: float = 0.5) -> dict[str, np.ndarray]:
    return {"w": np.full((4, 3), value, np.float32)}


def product() -> Any:
    return helper.make_node("MatMul", ["x", "w"], ["y"], "product")


def written(folder: Path, content: Any) -> Path:
    path = folder / "net.onnx"
    path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    return path


def external(folder: Path, location: str) -> Path:
    made = model([product()], weight())
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "48")):
        tensor.external_data.add(key=key, value=value)
    return written(folder, made)


BAD: dict[str, tuple[Callable[[], Any], type[EdgeferError], str]] = {
    "empty file": (lambda: b"", InputError, "the file is empty"),
    "no protobuf": (lambda: b"\xff" * 400, InputError, "cannot be read as an ONNX model"),
    "web page": (lambda: b"<!DOCTYPE html><html><body>404</body></html>", InputError, "this is a web page"),
    "pickle": (lambda: b"\x80\x02}q\x00.", InputError, "a pickle"),
    "cut short": (lambda: model([product()], weight()).SerializeToString()[:-40], InputError, "ONNX model"),
    "no outputs": (lambda: model([product()], weight(), outputs=[]), InputError, "no outputs"),
    "no nodes": (
        lambda: model([], {"y": np.ones((1, 3), np.float32)}, inputs=[]),
        InputError,
        "no nodes",
    ),
    "a tensor given twice": (
        lambda: model([product(), helper.make_node("Relu", ["x"], ["y"], "again")], weight()),
        InputError,
        "the tensor 'y' is given twice, by node 'product' (MatMul) and by node 'again' (Relu)",
    ),
    "nothing gives it": (
        lambda: model([helper.make_node("Add", ["x", "gone"], ["y"], "sum")]),
        InputError,
        "node 'sum' (Add) reads the tensor 'gone'",
    ),
    "nothing gives the output": (
        lambda: model([helper.make_node("Relu", ["x"], ["z"], "relu")]),
        InputError,
        "nothing gives the output 'y'",
    ),
    "a circle": (
        lambda: model([helper.make_node("Add", ["x", "y"], ["z"], "a"), helper.make_node("Relu", ["z"], ["y"], "b")]),
        InputError,
        "node 'a' (Add) waits for its own result",
    ),
    "an operator that no one has": (
        lambda: model([helper.make_node("Teleport", ["x"], ["y"], "beam")]),
        ExportError,
        "node 'beam' (Teleport) is no operator of ONNX",
    ),
    "an operator that came later": (
        lambda: model([helper.make_node("Gelu", ["x"], ["y"], "gelu")]),
        ExportError,
        "node 'gelu' (Gelu) is no operator of ONNX before opset 20",
    ),
    "a domain of others": (
        lambda: model([helper.make_node("FusedConv", ["x"], ["y"], "fused", domain="com.microsoft")]),
        ExportError,
        "node 'fused' (com.microsoft::FusedConv)",
    ),
    "NaN": (lambda: model([product()], weight(np.nan)), InputError, "the weights 'w', read by node 'product' (MatMul)"),
    "infinity": (lambda: model([product()], weight(np.inf)), InputError, "0 NaN and 12 infinite"),
    "a type without kernels": (
        lambda: model(
            [helper.make_node("Relu", ["x"], ["y"])],
            inputs=[helper.make_tensor_value_info("x", TensorProto.BFLOAT16, [1, 3])],
        ),
        InputError,
        "input 'x' is of type bfloat16",
    ),
    "integer codes": (
        lambda: model(
            [
                helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], "dynamic"),
                helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
            ]
        ),
        ExportError,
        "node 'dynamic' (DynamicQuantizeLinear)",
    ),
    "asymmetric activations": (
        lambda: model(
            [
                helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], "quantise"),
                helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
            ],
            {"s": np.array(0.1, np.float32), "z": np.array(3, np.int8)},
        ),
        ExportError,
        "node 'quantise' (QuantizeLinear) is asymmetric: its zero point is 3",
    ),
    "codes from 0": (
        lambda: model(
            [
                helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], "quantise"),
                helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
            ],
            {"s": np.array(0.1, np.float32), "z": np.array(0, np.uint8)},
        ),
        ExportError,
        "node 'quantise' (QuantizeLinear) has unsigned codes around 0",
    ),
    "shapes that do not fit": (
        lambda: model([product()], {"w": np.ones((5, 3), np.float32)}),
        ExportError,
        "product",
    ),
    "an output that is an input": (
        lambda: model(
            [helper.make_node("Relu", ["x"], ["y"])],
            outputs=[helper.make_tensor_value_info("x", FLOAT, [1, 4])],
        ),
        InputError,
        "'x' is an input handed on",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_by_name(name: str, tmp_path: Path) -> None:
    content, error, said = BAD[name]
    path = written(tmp_path, content())
    with pytest.raises(error) as raised:
        build(BuildSpec(network=str(path), output=tmp_path / "out.edgefer", flavour="none"))
    assert said in raised.value.message
    assert "net.onnx" in raised.value.message
    assert raised.value.hint
    assert [each.name for each in tmp_path.iterdir()] == ["net.onnx"]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").mkdir()
    with pytest.raises(InputError, match="is not a file"):
        load_onnx(tmp_path / "net.onnx")


@pytest.mark.parametrize(
    ("location", "said"), [("gone.data", "no such file"), ("../secret.data", "outside the folder of the model")]
)
def test_weights_that_lie_elsewhere(location: str, said: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.data").write_bytes(b"\0" * 48)
    with pytest.raises(InputError) as raised:
        load_onnx(external(folder, location))
    assert all(each in raised.value.message for each in ("'w'", location, said))


def test_weights_beside_the_file_are_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w.data").write_bytes(np.full((4, 3), 0.5, np.float32).tobytes())
    path = external(tmp_path, "w.data")
    monkeypatch.chdir("/")
    exported = load_onnx(path).export(None, (1,))
    assert numpy_helper.to_array(exported.model.graph.initializer[0]).sum() == 6.0


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (Said(shapes={"z": (1, 4)}), "no input `z`"),
        (Said(shapes={"x": (1, 5)}), "fixed to 4"),
        (Said(shapes={"x": (1, 2, 3, 4)}), "has 4 sizes"),
        (Said(input_roles={"x": "visible"}), "no visible image"),
        (Said(output_roles={"z": "logits"}), "no output `z`"),
        (Said(labels=("a", "b")), "gives 3 classes in its output y, but there are 2 labels"),
        (Said(labels=("a", "b", "c"), output_roles={"y": "other"}), "no output of net.onnx holds logits"),
    ],
)
def test_what_is_said_must_fit(said: Said, expected: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        load_onnx(written(tmp_path, model([product()], weight())), said)
    assert expected in raised.value.message


def test_open_sizes_have_to_be_stated(tmp_path: Path) -> None:
    free = helper.make_tensor_value_info("x", FLOAT, ["n", 3, "height", "width"])
    pool = helper.make_node("GlobalAveragePool", ["x"], ["p"])
    flat = helper.make_node("Flatten", ["p"], ["y"])
    path = written(tmp_path, model([pool, flat], inputs=[free]))
    with pytest.raises(UsageError, match="leaves the sizes of its input `x` open"):
        load_onnx(path)
    assert load_onnx(path, Said(shapes={"x": (3, 8, 10)})).inputs[0].shape == (1, 3, 8, 10)


@pytest.mark.parametrize("problem", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_nothing_half_written_stays(problem: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "simplify", lambda model: SimplifyResult(model, False, "not simplified: a test"))
    monkeypatch.setattr(building, "write_report", lambda report, folder: (folder, folder))
    path = written(tmp_path, model([product()], weight()))

    def full(handle: int) -> None:
        raise problem

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises((type(problem), EdgeferError)):
        build(BuildSpec(network=str(path), output=tmp_path / "out.edgefer", flavour="none"))
    assert [each.name for each in tmp_path.iterdir()] == ["net.onnx"]
