"""Which nodes the kernels take, before any TensorRT is asked."""

from __future__ import annotations

import re
from typing import Any

import pytest

from edgefer.plugins.supported import unsupported

CBAM: dict[str, tuple[int, ...]] = {
    "X": (-1, 64, 56, 56),
    "W1": (4, 64),
    "b1": (4,),
    "W2": (64, 4),
    "b2": (64,),
    "Ws": (1, 2, 7, 7),
    "bs": (1,),
}
FUSION: dict[str, tuple[int, ...]] = {
    "Fv": (-1, 512, 7, 7),
    "Fi": (-1, 512, 7, 7),
    "Wv": (512, 512),
    "bv": (512,),
    "Wi": (512, 512),
    "bi": (512,),
}


def typed(shapes: dict[str, tuple[int, ...]], element: str = "f32", **others: str) -> dict[str, str]:
    return {**dict.fromkeys(shapes, element), **others}


@pytest.mark.parametrize("element", ["f32", "f16"])
def test_what_the_networks_use_is_supported(element: str) -> None:
    with_residual = {**CBAM, "R": CBAM["X"]}
    assert unsupported("CbamAttention", {"relu": 1}, with_residual, typed(with_residual, element)) == ""
    assert unsupported("CbamAttention", {}, CBAM, typed(CBAM, element)) == ""
    assert unsupported("GatedFusion", {"interleave": 1}, FUSION, typed(FUSION, element)) == ""
    pool = {"F": (1, 512, 7, 7), "W": (512, 512), "b": (512,)}
    assert unsupported("GatedPool", {"square": 1, "plugin_version": "1"}, pool, typed(pool, element)) == ""
    local = {"Z": (1, 512, 7, 7), "W1": (128, 512), "b1": (128,), "W2": (512, 128), "b2": (512,)}
    assert unsupported("LocalGate", {}, local, typed(local, element)) == ""


def test_int8_is_supported_with_its_scales() -> None:
    int8 = typed(CBAM, X="i8")
    assert unsupported("CbamAttention", {"x_scale": 0.1, "y_scale": 0.1}, CBAM, int8) == ""
    assert unsupported("CbamAttention", {"y_scale": 0.1}, CBAM, typed(CBAM)) == ""
    both = typed(FUSION, Fv="i8", Fi="i8")
    assert unsupported("GatedFusion", {"x_scale": 0.1, "r_scale": 0.2}, FUSION, both) == ""


@pytest.mark.parametrize(
    ("operator", "attributes", "changed", "types", "words"),
    [
        ("Elsewhere", {}, {}, {}, "there is no plugin for edgefer::Elsewhere, only for CbamAttention"),
        ("CbamAttention", {"dilation": 2}, {}, {}, "no field for the attribute dilation"),
        ("CbamAttention", {}, {"Ws": None}, {}, "it has the inputs X, W1, b1, W2, b2, bs, expected X, W1"),
        ("CbamAttention", {}, {"Q": (1,)}, {}, "it has the inputs X, W1, b1, W2, b2, Ws, bs, Q"),
        ("CbamAttention", {}, {}, {"X": "bf16"}, "X is of type bf16, expected f32, f16, i8"),
        ("CbamAttention", {}, {"X": (1, 64, 56)}, {}, "X has 3 axes, expected 4"),
        ("CbamAttention", {}, {"X": (-1, 64, -1, 56)}, {}, "of which only the batch may be open"),
        ("CbamAttention", {}, {"R": (4, 64, 56, 56)}, {}, r"R has the batch \[4\], X \[-1\]"),
        ("CbamAttention", {}, {"R": (-1, 64, 28, 56)}, {}, "R has the shape"),
        ("CbamAttention", {}, {"W1": (4, 63)}, {}, r"W1 has the shape \[4, 63\], expected \[4, 64\]"),
        ("CbamAttention", {}, {"b2": (1, 64)}, {}, r"b2 has the shape \[1, 64\], expected \[64\]"),
        ("CbamAttention", {"spatial_kernel": 5}, {}, {}, "Ws has the shape"),
        ("CbamAttention", {}, {}, {"W1": "f16"}, "W1 is f16 beside X of f32"),
        ("CbamAttention", {"x_scale": 0.1}, {}, {}, "X is f32 and x_scale is 0.1: both or neither say INT8"),
        ("CbamAttention", {}, {}, {"X": "i8"}, "X is i8 and x_scale is 0: both or neither say INT8"),
    ],
)
def test_what_is_not_says_why(
    operator: str, attributes: Any, changed: dict[str, Any], types: dict[str, str], words: str
) -> None:
    shapes = {name: shape for name, shape in {**CBAM, **changed}.items() if shape is not None}
    found = unsupported(operator, attributes, shapes, typed(shapes, **types))
    assert re.search(words, found), found


def test_channels_that_int8_cannot_hold() -> None:
    shapes = {"F": (1, 48, 7, 7), "W": (48, 48), "b": (48,)}
    assert "48 channels" in unsupported("GatedPool", {"x_scale": 0.1}, shapes, typed(shapes, F="i8"))
    assert unsupported("GatedPool", {}, shapes, typed(shapes)) == ""


def test_one_map_of_two_in_int8_is_refused() -> None:
    found = unsupported("GatedFusion", {"x_scale": 0.1}, FUSION, typed(FUSION, Fv="i8"))
    assert found == "Fv is i8c and Fi f32n, expected one form"


def test_matrices_that_do_not_fit_into_shared_memory() -> None:
    shapes = {"F": (1, 8192, 7, 7), "W": (8192, 8192), "b": (8192,)}
    assert "do not fit into shared memory" in unsupported("GatedPool", {}, shapes, typed(shapes))
