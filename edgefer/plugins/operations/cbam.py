"""CbamAttention as TensorRT meets it."""

from __future__ import annotations

from edgefer.kernels import cbam
from edgefer.kernels.plan import Gpu, Plan
from edgefer.plugins.operations.description import Operation, Work, map_shape


def _node(work: Work) -> cbam.Cbam:
    return cbam.Cbam(
        shape=map_shape(work, "X"),
        hidden=work.size("W1", 0),
        form=work.form("X"),
        output=work.form("Y"),
        weights=work.form("W1").element,
        kernel=work.whole("spatial_kernel"),
        relu=bool(work.whole("relu")),
        residual=work.has("R"),
        x_scale=work.number("x_scale"),
        r_scale=work.number("r_scale"),
        y_scale=work.number("y_scale"),
    )


def _unsupported(work: Work) -> str:
    node = _node(work)
    reason = cbam.unsupported(node)
    if reason:
        return reason
    if work.has("R") and work.form("R") != work.form("X"):
        return f"X is {work.form('X').code} and R {work.form('R').code}, expected one form"
    kernel = node.kernel
    return work.misfit(
        {
            "W1": (node.hidden, node.channels),
            "b1": (node.hidden,),
            "W2": (node.channels, node.hidden),
            "b2": (node.channels,),
            "Ws": (1, 2, kernel, kernel),
            "bs": (1,),
            "R": work.shape("X"),
        }
    )


def _plan(work: Work, gpu: Gpu) -> Plan:
    return cbam.plan(_node(work), gpu)


CBAM = Operation(
    name="CbamAttention",
    inputs=("X", "W1", "b1", "W2", "b2", "Ws", "bs", "R"),
    optional=("R",),
    maps={"X": "x_scale", "R": "r_scale"},
    weight="W1",
    output="Y",
    structure=cbam.CbamParams,
    unsupported=_unsupported,
    plan=_plan,
)
