"""Which camera an input is for, by its name, and what a graph with such inputs is."""

from __future__ import annotations

from edgefer.bundle.manifest import GraphRole, InputSpec

INFRARED_WORDS = ("infrared", "ir", "thermal", "nir", "lwir")


def is_infrared(name: str) -> bool:
    """Whether a name is, or begins with, a word for an infrared camera and an underscore: `ir`, `thermal_face`."""
    return name.lower().split("_")[0] in INFRARED_WORDS


def graph_role(inputs: tuple[InputSpec, ...]) -> GraphRole:
    """`fused` with both cameras, the camera where there is one, else `other`."""
    roles = {entry.role for entry in inputs} - {"present", "saliency"}
    if roles == {"visible", "infrared"}:
        return "fused"
    if roles == {"visible"}:
        return "visible"
    return "infrared" if roles == {"infrared"} else "other"
