"""ChannelGate as TensorRT meets it."""

from __future__ import annotations

from typing import Literal, cast

from edgefer.kernels import channel_gate
from edgefer.kernels.gating import GateForms
from edgefer.kernels.plan import Gpu, Plan
from edgefer.plugins.operations.description import Operation, Work, map_shape


def _shape(work: Work) -> channel_gate.ChannelGateShape:
    return channel_gate.ChannelGateShape(
        *map_shape(work, "X"),
        hidden=work.size("W1", 0),
        # Whether it is one of them `unsupported` says.
        gate=cast(Literal["sigmoid", "hard_sigmoid"], work.text("gate")),
        alpha=work.number("alpha"),
        beta=work.number("beta"),
    )


def _forms(work: Work) -> GateForms:
    return GateForms(
        work.form("X"),
        work.form("Y"),
        work.form("W1").element,
        x_scale=work.number("x_scale"),
        y_scale=work.number("y_scale"),
    )


def _unsupported(work: Work) -> str:
    shape = _shape(work)
    return channel_gate.unsupported(shape, _forms(work)) or work.misfit(
        {
            "W1": (shape.hidden, shape.channels),
            "b1": (shape.hidden,),
            "W2": (shape.channels, shape.hidden),
            "b2": (shape.channels,),
        }
    )


def _plan(work: Work, gpu: Gpu) -> Plan:
    return channel_gate.plan(_shape(work), _forms(work), gpu)


CHANNEL_GATE = Operation(
    name="ChannelGate",
    inputs=("X", "W1", "b1", "W2", "b2"),
    optional=("b1", "b2"),
    maps={"X": "x_scale"},
    weight="W1",
    output="Y",
    structure=channel_gate.ChannelGateParams,
    addresses={name: name.lower() for name in ("X", "W1", "b1", "W2", "b2", "Y")},
    unsupported=_unsupported,
    plan=_plan,
)
