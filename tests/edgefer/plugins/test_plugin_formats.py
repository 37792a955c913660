"""Which formats a plugin takes, by TensorRT, element type and number of channels."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from plugin_fakes import DataType, Desc, TensorFormat, fake_trt

from edgefer.engine.flavours import Flavour
from edgefer.kernels.forms import F16_HWC, F32_HWC, F32_LINEAR, I8_CHW32
from edgefer.plugins.formats import data_type_of, element_of, form_of, is_linear, offers

TENSORRT = Flavour("tensorrt", SimpleNamespace(), "10.3.0")
RTX = Flavour("tensorrt_rtx", SimpleNamespace(ComputeCapability=object()), "1.7.1")


@pytest.mark.parametrize(
    ("flavour", "kind", "channels", "taken"),
    [
        (TENSORRT, DataType.FLOAT, 32, {"LINEAR", "HWC"}),
        (TENSORRT, DataType.FLOAT, 30, {"LINEAR"}),
        (TENSORRT, DataType.HALF, 32, {"LINEAR", "HWC8"}),
        (TENSORRT, DataType.HALF, 12, {"LINEAR"}),
        (TENSORRT, DataType.INT8, 64, {"CHW32"}),
        (TENSORRT, DataType.INT8, 48, set()),
        (TENSORRT, DataType.INT32, 32, set()),
        (RTX, DataType.FLOAT, 32, {"HWC"}),
        (RTX, DataType.FLOAT, 30, {"LINEAR"}),
        (RTX, DataType.HALF, 32, {"HWC"}),
        (RTX, DataType.HALF, 12, {"LINEAR"}),
        (RTX, DataType.INT8, 64, {"CHW32"}),
        (RTX, DataType.INT8, 48, set()),
    ],
)
def test_what_is_offered(flavour: Flavour, kind: DataType, channels: int, taken: set[str]) -> None:
    found = {
        each.name
        for each in TensorFormat
        if offers(flavour.plugin_formats, Desc((1, channels, 7, 7), kind, each), channels)
    }
    assert found == taken


def test_a_format_is_a_layout_of_an_element_type() -> None:
    assert form_of(Desc((1, 8, 1, 1), DataType.FLOAT, TensorFormat.HWC)) == F32_HWC
    assert form_of(Desc((1, 8, 1, 1), DataType.HALF, TensorFormat.HWC8)) == F16_HWC
    assert form_of(Desc((1, 32, 1, 1), DataType.INT8, TensorFormat.CHW32)) == I8_CHW32
    assert form_of(Desc((1, 8, 1, 1), DataType.FLOAT, TensorFormat.LINEAR)) == F32_LINEAR
    assert form_of(Desc((1, 8, 1, 1), DataType.BOOL, TensorFormat.LINEAR)) is None
    assert form_of(Desc((1, 8, 1, 1), DataType.HALF, TensorFormat.CHW4)) is None
    assert is_linear(Desc((8,), DataType.HALF, TensorFormat.LINEAR))
    assert not is_linear(Desc((8,), DataType.HALF, TensorFormat.HWC8))


def test_element_types_are_told_by_name_and_back() -> None:
    trt = fake_trt()
    for element in ("f32", "f16", "i8"):
        assert element_of(data_type_of(trt, element)) == element
    assert element_of(DataType.INT32) is None
