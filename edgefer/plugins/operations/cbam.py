"""CbamAttention as TensorRT meets it."""

from __future__ import annotations

from edgefer.kernels import cbam
from edgefer.kernels.gating import GateForms
from edgefer.kernels.plan import Gpu, Plan
from edgefer.plugins.operations.description import Operation, Work, map_shape


def _shape(work: Work) -> cbam.CbamShape:
    return cbam.CbamShape(
        *map_shape(work, "X"),
        hidden=work.size("W1", 0),
        kernel=work.whole("spatial_kernel"),
        relu=bool(work.whole("relu")),
    )


def _forms(work: Work) -> GateForms:
    return GateForms(
        work.form("X"),
        work.form("Y"),
        work.form("W1").element,
        x_scale=work.number("x_scale"),
        r_scale=work.number("r_scale") if work.has("R") else 0.0,
        y_scale=work.number("y_scale"),
    )


def _unsupported(work: Work) -> str:
    shape = _shape(work)
    reason = cbam.unsupported(shape, _forms(work))
    if reason:
        return reason
    if work.has("R") and work.form("R") != work.form("X"):
        return f"X is {work.form('X').code} and R {work.form('R').code}, expected one form"
    kernel = shape.kernel
    return work.misfit(
        {
            "W1": (shape.hidden, shape.channels),
            "b1": (shape.hidden,),
            "W2": (shape.channels, shape.hidden),
            "b2": (shape.channels,),
            "Ws": (1, 2, kernel, kernel),
            "bs": (1,),
            "R": work.shape("X"),
        }
    )


def _plan(work: Work, gpu: Gpu) -> Plan:
    return cbam.plan(_shape(work), _forms(work), gpu)


CBAM = Operation(
    name="CbamAttention",
    inputs=("X", "W1", "b1", "W2", "b2", "Ws", "bs", "R"),
    optional=("R",),
    maps={"X": "x_scale", "R": "r_scale"},
    weight="W1",
    output="Y",
    structure=cbam.CbamParams,
    addresses={name: name.lower() for name in ("X", "W1", "b1", "W2", "b2", "Ws", "bs", "R", "Y")},
    unsupported=_unsupported,
    plan=_plan,
)
