"""The table of fields, and fields through TensorRT's collection and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plugin_fakes import PluginField, PluginFieldType, fake_trt

from edgefer.errors import CompileError, EngineIncompatible
from edgefer.plugins.fields import FIELDS, NAMESPACE, NOT_SAID, PRESENT, SCALES, VERSION, defaults
from edgefer.plugins.operations import OPERATIONS
from edgefer.plugins.serialise import declared, from_engine, from_graph, store


def test_the_table_is_the_operators_signature() -> None:
    signatures = pytest.importorskip("edgefer_export.operators.signatures")
    assert list(FIELDS) == list(signatures.OPERATORS) == list(OPERATIONS)
    assert (NAMESPACE, VERSION) == (signatures.DOMAIN, signatures.PLUGIN_VERSION)
    types = {int: "int32", float: "float32", str: "char"}
    for name, signature in signatures.OPERATORS.items():
        fields = FIELDS[name]
        attributes = fields[: len(signature.attributes)]
        assert [each.name for each in attributes] == list(signature.attributes)
        assert [each.default for each in attributes] == list(signature.attributes.values())
        assert [each.type for each in attributes] == [types[type(each)] for each in signature.attributes.values()]
        rest = [each.name for each in fields[len(attributes) :]]
        assert rest == [each for each in SCALES if each in rest] + ([PRESENT] if signature.optional else [])
        operation = OPERATIONS[name]
        assert operation.inputs == signature.inputs
        assert set(operation.optional) == signature.optional
        assert operation.output == signature.output


@pytest.mark.parametrize("operator", FIELDS)
def test_values_come_back_as_they_were_stored(operator: str) -> None:
    trt = fake_trt()
    values = {each.name: {"int32": 3, "float32": 0.25, "char": "hard_sigmoid"}[each.type] for each in FIELDS[operator]}
    stored = store(trt, operator, values)
    assert [each.name for each in stored.collection] == [each.name for each in FIELDS[operator]]
    assert from_engine(trt, operator, stored.collection) == values
    assert from_graph(trt, operator, stored.collection) == values
    names = {"int32": PluginFieldType.INT32, "float32": PluginFieldType.FLOAT32, "char": PluginFieldType.CHAR}
    assert [each.type for each in declared(trt, operator).collection] == [names[each.type] for each in FIELDS[operator]]


def test_bytes_are_little_endian_numbers_and_text_with_its_end() -> None:
    stored = store(fake_trt(), "ChannelGate", defaults("ChannelGate"))
    found = {each.name: np.asarray(each.data).tobytes() for each in stored.collection}
    assert found["gate"] == b"sigmoid\0"
    assert found["alpha"] == b"\xcd\xcc\x4c\x3e"
    assert found[PRESENT] == b"\xff\xff\xff\xff"


def test_what_a_node_leaves_out_has_its_default() -> None:
    field = PluginField("relu", np.array([1], np.int32), PluginFieldType.INT32)
    values = from_graph(fake_trt(), "CbamAttention", [field])
    assert values == {**defaults("CbamAttention"), "relu": 1}
    assert values[PRESENT] == NOT_SAID


def test_text_without_its_end_is_the_same_text() -> None:
    gate = PluginField("gate", np.frombuffer(b"hard_sigmoid", np.int8), PluginFieldType.CHAR)
    assert from_graph(fake_trt(), "ChannelGate", [gate])["gate"] == "hard_sigmoid"


def test_text_that_repeats_one_byte_is_looked_for_behind_the_bindings_objects_only() -> None:
    gate = PluginField("gate", np.frombuffer(b"sss", np.int8), PluginFieldType.CHAR)
    assert from_graph(fake_trt(), "ChannelGate", [gate])["gate"] == "sss"


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (
            np.array([7.0], np.float32),
            PluginFieldType.FLOAT32,
            "spatial_kernel as FLOAT32 with 1 entries, expected INT32",
        ),
        (np.array([7, 7], np.int32), PluginFieldType.INT32, "spatial_kernel as INT32 with 2 entries"),
        (np.array([7], np.int8), PluginFieldType.CHAR, "spatial_kernel as CHAR"),
    ],
)
def test_wrong_types_are_named(data: Any, kind: Any, words: str) -> None:
    field = PluginField("spatial_kernel", data, kind)
    with pytest.raises(CompileError, match=words):
        from_graph(fake_trt(), "CbamAttention", [field])
    with pytest.raises(EngineIncompatible, match=words):
        from_engine(fake_trt(), "CbamAttention", [field])


def test_scales_that_are_no_numbers_are_refused() -> None:
    field = PluginField("x_scale", np.array([np.nan], np.float32), PluginFieldType.FLOAT32)
    with pytest.raises(CompileError, match="x_scale nan, expected a finite number"):
        from_graph(fake_trt(), "LocalGate", [field])


def test_an_engine_must_have_every_field_and_no_other() -> None:
    trt = fake_trt()
    fields = list(store(trt, "GatedPool", defaults("GatedPool")).collection)
    with pytest.raises(EngineIncompatible, match=r"no field x_scale, expected square, x_scale"):
        from_engine(trt, "GatedPool", fields[:1])
    more = PluginField("cube", np.array([1], np.int32), PluginFieldType.INT32)
    with pytest.raises(EngineIncompatible, match=r"a field 'cube', expected square, x_scale"):
        from_engine(trt, "GatedPool", [*fields, more])


def test_what_finds_the_plugin_is_no_field() -> None:
    version = PluginField("plugin_version", np.frombuffer(b"1\0", np.int8), PluginFieldType.CHAR)
    assert from_graph(fake_trt(), "LocalGate", [version]) == defaults("LocalGate")
