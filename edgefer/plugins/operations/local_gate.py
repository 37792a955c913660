"""LocalGate as TensorRT meets it."""

from __future__ import annotations

from edgefer.kernels import local_gate
from edgefer.kernels.plan import Gpu, Plan
from edgefer.plugins.operations.description import Operation, Work, map_shape


def _node(work: Work) -> local_gate.LocalGate:
    return local_gate.LocalGate(
        shape=map_shape(work, "Z"),
        hidden=work.size("W1", 0),
        form=work.form("Z"),
        weights=work.form("W1").element,
        x_scale=work.number("x_scale"),
    )


def _unsupported(work: Work) -> str:
    channels, hidden = work.shape("Z")[1], work.size("W1", 0)
    shapes = {"W1": (hidden, channels), "b1": (hidden,), "W2": (channels, hidden), "b2": (channels,)}
    return work.misfit(shapes) or local_gate.unsupported(_node(work))


def _plan(work: Work, gpu: Gpu) -> Plan:
    return local_gate.plan(_node(work), gpu)


LOCAL_GATE = Operation(
    name="LocalGate",
    inputs=("Z", "W1", "b1", "W2", "b2"),
    maps={"Z": "x_scale"},
    weight="W1",
    output="f",
    joined=("Z",),
    structure=local_gate.LocalGateParams,
    unsupported=_unsupported,
    plan=_plan,
)
