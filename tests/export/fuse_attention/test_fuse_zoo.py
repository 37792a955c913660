"""What is found in each spelling, as both of torch's exporters write it, and that it computes the same then."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxsim = pytest.importorskip("onnxsim")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from edgefer_export.checks import literal_graph, relative_error  # noqa: E402
from edgefer_export.dynamo import DynamoExporter  # noqa: E402
from edgefer_export.fuse_attention import fuse_attention, recognise  # noqa: E402
from edgefer_export.torchscript import TorchScriptExporter  # noqa: E402

_FILE = importlib.util.spec_from_file_location(
    "attention_spellings", Path(__file__).with_name("attention_spellings.py")
)
spellings: Any = importlib.util.module_from_spec(_FILE)
_FILE.loader.exec_module(spellings)

Spelled = Callable[[str, str], Any]
BOTH = pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])

# Spelling -> kind and form of the one block that is found in it.
FOUND = {
    "se_linear": ("ChannelGate", "sigmoid"),
    "se_convolution": ("ChannelGate", "sigmoid"),
    "se_hard": ("ChannelGate", "hard sigmoid"),
    "se_relu6_divided": ("ChannelGate", "hard sigmoid"),
    "se_relu6_times": ("ChannelGate", "hard sigmoid"),
    "se_flat": ("ChannelGate", "sigmoid"),
    "se_window_norms": ("ChannelGate", "sigmoid"),
    "se_matrix_residual": ("ChannelGate", "sigmoid"),
    "cbam_functional": ("CbamAttention", ""),
    "cbam_convolution": ("CbamAttention", ""),
    "cbam_summed": ("CbamAttention", ""),
    "cbam_block": ("CbamAttention", "with residual and ReLU"),
    "heads_divided": ("attention", "scale moved to Q"),
    "heads_times_and_mask": ("attention", "scale moved to Q"),
    "heads_on_key": ("attention", "scale moved to Q"),
    "heads_on_query": ("attention", "scaled on Q"),
    "heads_filled": ("attention", "scale moved to Q"),
    "heads_torch_function": ("attention", "scale moved to Q"),
    "heads_torch_module": ("attention", "scaled on Q"),
}

# Spelling -> kind and the beginning of the reason of each thing that is nearly found in it.
NEAR = {
    "eca": [("channel gate", "no dense layer (found Conv of 3")],
    "se_swish": [("channel gate", "no ReLU between its layers (found Swish)")],
    "se_softmax": [("channel gate", "no sigmoid (found Softmax)")],
    "channel_half": [("channel gate", "a channel gate from average and maximum and no spatial gate")],
    "channel_maximum": [("channel gate", "a channel gate from maximum and no spatial gate")],
    "spatial_half": [("spatial gate", "a spatial gate without a channel gate before it")],
    "cbam_large": [
        ("channel gate", "a channel gate from average and maximum and no spatial gate"),
        ("spatial gate", "a spatial convolution of shape (1, 2, 9, 9)"),
    ],
    "parallel": [("channel gate", "a channel gate from average and maximum and no spatial gate")],
    "peeked": [("channel gate", "a part of it is read elsewhere, too")],
    "heads_behind_mask": [("attention", "its scale stands behind the mask")],
    "heads_einsum": [("attention", "its products are written with Einsum")],
}


@pytest.fixture(scope="session")
def spelled() -> Callable[[str, str], Any]:
    """`spelled(exporter, name)`: the graph of one spelling as that exporter writes it, simplified."""
    whole: dict[str, Any] = {}
    single: dict[tuple[str, str], Any] = {}

    def graph(exporter: str, name: str) -> Any:
        if exporter not in whole:
            with torch.random.fork_rng():
                torch.manual_seed(7)
                zoo = spellings.shaken(spellings.Zoo())
            made = {"torchscript": TorchScriptExporter, "dynamo": DynamoExporter}[exporter]()
            # torch's own module has a shortcut for evaluation, of which the older exporter knows nothing.
            shortcut = torch.backends.mha.get_fastpath_enabled()
            torch.backends.mha.set_fastpath_enabled(False)
            try:
                model = made.export(
                    zoo,
                    {"x": torch.rand(1, spellings.C, spellings.SIDE, spellings.SIDE)},
                    tuple(spellings.SPELLINGS),
                    dynamic_batch=False,
                )
            finally:
                torch.backends.mha.set_fastpath_enabled(shortcut)
            model.ir_version = 9
            whole[exporter] = onnx.shape_inference.infer_shapes(model, data_prop=True)
        if (exporter, name) not in single:
            model = onnx.utils.Extractor(whole[exporter]).extract_model(["x"], [name])
            single[exporter, name], _ = onnxsim.simplify(model, check_n=0)
        return single[exporter, name]

    return graph


def check_same(before: Any, after: Any) -> None:
    """Both give the same, in onnxruntime with optimisations off; and the latter is no larger."""
    onnx.checker.check_model(after, full_check=True)
    assert len(after.graph.node) <= len(before.graph.node)
    graphs = literal_graph(before), literal_graph(after)
    for seed in range(3):
        feeds = {"x": np.random.default_rng(seed).standard_normal((1, 8, 6, 6)).astype(np.float32) * 2}
        (expected,), (found,) = (graph.run(feeds).values() for graph in graphs)
        # Sums of some hundred terms in float32: 1e-6 of the largest, times what the layers behind make of it.
        assert relative_error(found, expected) <= 2e-5


def check_form(graph: Any) -> None:
    """Softmax of the product of a scaled Q and of K, with a mask in between at most."""
    made = {output: node for node in graph.node if node.op_type != "Constant" for output in node.output}
    softmax = next(node for node in graph.node if node.op_type == "Softmax")
    node = made[softmax.input[0]]
    while node.op_type != "MatMul":  # a mask may stand in between, and nothing that scales
        assert node.op_type in ("Add", "Where")
        node = next(made[name] for name in node.input if name in made)
    query = made[node.input[0]]
    while query.op_type in ("Transpose", "Reshape"):
        query = made[query.input[0]]
    assert query.op_type == "Mul"
    factor = next(tensor for tensor in graph.initializer if tensor.name in query.input)
    assert onnx.numpy_helper.to_array(factor) == pytest.approx(0.5)


def test_the_tables_are_of_all_spellings() -> None:
    assert {*FOUND, *NEAR, "plain"} == set(spellings.SPELLINGS)


@BOTH
@pytest.mark.parametrize("name", FOUND)
def test_a_spelling_is_found_and_computes_the_same(name: str, exporter: str, spelled: Spelled) -> None:
    model = spelled(exporter, name)
    fused = fuse_attention(model)
    kind, form = FOUND[name]
    assert [(each.kind, each.form) for each in fused.report.found] == [(kind, form)]
    assert fused.report.near == ()
    assert name in fused.report.found[0].name
    assert recognise(model).counts == {kind: 1}
    check_same(model, fused.model)
    ours = [node.op_type for node in fused.model.graph.node if node.domain == "edgefer"]
    assert ours == ([] if kind == "attention" else [kind])
    assert [function.name for function in fused.model.functions] == ours
    if form == "scaled on Q":
        assert fused.model is model
        assert not fused.changed
    else:
        assert fused.changed
    if form == "scale moved to Q":
        check_form(fused.model.graph)


@BOTH
@pytest.mark.parametrize("name", NEAR)
def test_what_is_nearly_a_block_is_listed_and_stays(name: str, exporter: str, spelled: Spelled) -> None:
    model = spelled(exporter, name)
    fused = fuse_attention(model)
    assert fused.report.found == ()
    assert fused.model is model
    assert len(fused.report.near) == len(NEAR[name]), fused.report.near
    for near, (kind, reason) in zip(fused.report.near, NEAR[name], strict=True):
        assert near.kind == kind
        assert near.reason.startswith(reason)
        assert name in near.name


@BOTH
def test_in_a_plain_network_there_is_nothing(exporter: str, spelled: Spelled) -> None:
    model = spelled(exporter, "plain")
    fused = fuse_attention(model)
    assert fused.report.sentences() == ()
    assert fused.model is model
