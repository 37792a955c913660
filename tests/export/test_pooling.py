"""Pooling without a gate is the gated pool with its gate wide open."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.networks.attention import GatedFusion, GatedPool  # noqa: E402
from edgefer_export.networks.pooling import MeanFusion, MeanPool  # noqa: E402
from edgefer_export.onnx_export import export_onnx  # noqa: E402
from edgefer_export.operators import operator_counts  # noqa: E402

_OPEN = 50.0
"""A bias of which the sigmoid is 1 to the last bit."""


def opened(module):
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.fill_(_OPEN if name.endswith("bias") else 0.0)
    return module.double()


def test_one_camera() -> None:
    features = torch.randn(3, 8, 5, 4, dtype=torch.float64)
    assert torch.equal(MeanPool()(features), opened(GatedPool(8, square=True))(features))


@pytest.mark.parametrize("interleave", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_two_cameras(interleave: bool, masked: bool) -> None:
    visible, infrared = torch.randn(2, 3, 8, 5, 4, dtype=torch.float64)
    present = torch.tensor([[1, 1], [0, 1], [1, 0]], dtype=torch.float64) if masked else None
    gated = opened(GatedFusion(8, square=False, interleave=interleave))
    assert torch.equal(MeanFusion(interleave=interleave)(visible, infrared, present), gated(visible, infrared, present))


@pytest.mark.parametrize("name", ["viri-visible", "viri-infrared", "viri-fusion"])
def test_networks_without_a_gate(name: str) -> None:
    options = {"width": "0.125", "size": "32", "gate": "none"}
    plain, gated = registry.create(name, options), registry.create(name, options | {"gate": "square"})
    towers = 2 if name == "viri-fusion" else 1
    assert gated.parameters - plain.parameters == towers * (64 * 64 + 64)
    assert not operator_counts(export_onnx(plain).model)
