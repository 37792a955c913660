"""What is done to a file on its way to the project's form, and that it computes the same afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("cv2")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgefer_export.foreign import ForeignNetwork, Said, load_onnx  # noqa: E402

FLOAT, RNG = TensorProto.FLOAT, np.random.default_rng(5)


def saved(
    folder: Path,
    nodes: list[Any],
    weights: dict[str, np.ndarray],
    inputs: dict[str, Any],
    outputs: list[str],
    opset: int = 17,
    **changed: Any,
) -> Path:
    """A file with inputs of float32 by name and shape, and outputs whose shapes it does not say."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(name, changed.get("element", FLOAT), shape) for name, shape in inputs.items()],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path = folder / "net.onnx"
    onnx.save(made, path)
    return path


def dense(classes: int = 3) -> dict[str, np.ndarray]:
    return {"w": RNG.standard_normal((4, classes)).astype(np.float32)}


def product(output: str = "y") -> Any:
    return helper.make_node("MatMul", ["x", "w"], [output], "product")


def operators(network: ForeignNetwork) -> list[str]:
    return [node.op_type for node in network.export(None, (1,)).model.graph.node]


def said_of(network: ForeignNetwork) -> str:
    return " / ".join(network.export(None, (1,)).notes)


def test_old_files_list_their_weights_as_inputs(tmp_path: Path) -> None:
    path = saved(tmp_path, [product()], dense(), {"x": [1, 4], "w": [4, 3]}, ["y"], opset=9)
    network = load_onnx(path)
    exported = network.export(None, (1,))
    assert [spec.name for spec in network.inputs] == ["x"]
    assert [value.name for value in exported.model.graph.input] == ["x"]
    assert (exported.model.opset_import[0].version, exported.model.ir_version) == (19, 9)
    assert "1 initialisers listed as inputs are weights" in exported.notes
    assert "converted from opset 9" in exported.notes


def test_constant_nodes_become_weights_and_nodes_are_sorted_and_named(tmp_path: Path) -> None:
    constant = helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(dense()["w"]))
    nodes = [helper.make_node("Relu", ["p"], ["y"], "same"), product("p"), constant]
    nodes[1].name = "same"
    network = load_onnx(saved(tmp_path, nodes, {}, {"x": [1, 4]}, ["y"]))
    graph = network.export(None, (1,)).model.graph
    assert [(node.op_type, node.name) for node in graph.node] == [("MatMul", "same"), ("Relu", "same_1")]
    assert [tensor.name for tensor in graph.initializer] == ["w"]
    assert "sorted" in said_of(network)
    assert "renamed: same" in said_of(network)


def test_the_only_row_of_scores_is_the_logits(tmp_path: Path) -> None:
    nodes = [product(), helper.make_node("Relu", ["x"], ["z"])]
    path = saved(tmp_path, nodes, dense(), {"x": [1, 4]}, ["y", "z"])
    assert load_onnx(path).logits is None
    assert load_onnx(path).labels == ()
    stated = load_onnx(path, Said(output_roles={"y": "logits"}, labels=("a", "b", "c")))
    assert (stated.logits, stated.labels) == ("y", ("a", "b", "c"))
    assert load_onnx(path, Said(output_roles={"z": "other"})).logits == "y"


@pytest.mark.parametrize("behind", [[], ["Identity"], ["Flatten", "Identity"]])
def test_a_softmax_at_the_end_is_left_out(behind: list[str], tmp_path: Path) -> None:
    names = ["p", *(f"t{index}" for index in range(len(behind)))]
    nodes = [product("s"), helper.make_node("Softmax", ["s"], [names[0]], "soft", axis=1)]
    nodes += [helper.make_node(op, [names[i]], [names[i + 1]], f"n{i}") for i, op in enumerate(behind)]
    network = load_onnx(saved(tmp_path, nodes, dense(), {"x": [1, 4]}, [names[-1]]))
    x = RNG.standard_normal((1, 4)).astype(np.float32)
    assert network.logits == "logits"
    assert "Softmax" not in operators(network)
    assert "node soft is a softmax at the end" in said_of(network)
    weights = numpy_helper.to_array(network.tidy.graph.initializer[0])
    assert np.allclose(network.reference()({"x": x})["logits"], x @ weights, atol=1e-5)


@pytest.mark.parametrize("operator", ["LogSoftmax", "Sigmoid"])
def test_what_keeps_the_order_stays(operator: str, tmp_path: Path) -> None:
    nodes = [product("s"), helper.make_node(operator, ["s"], ["y"], "end")]
    network = load_onnx(saved(tmp_path, nodes, dense(), {"x": [1, 4]}, ["y"]))
    assert network.logits == "y"
    assert operator in operators(network)
    assert f"node end is a {operator}".lower() in said_of(network).lower()
    assert "stays" in said_of(network)


def test_a_softmax_that_something_else_reads_stays_for_it(tmp_path: Path) -> None:
    nodes = [product("s"), helper.make_node("Softmax", ["s"], ["y"], "soft"), helper.make_node("Exp", ["y"], ["z"])]
    path = saved(tmp_path, nodes, dense(), {"x": [1, 4]}, ["y", "z"])
    network = load_onnx(path, Said(output_roles={"y": "logits"}))
    assert "Softmax" in operators(network)
    assert [spec.name for spec in network.export(None, (1,)).outputs] == ["logits", "z"]


def test_roles_come_from_names_and_from_what_is_said(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["rgb", "thermal"], ["y"])]
    path = saved(tmp_path, nodes, {}, {"rgb": [1, 3, 8, 8], "thermal": [1, 1, 8, 8]}, ["y"])
    network = load_onnx(path, Said(band="lwir"))
    assert [(spec.role, spec.image.colour, spec.image.band) for spec in network.inputs if spec.image] == [
        ("visible", "rgb", "visible"),
        ("infrared", "grey", "lwir"),
    ]
    assert network.graph_role == "fused"
    swapped = load_onnx(path, Said(input_roles={"rgb": "infrared", "thermal": "visible"}))
    assert [spec.role for spec in swapped.inputs] == ["infrared", "visible"]


def test_two_images_of_one_kind_are_tensors(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["left", "right"], ["y"])]
    path = saved(tmp_path, nodes, {}, {"left": [1, 3, 8, 8], "right": [1, 3, 8, 8]}, ["y"])
    network = load_onnx(path)
    assert [spec.role for spec in network.inputs] == ["other", "other"]
    assert "left, right are taken as tensors" in said_of(network)


def test_a_free_batch_stays_free_and_follows(tmp_path: Path) -> None:
    network = load_onnx(saved(tmp_path, [product()], dense(), {"x": ["n", 4]}, ["y"]))
    exported = network.export(None, (1, 4))
    axis = exported.model.graph.input[0].type.tensor_type.shape.dim[0]
    assert axis.dim_param == "batch"
    assert network.reference()({"x": np.ones((4, 4), np.float32)})["y"].shape == (4, 3)


def test_a_fixed_batch_becomes_one_where_that_is_asked(tmp_path: Path) -> None:
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["p"]), helper.make_node("Flatten", ["p"], ["y"])]
    path = saved(tmp_path, nodes, {}, {"x": [8, 3, 4, 4]}, ["y"])
    assert load_onnx(path).inputs[0].shape == (1, 8, 3, 4, 4)
    network = load_onnx(path, Said(shapes={"x": (3, 4, 4)}))
    assert network.inputs[0].shape == (1, 3, 4, 4)
    assert network.export(None, (1,)).outputs[0].shape == (1, 3)


def test_an_image_of_bytes_is_fed_its_values(tmp_path: Path) -> None:
    nodes = [helper.make_node("Cast", ["x"], ["y"], to=FLOAT)]
    path = saved(tmp_path, nodes, {}, {"x": [1, 3, 4, 4]}, ["y"], element=TensorProto.UINT8)
    network = load_onnx(path)
    image = network.inputs[0].image
    assert image is not None
    assert image.range == (0.0, 255.0)
    x = np.arange(48, dtype=np.float32).reshape(1, 3, 4, 4)
    assert np.array_equal(network.reference()({"x": x})["y"], x)


def test_a_function_of_the_model_is_written_out(tmp_path: Path) -> None:
    path = saved(tmp_path, [helper.make_node("Double", ["x"], ["y"], domain="own")], {}, {"x": [1, 4]}, ["y"])
    made = onnx.load(path)
    opsets = [helper.make_opsetid("", 17)]
    body = [helper.make_node("Add", ["a", "a"], ["b"])]
    made.functions.append(helper.make_function("own", "Double", ["a"], ["b"], body, opsets))
    made.opset_import.append(helper.make_opsetid("own", 1))
    onnx.save(made, path)
    assert operators(load_onnx(path)) == ["Add"]
