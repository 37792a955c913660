"""The form of networks as they are built: exported, quantised, and answered by both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from edgefer.progress import Silent  # noqa: E402
from edgefer.runtime.cpu_form.derive import derive  # noqa: E402
from edgefer_export.half import to_half  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.onnx_export import export_onnx  # noqa: E402
from edgefer_export.quantise import QuantiseSpec, quantise  # noqa: E402

SIZE = 32
NETWORKS = ("viri-fusion", "cbam-early-fusion")


@pytest.fixture(scope="module", params=NETWORKS)
def quantised(request: pytest.FixtureRequest) -> Any:
    """The network of a quarter of the width with random weights, in INT8."""
    torch.manual_seed(3)
    model = export_onnx(registry.create(request.param, {"width": "0.25", "size": str(SIZE), "classes": "5"})).model
    samples = images(model, 16, seed=1)
    return quantise(model, lambda: iter(samples), QuantiseSpec(), Silent()).model


def images(model: Any, count: int, seed: int) -> list[dict[str, np.ndarray]]:
    """Smooth images in 0..1 for every input of the model."""
    random = np.random.default_rng(seed)
    feeds = []
    for _ in range(count):
        feed = {}
        for value in model.graph.input:
            shape = [axis.dim_value for axis in value.type.tensor_type.shape.dim]
            coarse = random.random((*shape[:2], 4, 4), np.float32)
            feed[value.name] = coarse.repeat(SIZE // 4, axis=2).repeat(SIZE // 4, axis=3)
        feeds.append(feed)
    return feeds


def answers(run: Callable[..., Any], model: bytes, feeds: list[dict[str, np.ndarray]], *, literal: bool) -> np.ndarray:
    return np.concatenate([run(model, feed, literal=literal)[0] for feed in feeds])


def test_zero_point_128_is_bit_equal_on_networks(quantised: Any, run: Callable[..., Any]) -> None:
    deployed = quantised.SerializeToString()
    feeds = images(quantised, 4, seed=2)
    expected = answers(run, deployed, feeds, literal=True)
    found = answers(run, derive(deployed, "zero_point_128").onnx, feeds, literal=True)
    np.testing.assert_array_equal(found.view(np.int32), expected.view(np.int32))


def test_the_fast_form_answers_as_the_deployed_graph(
    quantised: Any, run: Callable[..., Any], counts: Callable[[bytes], dict[str, int]]
) -> None:
    deployed = quantised.SerializeToString()
    derived = derive(deployed)
    # The stem of each camera, or of both together, has three or four channels.
    towers = 2 if derived.quantised_layers > 30 else 1
    assert derived.integer_layers == derived.quantised_layers - towers
    assert counts(derived.onnx).get("CbamAttention") is None
    feeds = images(quantised, 24, seed=2)
    expected = answers(run, deployed, feeds, literal=True)
    found = answers(run, derived.onnx, feeds, literal=False)
    spread = expected.std()
    assert np.sqrt(np.mean((found - expected) ** 2)) <= 0.05 * spread
    assert np.mean(found.argmax(1) == expected.argmax(1)) >= 0.95


def test_int8_and_fp16_together_answer_as_the_deployed_graph(quantised: Any, run: Callable[..., Any]) -> None:
    deployed = to_half(quantised).model.SerializeToString()
    derived = derive(deployed)
    assert derived.integer_layers >= 20
    feeds = images(quantised, 24, seed=2)
    expected = answers(run, deployed, feeds, literal=True)
    found = answers(run, derived.onnx, feeds, literal=False)
    assert np.sqrt(np.mean((found - expected) ** 2)) <= 0.2 * expected.std()
