"""The attention operators as autograd functions: `compute` in torch, `symbolic` for the TorchScript exporter.

Arguments stand in the order of the operator's inputs, then its attributes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from edgefer_export.operators import DOMAIN, PLUGIN_VERSION


def run(operator: Any, *arguments: Any) -> torch.Tensor:
    """The operator as one node while torch exports to ONNX, and by `compute` otherwise."""
    exporting = torch.onnx.is_in_onnx_export()
    result: torch.Tensor = operator.apply(*arguments) if exporting else operator.compute(*arguments)
    return result


class GatedPoolOp(torch.autograd.Function):
    """`edgefer::GatedPool`: F (N, C, H, W), W (C, C), b (C) to (N, C)."""

    @staticmethod
    def compute(features: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, square: bool) -> torch.Tensor:
        pooled = features.mean(dim=(2, 3))
        return pooled * torch.sigmoid(F.linear(pooled * pooled if square else pooled, weight, bias))

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> torch.Tensor:
        return GatedPoolOp.compute(*arguments)

    @staticmethod
    def symbolic(g: Any, features: Any, weight: Any, bias: Any, square: bool) -> Any:
        node = _node(g, "GatedPool", (features, weight, bias), square_i=int(square))
        return _with_shape(node, features, 1, weight)


class GatedFusionOp(torch.autograd.Function):
    """`edgefer::GatedFusion`: Fv, Fi (N, C, H, W), Wv, bv, Wi, bi, P? (N, 2) to (N, 2C)."""

    @staticmethod
    def compute(
        visible: torch.Tensor,
        infrared: torch.Tensor,
        weight_visible: torch.Tensor,
        bias_visible: torch.Tensor,
        weight_infrared: torch.Tensor,
        bias_infrared: torch.Tensor,
        present: torch.Tensor | None,
        square_visible: bool,
        square_infrared: bool,
        interleave: bool,
    ) -> torch.Tensor:
        v = GatedPoolOp.compute(visible, weight_visible, bias_visible, square_visible)
        i = GatedPoolOp.compute(infrared, weight_infrared, bias_infrared, square_infrared)
        if present is not None:
            v, i = v * present[:, 0:1], i * present[:, 1:2]
        return torch.stack((v, i), dim=2).flatten(1) if interleave else torch.cat((v, i), dim=1)

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> torch.Tensor:
        return GatedFusionOp.compute(*arguments)

    @staticmethod
    def symbolic(g: Any, *arguments: Any) -> Any:
        *tensors, present, square_visible, square_infrared, interleave = arguments
        node = _node(
            g,
            "GatedFusion",
            (*tensors, present),
            square_visible_i=int(square_visible),
            square_infrared_i=int(square_infrared),
            interleave_i=int(interleave),
        )
        return _with_shape(node, tensors[0], 2, tensors[2])


class CbamAttentionOp(torch.autograd.Function):
    """`edgefer::CbamAttention`: X (N, C, H, W), W1, b1, W2, b2, Ws (1, 2, k, k), bs, R? to (N, C, H, W)."""

    @staticmethod
    def channel_gate(
        x: torch.Tensor, w1: torch.Tensor, b1: torch.Tensor, w2: torch.Tensor, b2: torch.Tensor
    ) -> torch.Tensor:
        """X times its channel gate."""
        average, maximum = x.mean(dim=(2, 3)), x.amax(dim=(2, 3))
        hidden = F.relu(F.linear(average, w1, b1)) + F.relu(F.linear(maximum, w1, b1))
        # The MLP is linear after its ReLU, so its second layer serves both vectors at once, its bias twice.
        return x * torch.sigmoid(F.linear(hidden, w2, 2 * b2))[:, :, None, None]

    @staticmethod
    def channel_pool(x: torch.Tensor) -> torch.Tensor:
        """Maximum and mean over the channels, stacked: (N, 2, H, W)."""
        return torch.cat((x.amax(dim=1, keepdim=True), x.mean(dim=1, keepdim=True)), dim=1)

    @staticmethod
    def compute(
        x: torch.Tensor,
        w1: torch.Tensor,
        b1: torch.Tensor,
        w2: torch.Tensor,
        b2: torch.Tensor,
        spatial: torch.Tensor,
        spatial_bias: torch.Tensor,
        residual: torch.Tensor | None,
        relu: bool,
    ) -> torch.Tensor:
        x = CbamAttentionOp.channel_gate(x, w1, b1, w2, b2)
        padding = spatial.shape[-1] // 2
        y = x * torch.sigmoid(F.conv2d(CbamAttentionOp.channel_pool(x), spatial, spatial_bias, padding=padding))
        if residual is not None:
            y = y + residual
        return F.relu(y) if relu else y

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> torch.Tensor:
        return CbamAttentionOp.compute(*arguments)

    @staticmethod
    def symbolic(g: Any, *arguments: Any) -> Any:
        *tensors, residual, relu = arguments
        kernel = tensors[5].type().sizes()[-1]
        node = _node(g, "CbamAttention", (*tensors, residual), spatial_kernel_i=kernel, relu_i=int(relu))
        node.setType(tensors[0].type())
        return node


class LocalGateOp(torch.autograd.Function):
    """`edgefer::LocalGate`: Z (N, C, H, W), W1 (C/r, C), b1, W2 (C, C/r), b2 to (N, C)."""

    @staticmethod
    def compute(
        z: torch.Tensor, w1: torch.Tensor, b1: torch.Tensor, w2: torch.Tensor, b2: torch.Tensor
    ) -> torch.Tensor:
        hidden = F.relu(F.conv2d(z, w1[:, :, None, None], b1))
        gate = torch.sigmoid(F.conv2d(hidden, w2[:, :, None, None], b2))
        return (z + z * gate).mean(dim=(2, 3))

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> torch.Tensor:
        return LocalGateOp.compute(*arguments)

    @staticmethod
    def symbolic(g: Any, *tensors: Any) -> Any:
        node = _node(g, "LocalGate", tensors)
        return _with_shape(node, tensors[0], 1, tensors[3])


class ChannelGateOp(torch.autograd.Function):
    """`edgefer::ChannelGate`: X (N, C, H, W), W1 (C/r, C), b1?, W2 (C, C/r), b2? to (N, C, H, W)."""

    @staticmethod
    def compute(
        x: torch.Tensor,
        w1: torch.Tensor,
        b1: torch.Tensor | None,
        w2: torch.Tensor,
        b2: torch.Tensor | None,
        hard: bool,
    ) -> torch.Tensor:
        score = F.linear(F.relu(F.linear(x.mean(dim=(2, 3)), w1, b1)), w2, b2)
        gate = F.hardsigmoid(score) if hard else torch.sigmoid(score)
        return x * gate[:, :, None, None]

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> torch.Tensor:
        return ChannelGateOp.compute(*arguments)

    @staticmethod
    def symbolic(g: Any, x: Any, w1: Any, b1: Any, w2: Any, b2: Any, hard: bool) -> Any:
        if b1 is None:
            # An input that is left out before others keeps its place.
            b1 = g.op("prim::Constant")
            b1.setType(torch._C.OptionalType.ofTensor())
        shape: dict[str, Any] = {"gate_s": "sigmoid"}
        if hard:
            shape = {"gate_s": "hard_sigmoid", "alpha_f": 1 / 6, "beta_f": 0.5}
        node = _node(g, "ChannelGate", (x, w1, b1, w2, b2), **shape)
        node.setType(x.type())
        return node


def _node(g: Any, operator: str, inputs: tuple[Any, ...], **attributes: Any) -> Any:
    given = [value for value in inputs if value is not None]
    return g.op(
        f"{DOMAIN}::{operator}",
        *given,
        **attributes,
        plugin_version_s=PLUGIN_VERSION,
        plugin_namespace_s=DOMAIN,
    )


def _with_shape(node: Any, features: Any, times: int, weight: Any) -> Any:
    # Without a rank the exporter would write the Gemm that follows as a MatMul and an Add.
    batch = (features.type().sizes() or [None])[0]
    node.setType(features.type().with_sizes([batch, times * weight.type().sizes()[0]]))
    return node
