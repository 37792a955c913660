"""The registered networks, exported and quantised: attention operators stay whole, logits stay close."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from edgefer.progress import Silent  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.onnx_export import export_onnx  # noqa: E402
from edgefer_export.operators import operator_counts  # noqa: E402
from edgefer_export.quantise import METHODS, QuantisedGraph, QuantiseSpec, quantise  # noqa: E402

SIZE = 64
NETWORKS = ("viri-fusion", "cbam-early-fusion")


@pytest.fixture(scope="module", params=NETWORKS)
def exported(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(3)
    options = {"width": "0.25", "size": str(SIZE), "classes": "5"}
    return export_onnx(registry.create(request.param, options)).model


@pytest.fixture(scope="module")
def feeds(exported: Any, smooth: Any) -> list[dict[str, np.ndarray]]:
    channels = {value.name: value.type.tensor_type.shape.dim[1].dim_value for value in exported.graph.input}
    rng = np.random.default_rng(5)
    pairs = smooth(rng, 32, SIZE)
    return [{name: pair[name][:, :count] for name, count in channels.items()} for pair in pairs]


def quantised(model: Any, feeds: list[dict[str, np.ndarray]], **fields: Any) -> QuantisedGraph:
    return quantise(model, lambda: iter(feeds[:24]), QuantiseSpec(**fields), Silent())


@pytest.mark.parametrize("method", METHODS)
def test_logits_stay_close(
    exported: Any, feeds: list[dict[str, np.ndarray]], run: Callable[..., list[np.ndarray]], method: str
) -> None:
    model = quantised(exported, feeds, method=method).model
    reference = np.concatenate([run(exported, feed, ["logits"])[0] for feed in feeds[24:]]).astype(np.float64)
    found = np.concatenate([run(model, feed, ["logits"])[0] for feed in feeds[24:]]).astype(np.float64)
    cosine = (reference * found).sum() / np.linalg.norm(reference) / np.linalg.norm(found)
    assert 0.999 < cosine < 1


def test_attention_stays_whole(exported: Any, feeds: list[dict[str, np.ndarray]]) -> None:
    result = quantised(exported, feeds)
    assert operator_counts(result.model) == operator_counts(exported)
    before = sorted(function.SerializeToString(deterministic=True) for function in exported.functions)
    assert sorted(function.SerializeToString(deterministic=True) for function in result.model.functions) == before
    inputs = {node.name: list(node.input) for node in exported.graph.node if node.domain == "edgefer"}
    assert inputs
    assert {node.name: list(node.input) for node in result.model.graph.node if node.domain == "edgefer"} == inputs
    convolutions = [node.name for node in exported.graph.node if node.op_type == "Conv"]
    assert set(convolutions) <= set(result.quantised)
