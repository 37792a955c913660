"""GatedPool as TensorRT meets it."""

from __future__ import annotations

from edgefer.kernels import gated_pool
from edgefer.kernels.plan import Gpu, Plan
from edgefer.plugins.operations.description import Operation, Work, map_shape


def _node(work: Work) -> gated_pool.GatedPool:
    return gated_pool.GatedPool(
        shape=map_shape(work, "F"),
        form=work.form("F"),
        weights=work.form("W").element,
        square=bool(work.whole("square")),
        x_scale=work.number("x_scale"),
    )


def _unsupported(work: Work) -> str:
    channels = work.shape("F")[1]
    return work.misfit({"W": (channels, channels), "b": (channels,)}) or gated_pool.unsupported(_node(work))


def _plan(work: Work, gpu: Gpu) -> Plan:
    return gated_pool.plan(_node(work), gpu)


GATED_POOL = Operation(
    name="GatedPool",
    inputs=("F", "W", "b"),
    maps={"F": "x_scale"},
    weight="W",
    output="f",
    joined=("F",),
    structure=gated_pool.GatedPoolParams,
    unsupported=_unsupported,
    plan=_plan,
)
