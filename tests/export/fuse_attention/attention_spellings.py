"""Attention as others write it: one module a spelling, in the styles that are about."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

C, SIDE, TOKENS = 8, 6, 5


class SqueezeLinear(nn.Module):
    """Fully connected, sizes from the tensor, the gate expanded by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(nn.Linear(C, 2, bias=False), nn.ReLU(), nn.Linear(2, C, bias=False), nn.Sigmoid())

    def forward(self, x: Any) -> Any:
        n, c, _, _ = x.size()
        return x * self.fc(self.pool(x).view(n, c)).view(n, c, 1, 1).expand_as(x)


class SqueezeConvolution(nn.Module):
    """Convolutions of 1 x 1, the gate on the left."""

    def __init__(self, gate: nn.Module | None = None, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(C, 4, 1), nn.Conv2d(4, C, 1)
        self.activation, self.gate = activation or nn.ReLU(inplace=True), gate or nn.Sigmoid()

    def forward(self, x: Any) -> Any:
        pooled = F.adaptive_avg_pool2d(x, 1)
        return self.gate(self.expand(self.activation(self.reduce(pooled)))) * x


class SqueezeMobile(nn.Module):
    """A hard sigmoid by hand: relu6(x + 3) / 6."""

    def __init__(self, divide: bool) -> None:
        super().__init__()
        self.fc1, self.fc2, self.divide = nn.Linear(C, 3), nn.Linear(3, C), divide

    def forward(self, x: Any) -> Any:
        gate = F.relu6(self.fc2(F.relu(self.fc1(x.mean([2, 3])))) + 3.0)
        gate = gate / 6.0 if self.divide else gate * (1.0 / 6.0)
        return x * gate[:, :, None, None]


class SqueezeFlat(nn.Module):
    """Positions laid in one axis, and pooled there."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(C, 2), nn.Linear(2, C)

    def forward(self, x: Any) -> Any:
        gate = torch.sigmoid(self.fc2(torch.relu(self.fc1(x.flatten(2).mean(-1)))))
        return x * gate.unsqueeze(-1).unsqueeze(-1)


class SqueezeWindow(nn.Module):
    """A pooling whose window is the map, and batch norms."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(C, 4, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
            *(nn.Conv2d(4, C, 1, bias=False), nn.BatchNorm2d(C), nn.Sigmoid()),
        )

    def forward(self, x: Any) -> Any:
        return x * self.body(F.avg_pool2d(x, x.shape[2:]))


class SqueezeMatrix(nn.Module):
    """Bare matrices, the mean of a mean, and a residual around it all."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Parameter(torch.randn(C, 2)), nn.Parameter(torch.randn(2, C))
        self.shift = nn.Parameter(torch.randn(C))

    def forward(self, x: Any) -> Any:
        hidden = torch.relu(x.mean(3).mean(2) @ self.down)
        return x + x * torch.sigmoid(hidden @ self.up + self.shift).view(-1, C, 1, 1)


class Spatial(nn.Module):
    def __init__(self, kernel: int, *, bias: bool = False, norm: bool = False, mean_first: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=bias)
        self.norm = nn.BatchNorm2d(1) if norm else nn.Identity()
        self.mean_first = mean_first

    def forward(self, x: Any) -> Any:
        pair = [torch.max(x, 1, keepdim=True)[0], torch.mean(x, 1, keepdim=True)]
        return torch.sigmoid(self.norm(self.conv(torch.cat(pair[::-1] if self.mean_first else pair, 1))))


class CbamFunctional(nn.Module):
    """Pools with windows made at run time, a loop over them, gates expanded, channels stacked by unsqueeze."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Flatten(), nn.Linear(C, 2), nn.ReLU(), nn.Linear(2, C))
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.bn = nn.BatchNorm2d(1)

    def forward(self, x: Any) -> Any:
        total = None
        for pool in (F.avg_pool2d, F.max_pool2d):
            raw = self.mlp(pool(x, (x.size(2), x.size(3)), stride=(x.size(2), x.size(3))))
            total = raw if total is None else total + raw
        x = x * torch.sigmoid(total).unsqueeze(2).unsqueeze(3).expand_as(x)
        pair = torch.cat((torch.max(x, 1)[0].unsqueeze(1), torch.mean(x, 1).unsqueeze(1)), dim=1)
        return x * torch.sigmoid(self.bn(self.conv(pair)))


class CbamConvolution(nn.Module):
    """Shared convolutions without biases; mean before maximum."""

    def __init__(self, spatial: nn.Module | None = None) -> None:
        super().__init__()
        self.shared = nn.Sequential(nn.Conv2d(C, 2, 1, bias=False), nn.ReLU(), nn.Conv2d(2, C, 1, bias=False))
        self.spatial = spatial or Spatial(7, mean_first=True)

    def forward(self, x: Any) -> Any:
        a, m = self.shared(F.adaptive_avg_pool2d(x, 1)), self.shared(F.adaptive_max_pool2d(x, 1))
        y = torch.sigmoid(a + m) * x
        return self.spatial(y) * y


class CbamSummed(nn.Module):
    """The hidden vectors are summed before the second layer, so that its bias counts once."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.spatial = nn.Linear(C, 4), nn.Linear(4, C), Spatial(5, bias=True, norm=True)

    def forward(self, x: Any) -> Any:
        hidden = F.relu(self.fc1(x.mean((2, 3)))) + F.relu(self.fc1(torch.amax(x, (2, 3))))
        x = x * torch.sigmoid(self.fc2(hidden))[..., None, None]
        return x * self.spatial(x)


class CbamBlock(nn.Module):
    """A residual block around it, with the addition and the ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(C, C, 3, padding=1, bias=False), nn.BatchNorm2d(C)
        self.attention = CbamConvolution(Spatial(3, norm=True))

    def forward(self, x: Any) -> Any:
        return F.relu(x + self.attention(self.norm(self.conv(x))))


class Efficient(nn.Module):
    """ECA: a convolution over neighbouring channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x: Any) -> Any:
        y = F.adaptive_avg_pool2d(x, 1).squeeze(-1).transpose(-1, -2)
        return x * torch.sigmoid(self.conv(y).transpose(-1, -2).unsqueeze(-1))


class ChannelHalf(nn.Module):
    """CBAM without its spatial gate."""

    def __init__(self, poolings: tuple[Callable[..., Any], ...]) -> None:
        super().__init__()
        self.shared = nn.Sequential(nn.Conv2d(C, 2, 1), nn.ReLU(), nn.Conv2d(2, C, 1))
        self.poolings = poolings

    def forward(self, x: Any) -> Any:
        return x * torch.sigmoid(sum(self.shared(pool(x, 1)) for pool in self.poolings))


class SpatialHalf(nn.Module):
    """CBAM without its channel gate, or with a kernel that no node has."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial = Spatial(7)

    def forward(self, x: Any) -> Any:
        return x * self.spatial(x)


class Parallel(nn.Module):
    """Both gates from the same maps, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.spatial = nn.Sequential(nn.Conv2d(C, 2, 1), nn.ReLU(), nn.Conv2d(2, C, 1)), Spatial(7)

    def forward(self, x: Any) -> Any:
        gate = self.shared(F.adaptive_avg_pool2d(x, 1)) + self.shared(F.adaptive_max_pool2d(x, 1))
        return x * torch.sigmoid(gate) * self.spatial(x)


class Peeked(nn.Module):
    """A block whose gate somebody else reads, too."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(C, 2), nn.Linear(2, C)

    def forward(self, x: Any) -> Any:
        gate = torch.sigmoid(self.fc2(torch.relu(self.fc1(x.mean((2, 3))))))
        return x * gate[:, :, None, None] + gate.sum()


class Plain(nn.Module):
    """What has sums, poolings, Swish and hard Swish, and no attention."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(C, C, 3, padding=1), nn.Conv2d(C, C, 3, padding=1, groups=C)
        self.norm, self.head = nn.BatchNorm2d(C), nn.Linear(C, 4)

    def forward(self, x: Any) -> Any:
        y = F.relu(x + self.norm(self.a(x)))
        y = F.silu(self.b(y)) + F.hardswish(self.a(y)) + F.max_pool2d(y, 3, 1, 1)
        return F.softmax(self.head(y.mean((2, 3))), 1)


class Heads(nn.Module):
    """Scaled dot-product attention of two heads; `score` writes the middle."""

    def __init__(self, score: Callable[[Any, Any, Any], Any]) -> None:
        super().__init__()
        self.qkv, self.out, self.score = nn.Linear(C, 3 * C), nn.Linear(C, C), score

    def forward(self, x: Any) -> Any:
        tokens = x.flatten(2).transpose(1, 2)[:, :TOKENS]
        q, k, v = self.qkv(tokens).reshape(-1, TOKENS, 3, 2, C // 2).permute(2, 0, 3, 1, 4)
        return self.out(self.score(q, k, v).transpose(1, 2).reshape(-1, TOKENS, C))


class Torchs(nn.Module):
    """torch's own module."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(C, 2, batch_first=True)

    def forward(self, x: Any) -> Any:
        tokens = x.flatten(2).transpose(1, 2)[:, :TOKENS]
        return self.attention(tokens, tokens, tokens, need_weights=True)[0]


def divided(q: Any, k: Any, v: Any) -> Any:
    return torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]), -1) @ v


def times_and_mask(q: Any, k: Any, v: Any) -> Any:
    scores = torch.matmul(q, k.permute(0, 1, 3, 2)) * 0.5 + torch.linspace(-1, 1, TOKENS)
    return torch.matmul(scores.softmax(dim=-1), v)


def on_key(q: Any, k: Any, v: Any) -> Any:
    return ((q @ (k * 0.5).transpose(-1, -2)).softmax(-1)) @ v


def on_query(q: Any, k: Any, v: Any) -> Any:
    return ((q * 0.5) @ k.transpose(-1, -2)).softmax(-1) @ v


def filled(q: Any, k: Any, v: Any) -> Any:
    scores = (q @ k.transpose(-1, -2)) / 2.0
    return scores.masked_fill(torch.ones(TOKENS, TOKENS).triu(1).bool(), float("-inf")).softmax(-1) @ v


def behind_mask(q: Any, k: Any, v: Any) -> Any:
    return ((q @ k.transpose(-1, -2) + torch.linspace(-1, 1, TOKENS)) / 2.0).softmax(-1) @ v


def einsum(q: Any, k: Any, v: Any) -> Any:
    return torch.einsum("bhqk,bhkd->bhqd", (torch.einsum("bhqd,bhkd->bhqk", q, k) * 0.5).softmax(-1), v)


SPELLINGS: dict[str, Callable[[], nn.Module]] = {
    "se_linear": SqueezeLinear,
    "se_convolution": SqueezeConvolution,
    "se_hard": lambda: SqueezeConvolution(nn.Hardsigmoid()),
    "se_relu6_divided": lambda: SqueezeMobile(True),
    "se_relu6_times": lambda: SqueezeMobile(False),
    "se_flat": SqueezeFlat,
    "se_window_norms": SqueezeWindow,
    "se_matrix_residual": SqueezeMatrix,
    "cbam_functional": CbamFunctional,
    "cbam_convolution": CbamConvolution,
    "cbam_summed": CbamSummed,
    "cbam_block": CbamBlock,
    "eca": Efficient,
    "se_swish": lambda: SqueezeConvolution(activation=nn.SiLU()),
    "se_softmax": lambda: SqueezeConvolution(gate=nn.Softmax(1)),
    "channel_half": lambda: ChannelHalf((F.adaptive_avg_pool2d, F.adaptive_max_pool2d)),
    "channel_maximum": lambda: ChannelHalf((F.adaptive_max_pool2d,)),
    "spatial_half": SpatialHalf,
    "cbam_large": lambda: CbamConvolution(Spatial(9)),
    "parallel": Parallel,
    "peeked": Peeked,
    "plain": Plain,
    "heads_divided": lambda: Heads(divided),
    "heads_times_and_mask": lambda: Heads(times_and_mask),
    "heads_on_key": lambda: Heads(on_key),
    "heads_on_query": lambda: Heads(on_query),
    "heads_filled": lambda: Heads(filled),
    "heads_torch_function": lambda: Heads(F.scaled_dot_product_attention),
    "heads_torch_module": Torchs,
    "heads_behind_mask": lambda: Heads(behind_mask),
    "heads_einsum": lambda: Heads(einsum),
}


class Zoo(nn.Module):
    """All spellings on one input, each with an output of its name."""

    def __init__(self) -> None:
        super().__init__()
        self.all = nn.ModuleDict({name: make() for name, make in SPELLINGS.items()})

    def forward(self, x: Any) -> dict[str, Any]:
        return {name: module(x) for name, module in self.all.items()}


def shaken(module: nn.Module) -> nn.Module:
    """In evaluation mode, with batch norms that do something."""
    for each in module.modules():
        if isinstance(each, nn.BatchNorm2d):
            for tensor in (each.running_mean, each.bias):
                tensor.data.normal_()
            for tensor in (each.running_var, each.weight):
                tensor.data.uniform_(0.5, 2.0)
    return module.eval()
