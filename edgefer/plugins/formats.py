"""Element types and layouts in TensorRT's words, and which of them a plugin offers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgefer.kernels.forms import Element, Form, Layout

_ELEMENTS: dict[str, Element] = {"FLOAT": "f32", "HALF": "f16", "INT8": "i8"}
_LAYOUTS: dict[str, Layout] = {"LINEAR": "linear", "HWC": "hwc", "HWC8": "hwc", "CHW32": "chw32"}
"""HWC8 pads channels to a multiple of 8; a form is taken only where there is nothing to pad, so that both are the same
memory."""

Offered = Mapping[Element, tuple[str, ...]]
"""Names of formats for maps of an element type, as `Flavour.plugin_formats` has them."""


def element_of(data_type: Any) -> Element | None:
    """The element type that a TensorRT `DataType` is; None for one that no kernel takes."""
    return _ELEMENTS.get(_name(data_type))


def data_type_of(trt: Any, element: Element) -> Any:
    """The TensorRT `DataType` of an element type."""
    names = {known: name for name, known in _ELEMENTS.items()}
    return getattr(trt.DataType, names[element])


def form_of(description: Any) -> Form | None:
    """The form of a `PluginTensorDesc`; None for types and formats that no kernel takes."""
    element, layout = element_of(description.type), _LAYOUTS.get(_name(description.format))
    return None if element is None or layout is None else Form(element, layout)


def is_linear(description: Any) -> bool:
    """Whether the numbers lie one after the other, as those of a weight or of a vector do."""
    return _name(description.format) == "LINEAR"


def offers(offered: Offered, description: Any, channels: int) -> bool:
    """Whether a map of so many channels is taken as `description` has it.

    LINEAR stands in for floating-point types where none of the formats offered takes the number of channels.
    """
    form = form_of(description)
    if form is None or not form.takes(channels):
        return False
    names = offered[form.element]
    if _name(description.format) in names:
        return True
    others = any(Form(form.element, _LAYOUTS[name]).takes(channels) for name in names)
    return form.layout == "linear" and form.element != "i8" and not others


def _name(member: Any) -> str:
    # Of an enumeration's member, whichever TensorRT it comes from.
    return str(getattr(member, "name", member)).rsplit(".", 1)[-1]
