"""Engines of TensorRT-RTX with a plugin in them, each built in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorrt_rtx")
onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper  # noqa: E402
from plugin_graphs import MAPS, Sample, model, sample  # noqa: E402

from edgefer.plugins.fields import FIELDS, PRESENT, SCALES  # noqa: E402
from edgefer.plugins.operations import OPERATIONS  # noqa: E402

CHILD = Path(__file__).with_name("rtx_build_child.py")
PLUGIN = "custom_layer"


def build(
    folder: Path, graph: bytes, *, batches: tuple[int, ...] = (2,), stored: tuple[str, ...] = ()
) -> dict[str, Any]:
    (folder / "graph.onnx").write_bytes(graph)
    request = {"graph": str(folder / "graph.onnx"), "batches": batches, "stored": stored}
    (folder / "request.json").write_text(json.dumps(request))
    run = subprocess.run(
        [sys.executable, CHILD, folder / "request.json"], capture_output=True, text=True, check=False, timeout=300
    )
    assert run.returncode == 0, run.stderr[-4000:]
    answer: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return answer


def plugin_layer(answer: Mapping[str, Any]) -> dict[str, Any]:
    assert "error" not in answer, answer
    (layer,) = (each for each in answer["layers"] if each["type"] == PLUGIN)
    return dict(layer)


NODES = {
    "cbam": sample("CbamAttention", relu=1),
    "cbam-alone": sample("CbamAttention", without=("R",), spatial_kernel=3),
    "gate": sample("ChannelGate"),
    "gate-hard": sample("ChannelGate", without=("b1",), gate="hard_sigmoid"),
    "pool": sample("GatedPool", square=1),
    "fusion": sample("GatedFusion", interleave=1),
    "fusion-two": sample("GatedFusion", without=("P",)),
    "local": sample("LocalGate"),
}
every_node = pytest.mark.parametrize("given", NODES.values(), ids=NODES)


@every_node
@pytest.mark.parametrize("element", ["f32", "f16"])
def test_a_node_is_a_plugin_layer(given: Sample, element: str, tmp_path: Path) -> None:
    stored = tuple(each.name for each in FIELDS[given.operator])
    answer = build(tmp_path, model(given, element, dynamic=True), batches=(1, 4, 8), stored=stored)
    assert answer["stored"] == list(stored)
    layers = [each for each in answer["layers"] if each["type"] == PLUGIN]
    # One for each batch: an engine has a profile for it.
    assert len(layers) == 3
    dtype = {"f32": "fp32", "f16": "fp16"}[element]
    maps = [name for name in given.tensors if name in MAPS]
    for layer in layers:
        for tensor in layer["inputs"][: len(maps)]:
            assert tensor[0] == dtype
            assert "NHWC" in tensor[1] or "Channel major" in tensor[1], tensor
        assert layer["outputs"][0][0] == dtype
    assert answer["outputs"] == [[[-1, *given.output[1:]], dtype]]


@every_node
def test_int8_maps_stay_int8(given: Sample, tmp_path: Path) -> None:
    scales = {MAPS[name]: 0.05 for name in given.tensors if name in MAPS}
    if OPERATIONS[given.operator].gives_map:
        scales["y_scale"] = 0.04
    layer = plugin_layer(build(tmp_path, model(given, "f32", scales=scales)))
    maps = [name for name in given.tensors if name in MAPS]
    assert [each[0] for each in layer["inputs"][: len(maps)]] == ["int8"] * len(maps)
    assert layer["outputs"][0][0] == ("int8" if "y_scale" in scales else "fp32")


@pytest.mark.parametrize("operator", ["CbamAttention", "ChannelGate"])
@pytest.mark.parametrize("element", ["f32", "f16"])
def test_a_float_becomes_int8(operator: str, element: str, tmp_path: Path) -> None:
    layer = plugin_layer(build(tmp_path, model(sample(operator), element, scales={"y_scale": 0.04})))
    assert layer["inputs"][0][0] == {"f32": "fp32", "f16": "fp16"}[element]
    assert layer["outputs"][0][0] == "int8"


def between_convolutions(element: str) -> bytes:
    """Two 1 x 1 convolutions around a CBAM block, whose residual is what the first one reads."""
    given = sample("CbamAttention", relu=1)
    graph = onnx.ModelProto.FromString(model(given, element))
    (node,) = (each for each in graph.graph.node if each.op_type == "CbamAttention")
    node.input[0], node.input[7], node.output[0] = "before", "X", "after"
    del graph.graph.input[1]
    kind = {"f32": TensorProto.FLOAT, "f16": TensorProto.FLOAT16}[element]
    weights = [float(each % 7 - 3) / 32 for each in range(32 * 32)]
    graph.graph.initializer.append(helper.make_tensor("K", kind, [32, 32, 1, 1], weights))
    graph.graph.node.insert(0, helper.make_node("Conv", ["X", "K"], ["before"], name="first"))
    graph.graph.node.append(helper.make_node("Conv", ["after", "K"], ["out"], name="second"))
    return bytes(graph.SerializeToString())


@pytest.mark.parametrize("element", ["f32", "f16"])
def test_between_convolutions_nothing_is_laid_out_anew(element: str, tmp_path: Path) -> None:
    """A plugin that took the linear layout would have a transposition on each side of it."""
    answer = build(tmp_path, between_convolutions(element))
    layers = [each for each in answer["layers"] if each["inputs"]]
    at = next(index for index, each in enumerate(layers) if each["type"] == PLUGIN)
    plugin = layers[at]
    assert plugin["inputs"][0][1] == plugin["outputs"][0][1]
    assert not layers[at + 1]["reformat"]
    assert layers[at + 1]["inputs"][0][1] == plugin["outputs"][0][1]
    producers = [each for each in layers[:at] if plugin["inputs"][0] in each["outputs"]]
    assert producers
    assert not producers[-1]["reformat"]


@pytest.mark.parametrize(
    ("given", "attributes"),
    [
        (sample("CbamAttention", spatial_kernel=9), {}),
        (sample("ChannelGate", channels=48), {"y_scale": 0.1}),
    ],
    ids=["kernel", "channels"],
)
def test_what_no_kernel_does_is_refused_and_nothing_dies(given: Sample, attributes: Any, tmp_path: Path) -> None:
    answer = build(tmp_path, model(given, scales=attributes))
    assert "error" in answer


def test_wrong_attributes_are_refused_and_nothing_dies(tmp_path: Path) -> None:
    graph = onnx.ModelProto.FromString(model(sample("CbamAttention")))
    (node,) = (each for each in graph.graph.node if each.op_type == "CbamAttention")
    (present,) = (each for each in node.attribute if each.name == PRESENT)
    present.CopyFrom(helper.make_attribute(PRESENT, 0))
    answer = build(tmp_path, graph.SerializeToString())
    assert "error" in answer
    present.CopyFrom(helper.make_attribute(PRESENT, 1.0))
    answer = build(tmp_path, graph.SerializeToString())
    assert "error" in answer


def test_what_is_left_out_of_a_node_is_found_by_counting_its_inputs(tmp_path: Path) -> None:
    graph = onnx.ModelProto.FromString(model(sample("GatedFusion", without=("P",))))
    (node,) = (each for each in graph.graph.node if each.op_type == "GatedFusion")
    kept = [each for each in node.attribute if each.name not in (PRESENT, *SCALES)]
    del node.attribute[:]
    node.attribute.extend(kept)
    assert plugin_layer(build(tmp_path, graph.SerializeToString()))
