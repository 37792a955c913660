"""Blocks of a network, told from names, from where outputs go, and from the parts of fused layers."""

from __future__ import annotations

import pytest

from edgefer.benchmark.layers.blocks import Node, block, blocks_of, most_common, parts_of, scopes, shared_scopes


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("/visible/layer1/layer1.0/conv1/Conv", "visible/layer1"),
        ("/visible/conv1/Conv/weight_DequantizeLinear", "visible/conv1"),
        ("/visible/maxpool/MaxPool_output_0_nchwc", "visible/maxpool"),
        ("/norm_infrared/Add_output_0_QuantizeLinear", "norm_infrared"),
        ("/head/head.3/BatchNormalization", "head"),
        ("head.1.weight_DequantizeLinear", "head"),
        ("fused /head/head.1/Gemm", "head"),
        ("/layer1/layer1.0/conv1/Conv", "layer1"),
        ("infrared.layer1.0.conv1.weight_DequantizeLinear", "infrared/layer1"),
        ("/Concat", "Concat"),
        ("/Concat_output_0_DequantizeLinear", "Concat"),
        ("Conv_12", None),
        ("fused ", None),
        ("", None),
        ("_inlfunc_CbamAttention_spatial_gate_nchwc", None),
        ("__myl_MulAdd_myl0_4", None),
        ("onnx::Conv_193", None),
    ],
)
def test_a_name_tells_its_block(name: str, expected: str | None) -> None:
    assert block(name) == expected


def test_a_wrapper_around_everything_is_no_block() -> None:
    names = ["/model/visible/conv1/Conv", "/model/head/Gemm"]
    assert shared_scopes(names) == 1
    nodes = [Node(name, "Conv", (), ()) for name in names]
    assert blocks_of(nodes) == ["visible/conv1", "head"]
    assert shared_scopes(["/visible/conv1/Conv", "/visible/conv1/Relu"]) == 1  # never the whole name
    assert shared_scopes(["Conv_1", "Conv_2"]) == 0


def test_a_node_without_a_name_belongs_where_its_output_goes() -> None:
    nodes = [
        Node("/visible/layer4/Conv", "Conv", ("x",), ("/visible/layer4/Conv_output_0",)),
        Node("", "ReduceMean", ("/visible/layer4/Conv_output_0",), ("_inlfunc_Pool_mean",)),
        Node("Mul_7", "Mul", ("_inlfunc_Pool_mean",), ("_inlfunc_Pool_gated",)),
        Node("", "Flatten", ("_inlfunc_Pool_gated",), ("/fusion/GatedFusion_output_0",)),
        Node("ReorderInput", "ReorderInput", ("/fusion/GatedFusion_output_0",), ("reorder",)),
        Node("/head/Gemm", "Gemm", ("reorder",), ("logits",)),
    ]
    assert blocks_of(nodes) == ["visible/layer4", "fusion", "fusion", "fusion", "head", "head"]


def test_foreign_names_fall_back_to_the_kind() -> None:
    nodes = [
        Node("Conv_0", "Conv", ("x",), ("input.4",)),
        Node("Relu_1", "Relu", ("input.4",), ("12",)),
        Node("Gemm_2", "Gemm", ("12",), ("y",)),
    ]
    assert blocks_of(nodes) == ["Conv", "Relu", "Gemm"]


def test_the_first_consumer_decides() -> None:
    nodes = [
        Node("", "Add", ("x",), ("sum",)),
        Node("/first/Conv", "Conv", ("sum",), ("a",)),
        Node("/second/Conv", "Conv", ("sum",), ("b",)),
    ]
    assert blocks_of(nodes)[0] == "first"


def test_fused_layers_go_where_most_of_their_parts_belong() -> None:
    assert parts_of("/a/Conv + /a/Relu + /b/Add") == ("/a/Conv", "/a/Relu", "/b/Add")
    assert parts_of("{ForeignNode[/a/Conv.../b/Add]}") == ("/a/Conv", "/b/Add")
    assert parts_of("/a/Conv_myl0_3") == ("/a/Conv",)
    assert parts_of("Reformatting CopyNode for Input Tensor 0 to /a/Conv + /a/Relu") == ("/a/Conv", "/a/Relu")
    blocks = {"/a/Conv": "a", "/a/Relu": "a", "/b/Add": "b"}
    assert most_common(("/b/Add", "/a/Conv", "/a/Relu"), blocks) == "a"
    assert most_common(("/b/Add", "/a/Conv"), blocks) == "b"  # the first of equals
    assert most_common(("unknown",), blocks) is None


def test_scopes_are_the_modules_of_a_name() -> None:
    assert scopes("/visible/layer1/layer1.0/conv1/Conv") == ("visible", "layer1", "layer1.0", "conv1")
    assert scopes("visible.layer1.0.conv1.weight_DequantizeLinear") == ("visible", "layer1", "0", "conv1")
    assert scopes("Conv") == ()
