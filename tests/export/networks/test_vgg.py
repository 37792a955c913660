"""VGG trunks: published sizes, torchvision's names, and where the maps end."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402

from edgefer_export.networks.vgg import VggDepth, VggTrunk  # noqa: E402

# Places of the convolutions in `features` of torchvision's vgg11, vgg13 and vgg16.
PLACES = {
    11: (0, 3, 6, 8, 11, 13, 16, 18),
    13: (0, 2, 5, 7, 10, 12, 15, 17, 20, 22),
    16: (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
}


@pytest.mark.parametrize(("depth", "parameters"), [(11, 9_220_480), (13, 9_404_992), (16, 14_714_688)])
def test_counts_and_names_are_those_of_the_convolutional_part(depth: VggDepth, parameters: int) -> None:
    with torch.device("meta"):
        trunk = VggTrunk(depth=depth)
    assert sum(parameter.numel() for parameter in trunk.parameters()) == parameters
    expected = [f"features.{place}.{kind}" for place in PLACES[depth] for kind in ("weight", "bias")]
    assert list(trunk.state_dict()) == expected


@pytest.mark.parametrize(("depth", "size", "side"), [(11, 224, 7), (13, 224, 7), (16, 70, 2)])
def test_maps_end_at_a_thirty_second_of_the_side(depth: VggDepth, size: int, side: int) -> None:
    with torch.device("meta"):
        trunk = VggTrunk(depth=depth)
        assert trunk(torch.zeros(2, 3, size, size)).shape == (2, 512, side, side)
    assert trunk.out_channels == 512


def test_narrow_trunks_keep_multiples_of_eight() -> None:
    trunk = VggTrunk(1, 0.1, depth=11)
    assert trunk.features[0].weight.shape == (8, 1, 3, 3)
    assert trunk.out_channels == 48


def test_each_convolution_is_followed_by_relu_and_each_stage_by_a_maximum() -> None:
    torch.manual_seed(0)
    trunk = VggTrunk(3, 0.125, depth=11).double()
    x = expected = torch.rand(1, 3, 32, 32, dtype=torch.float64)
    for place in PLACES[11]:
        layer = trunk.features[place]
        torch.nn.init.normal_(layer.bias)
        expected = F.conv2d(expected, layer.weight, layer.bias, padding=1).clamp(min=0)
        if place in (0, 3, 8, 13, 18):
            expected = F.max_pool2d(expected, 2, 2)
    torch.testing.assert_close(trunk(x), expected)
