"""ChannelGate as TensorRT meets it."""

from __future__ import annotations

from edgefer.kernels import channel_gate
from edgefer.kernels.plan import Gpu, Plan
from edgefer.plugins.operations.description import Operation, Work, map_shape


def _node(work: Work) -> channel_gate.ChannelGate:
    return channel_gate.ChannelGate(
        shape=map_shape(work, "X"),
        hidden=work.size("W1", 0),
        form=work.form("X"),
        output=work.form("Y"),
        weights=work.form("W1").element,
        gate=work.text("gate"),
        alpha=work.number("alpha"),
        beta=work.number("beta"),
        x_scale=work.number("x_scale"),
        y_scale=work.number("y_scale"),
    )


def _unsupported(work: Work) -> str:
    node = _node(work)
    return channel_gate.unsupported(node) or work.misfit(
        {
            "W1": (node.hidden, node.channels),
            "b1": (node.hidden,),
            "W2": (node.channels, node.hidden),
            "b2": (node.channels,),
        }
    )


def _plan(work: Work, gpu: Gpu) -> Plan:
    return channel_gate.plan(_node(work), gpu)


CHANNEL_GATE = Operation(
    name="ChannelGate",
    inputs=("X", "W1", "b1", "W2", "b2"),
    optional=("b1", "b2"),
    maps={"X": "x_scale"},
    weight="W1",
    output="Y",
    structure=channel_gate.ChannelGateParams,
    unsupported=_unsupported,
    plan=_plan,
)
