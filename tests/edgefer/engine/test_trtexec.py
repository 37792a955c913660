"""The equivalent command line of NVIDIA's tool."""

from __future__ import annotations

import shlex

import pytest

from edgefer.bundle.manifest import GraphSpec, InputSpec, OutputSpec
from edgefer.engine.flavours import FlavourName
from edgefer.engine.trtexec import trtexec_command


def graph(*batches: int) -> GraphSpec:
    return GraphSpec(
        role="fused",
        member="graphs/fused.onnx",
        inputs=(
            InputSpec(name="visible", role="visible", shape=(1, 3, 224, 224)),
            InputSpec(name="infrared", role="infrared", shape=(1, 1, 224, 224)),
        ),
        outputs=(OutputSpec(name="logits", role="logits", shape=(1, 7)),),
        batches=batches,
    )


def test_a_graph_of_fixed_shape_is_given_no_shapes() -> None:
    line = trtexec_command(graph(1), "fused.onnx", "fused.plan", workspace_bytes=1 << 30)
    assert shlex.split(line) == [
        "trtexec",
        "--onnx=fused.onnx",
        "--stronglyTyped",
        "--noTF32",
        "--skipInference",
        "--memPoolSize=workspace:1024",
        "--profilingVerbosity=detailed",
        "--saveEngine=fused.plan",
    ]


def test_a_dynamic_batch_is_given_the_shapes_of_every_input() -> None:
    parts = shlex.split(trtexec_command(graph(4), "a.onnx", "a.plan", dynamic=True))
    shapes = "visible:4x3x224x224,infrared:4x1x224x224"
    assert [f"--{bound}Shapes={shapes}" for bound in ("min", "opt", "max")] == [part for part in parts if "4x3" in part]
    assert not any(part.startswith("--profile=") for part in parts)


def test_several_batches_are_several_profiles() -> None:
    parts = shlex.split(trtexec_command(graph(1, 8), "a.onnx", "a.plan"))
    first, second = parts.index("--profile=0"), parts.index("--profile=1")
    assert parts[first + 1] == "--minShapes=visible:1x3x224x224,infrared:1x1x224x224"
    assert parts[second + 3] == "--maxShapes=visible:8x3x224x224,infrared:8x1x224x224"


def test_rtx_has_its_own_binary_and_is_strongly_typed_anyway() -> None:
    parts = shlex.split(trtexec_command(graph(1), "a.onnx", "a.plan", flavour="tensorrt_rtx"))
    assert parts[0] == "tensorrt_rtx"
    assert "--stronglyTyped" not in parts


@pytest.mark.parametrize("flavour", ["tensorrt", "tensorrt_rtx"])
def test_plugins_need_their_library(flavour: FlavourName) -> None:
    parts = shlex.split(trtexec_command(graph(1), "a.onnx", "a.plan", flavour=flavour, plugins=True))
    assert "--dynamicPlugins=libedgefer_plugins.so" in parts
    assert not any("lugins" in part for part in shlex.split(trtexec_command(graph(1), "a.onnx", "a.plan")))


def test_odd_paths_are_quoted_for_the_shell() -> None:
    line = trtexec_command(graph(1), "my faces/a.onnx", "it's.plan")
    assert "--onnx=my faces/a.onnx" in shlex.split(line)
    assert "--saveEngine=it's.plan" in shlex.split(line)
