"""The fields that a plugin's creator takes and that an engine stores: names, types and order, as data.

The C++ library has the same table, so that an engine built with one loads with the other. The order is that of the
operator's ONNX attributes, then the scales of INT8 tensors, then the mask of optional inputs. A `char` field is stored
with the NUL that ends it, as TensorRT's parser hands it over; int32 and float32 fields have one entry.

A change of names, types or order is a change of `VERSION`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

NAMESPACE = "edgefer"
"""Also the ONNX domain of the operators, and the value of their attribute `plugin_namespace`."""
VERSION = "1"

FieldType = Literal["int32", "float32", "char"]
FieldValue = int | float | str
Values = Mapping[str, FieldValue]

SCALES = ("x_scale", "r_scale", "y_scale")
"""A tensor's value is its INT8 number times its scale; 0 where the tensor is not INT8."""
PRESENT = "present"
"""Bit i is set where the operator's i-th optional input is given, in the order of its signature. `NOT_SAID` leaves it
to the number of inputs, which tells all of them from none."""
NOT_SAID = -1


@dataclass(frozen=True)
class Field:
    """One field. `default` stands for an ONNX attribute that is left out; a stored engine has every field."""

    name: str
    type: FieldType
    default: FieldValue


def _scales(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, "float32", 0.0) for name in names)


_PRESENT = Field(PRESENT, "int32", NOT_SAID)

FIELDS: dict[str, tuple[Field, ...]] = {
    "CbamAttention": (
        Field("spatial_kernel", "int32", 7),
        Field("relu", "int32", 0),
        *_scales("x_scale", "r_scale", "y_scale"),
        _PRESENT,
    ),
    "ChannelGate": (
        Field("gate", "char", "sigmoid"),
        Field("alpha", "float32", 0.2),
        Field("beta", "float32", 0.5),
        *_scales("x_scale", "y_scale"),
        _PRESENT,
    ),
    "GatedPool": (Field("square", "int32", 0), *_scales("x_scale")),
    "GatedFusion": (
        Field("square_visible", "int32", 0),
        Field("square_infrared", "int32", 0),
        Field("interleave", "int32", 0),
        *_scales("x_scale", "r_scale"),
        _PRESENT,
    ),
    "LocalGate": _scales("x_scale"),
}
"""By operator. Its first map has `x_scale`, the second one (R, Fi) `r_scale`, an INT8 output `y_scale`."""


def defaults(operator: str) -> dict[str, FieldValue]:
    """Every field of an operator at its default."""
    return {field.name: field.default for field in FIELDS[operator]}
