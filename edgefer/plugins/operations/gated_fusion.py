"""GatedFusion as TensorRT meets it."""

from __future__ import annotations

from edgefer.kernels import gated_fusion
from edgefer.kernels.plan import Gpu, Plan
from edgefer.plugins.operations.description import Operation, Work, map_shape


def _node(work: Work) -> gated_fusion.GatedFusion:
    return gated_fusion.GatedFusion(
        shape=map_shape(work, "Fv"),
        infrared_shape=map_shape(work, "Fi"),
        form=work.form("Fv"),
        weights=work.form("Wv").element,
        mask=work.form("P").element if work.has("P") else None,
        square_visible=bool(work.whole("square_visible")),
        square_infrared=bool(work.whole("square_infrared")),
        interleave=bool(work.whole("interleave")),
        x_scale=work.number("x_scale"),
        r_scale=work.number("r_scale"),
    )


def _unsupported(work: Work) -> str:
    images, channels = work.shape("Fv")[:2]
    square, vector = (channels, channels), (channels,)
    shapes = {"Wv": square, "bv": vector, "Wi": square, "bi": vector, "P": (images, 2)}
    if work.form("Fi") != work.form("Fv"):
        return f"Fv is {work.form('Fv').code} and Fi {work.form('Fi').code}, expected one form"
    return work.misfit(shapes) or gated_fusion.unsupported(_node(work))


def _plan(work: Work, gpu: Gpu) -> Plan:
    return gated_fusion.plan(_node(work), gpu)


GATED_FUSION = Operation(
    name="GatedFusion",
    inputs=("Fv", "Fi", "Wv", "bv", "Wi", "bi", "P"),
    optional=("P",),
    per_image=("P",),
    maps={"Fv": "x_scale", "Fi": "r_scale"},
    weight="Wv",
    output="f",
    joined=("Fv", "Fi"),
    structure=gated_fusion.GatedFusionParams,
    unsupported=_unsupported,
    plan=_plan,
)
