"""Each block against its definition, written out in NumPy in double precision.

The sums are over a few hundred products of values around one, whose rounding in double precision stays below 1e-13; a
tolerance of 1e-11 is far above that and far below any slip in a formula.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from edgefer_export.networks.attention import CbamAttention  # noqa: E402
from edgefer_export.networks.blocks.aff import AttentionalFusion, MultiScaleAttention  # noqa: E402
from edgefer_export.networks.blocks.bam import BottleneckAttention  # noqa: E402
from edgefer_export.networks.blocks.channel_gate import ChannelGate, Gate  # noqa: E402
from edgefer_export.networks.blocks.efficient import EfficientChannelAttention  # noqa: E402
from edgefer_export.networks.blocks.residual import FusedAddition, GatedAddition  # noqa: E402

Array = npt.NDArray[np.float64]

N, C, H, W = 2, 12, 6, 7
TOLERANCE = 1e-11


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def array(tensor: torch.Tensor | None) -> Array:
    return np.zeros(()) if tensor is None else np.asarray(tensor.detach().numpy(), np.float64)


def convolved(x: Array, layer: nn.Module) -> Array:
    """`layer`, an nn.Conv2d of stride 1, applied to (N, C, H, W) position by position."""
    assert isinstance(layer, nn.Conv2d)
    weight = array(layer.weight)
    down, across = layer.dilation
    top, left = layer.padding
    padded = np.pad(x, ((0, 0), (0, 0), (top, top), (left, left)))
    result = np.zeros((x.shape[0], weight.shape[0], *x.shape[2:]))
    for row in range(x.shape[2]):
        for column in range(x.shape[3]):
            for i in range(weight.shape[2]):
                for j in range(weight.shape[3]):
                    values = padded[:, :, row + i * down, column + j * across]
                    result[:, :, row, column] += values @ weight[:, :, i, j].T
    return result + (array(layer.bias)[None, :, None, None] if layer.bias is not None else 0)


def normalised(x: Array, layer: nn.Module) -> Array:
    """`layer`, an nn.BatchNorm2d, with its running statistics."""
    assert isinstance(layer, nn.BatchNorm2d)
    mean, variance, scale, shift = (
        array(each)[None, :, None, None] for each in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
    )
    return (x - mean) / np.sqrt(variance + layer.eps) * scale + shift


def through(x: Array, layers: nn.Sequential) -> Array:
    """A sequence of convolutions, batch norms and ReLUs."""
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            x = convolved(x, layer)
        elif isinstance(layer, nn.BatchNorm2d):
            x = normalised(x, layer)
        else:
            assert isinstance(layer, nn.ReLU)
            x = relu(x)
    return x


def prepared(module: nn.Module) -> nn.Module:
    """In double precision and eval mode, with every weight and statistic away from its first value."""
    generator = torch.Generator().manual_seed(5)
    for name, tensor in module.double().state_dict().items():
        if tensor.is_floating_point():
            values = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
            tensor.copy_(0.5 + values.abs() if name.endswith("running_var") else 0.6 * values)
    return module.eval()


@pytest.fixture(params=[1, 2])
def x(request: pytest.FixtureRequest) -> Array:
    return np.random.default_rng(request.param).normal(0, 1.5, (N, C, H, W))


def answer(module: nn.Module, *given: Array) -> Array:
    return array(module(*(torch.from_numpy(each.copy()) for each in given)))


def close(found: Array, expected: Array) -> bool:
    assert found.shape == expected.shape
    return bool(np.abs(found - expected).max() <= TOLERANCE * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("gate", ["sigmoid", "hard_sigmoid"])
def test_squeeze_and_excite(x: Array, gate: Gate, bias: bool) -> None:
    block = prepared(ChannelGate(C, reduction=3, gate=gate, bias=bias))
    assert isinstance(block, ChannelGate)
    hidden = relu(x.mean((2, 3)) @ array(block.squeeze.weight).T + array(block.squeeze.bias))
    score = 40 * (hidden @ array(block.expand.weight).T + array(block.expand.bias))
    block.expand.weight.data *= 40  # so that the hard sigmoid meets both of its ends
    if bias:
        block.expand.bias.data *= 40
    values = sigmoid(score) if gate == "sigmoid" else np.clip(score / 6 + 0.5, 0, 1)
    if gate == "hard_sigmoid":
        assert {0.0, 1.0} <= set(values.ravel())
    assert block.squeeze.weight.shape == (4, C)
    assert close(answer(block, x), x * values[:, :, None, None])


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_neighbouring_channels(x: Array, kernel: int) -> None:
    block = prepared(EfficientChannelAttention(C, kernel=kernel))
    assert isinstance(block, EfficientChannelAttention)
    weight = array(block.conv.weight).ravel()
    means = np.pad(x.mean((2, 3)), ((0, 0), (kernel // 2, kernel // 2)))
    score = np.stack([means[:, c : c + kernel] @ weight for c in range(C)], axis=1)
    assert close(answer(block, x), x * sigmoid(score)[:, :, None, None])
    # Conv1d over (N, 1, C), which the weight comes from.
    line = nn.functional.conv1d(
        torch.from_numpy(x.mean((2, 3)))[:, None], block.conv.weight[:, :, 0], None, 1, kernel // 2
    )
    assert close(array(line)[:, 0], score)


def test_bottleneck_attention(x: Array) -> None:
    block = prepared(BottleneckAttention(C, reduction=4))
    assert isinstance(block, BottleneckAttention)
    dilations = [layer.dilation for layer in block.spatial if isinstance(layer, nn.Conv2d)]
    assert dilations == [(1, 1), (4, 4), (4, 4), (1, 1)]
    channel = through(x.mean((2, 3), keepdims=True), block.channel)
    spatial = through(x, block.spatial)
    assert (channel.shape, spatial.shape) == ((N, C, 1, 1), (N, 1, H, W))
    assert close(answer(block, x), x * (1 + sigmoid(channel * spatial)))


def multi_scale(x: Array, gate: nn.Module) -> Array:
    return sigmoid(through(x, gate.local) + through(x.mean((2, 3), keepdims=True), gate.whole))


def test_multi_scale_attention(x: Array) -> None:
    block = prepared(MultiScaleAttention(C))
    assert close(answer(block, x), x * multi_scale(x, block.gate))


def test_attentional_fusion(x: Array) -> None:
    block = prepared(AttentionalFusion(C))
    y = np.random.default_rng(9).normal(0.3, 1, x.shape)
    weight = multi_scale(x + y, block.gate)
    assert close(answer(block, x, y), 2 * x * weight + 2 * y * (1 - weight))
    nn.init.zeros_(block.gate.local[-1].weight)
    nn.init.zeros_(block.gate.whole[-1].weight)
    nn.init.zeros_(block.gate.local[-1].bias)
    nn.init.zeros_(block.gate.whole[-1].bias)
    assert close(answer(block, x, y), x + y)


def cbam(x: Array, block: CbamAttention) -> Array:
    def mlp(vector: Array) -> Array:
        hidden = relu(vector @ array(block.squeeze.weight).T + array(block.squeeze.bias))
        return hidden @ array(block.expand.weight).T + array(block.expand.bias)

    x = x * sigmoid(mlp(x.mean((2, 3))) + mlp(x.max((2, 3))))[:, :, None, None]
    planes = np.stack((x.max(1), x.mean(1)), 1)
    return x * sigmoid(normalised(convolved(planes, block.spatial), block.bn))


def test_cbam_with_and_without_the_end_of_a_residual_block(x: Array) -> None:
    block = prepared(CbamAttention(C, reduction=3))
    assert isinstance(block, CbamAttention)
    residual = np.random.default_rng(9).normal(0, 1, x.shape)
    assert close(answer(block, x), cbam(x, block))
    assert close(answer(block, x, residual), relu(cbam(x, block) + residual))


def test_the_released_start_of_cbam_halves_everywhere(x: Array) -> None:
    torch.manual_seed(0)
    block = CbamAttention(C, released_start=True).double().eval()
    assert block.bn.momentum == 0.01
    mlp = (block.squeeze.weight, block.squeeze.bias, block.expand.weight, block.expand.bias)
    with torch.no_grad():
        block.bn.running_mean.fill_(3.0)  # whatever the statistics are
        vectors = [torch.from_numpy(each) for each in (x.mean((2, 3)), x.max((2, 3)))]
        scores = sum(nn.functional.linear(nn.functional.linear(v, *mlp[:2]).relu(), *mlp[2:]) for v in vectors)
    assert close(answer(block, x), x * sigmoid(array(scores))[:, :, None, None] / 2)
    plain = CbamAttention(C)
    assert (plain.bn.momentum, plain.bn.weight.item()) == (0.1, 1.0)


@pytest.mark.parametrize("make", [ChannelGate, EfficientChannelAttention, MultiScaleAttention])
def test_a_gate_takes_the_end_of_a_residual_block(x: Array, make: Callable[[int], nn.Module]) -> None:
    block = prepared(GatedAddition(make(C)))
    residual = np.random.default_rng(9).normal(0, 1, x.shape)
    assert close(answer(block, x, residual), relu(answer(block.gate, x) + residual))


def test_a_fusion_takes_the_place_of_the_addition(x: Array) -> None:
    block = prepared(FusedAddition(AttentionalFusion(C)))
    residual = np.random.default_rng(9).normal(0, 1, x.shape)
    assert close(answer(block, x, residual), relu(answer(block.fusion, x, residual)))


@pytest.mark.parametrize("make", [ChannelGate, EfficientChannelAttention, BottleneckAttention, MultiScaleAttention])
def test_every_weight_learns(make: Callable[[int], nn.Module]) -> None:
    torch.manual_seed(2)
    block = make(32)
    block(torch.randn(4, 32, 6, 6)).square().mean().backward()
    # The biases are left out: batch norm takes out again what one in front of it adds.
    gradients = {name: p.grad for name, p in block.named_parameters() if name.endswith("weight")}
    assert {name: bool((gradient != 0).any()) for name, gradient in gradients.items()} == dict.fromkeys(gradients, True)
