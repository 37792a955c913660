"""Fields to a TensorRT `PluginFieldCollection` and back. `trt` is the imported TensorRT throughout."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefer.errors import CompileError, EdgeferError, EngineIncompatible
from edgefer.plugins.fields import FIELDS, NAMESPACE, Field, FieldType, FieldValue, Values
from edgefer.plugins.text_field import text_of

_TRT_NAMES: dict[FieldType, str] = {"int32": "INT32", "float32": "FLOAT32", "char": "CHAR"}
_DTYPES: dict[FieldType, type[Any]] = {"int32": np.int32, "float32": np.float32, "char": np.int8}
_FROM_THE_NODE = ("plugin_version", "plugin_namespace")


@dataclass(frozen=True)
class Stored:
    """A collection with what it points into: TensorRT copies pointers, so all of this lives as long as the plugin."""

    collection: Any
    fields: Sequence[Any]
    memory: Sequence[NDArray[Any]]


def declared(trt: Any, operator: str) -> Stored:
    """What a creator says it takes: names and types, with defaults as data."""
    return store(trt, operator, {field.name: field.default for field in FIELDS[operator]})


def store(trt: Any, operator: str, values: Values) -> Stored:
    """All fields of an operator in the order of the table."""
    memory = [_memory(field, values[field.name]) for field in FIELDS[operator]]
    fields = [
        trt.PluginField(field.name, data, getattr(trt.PluginFieldType, _TRT_NAMES[field.type]))
        for field, data in zip(FIELDS[operator], memory, strict=True)
    ]
    return Stored(trt.PluginFieldCollection(fields), fields, memory)


def from_graph(trt: Any, operator: str, collection: Iterable[Any]) -> dict[str, FieldValue]:
    """The values that a parser gives for a node's attributes; defaults where the node has none.

    Raises:
        CompileError: a field has another type or more entries than the operator's attribute, or means nothing here.
    """
    given = _read(trt, operator, collection, CompileError, f"the node of {NAMESPACE}::{operator}")
    return {field.name: given.get(field.name, field.default) for field in FIELDS[operator]}


def from_engine(trt: Any, operator: str, collection: Iterable[Any]) -> dict[str, FieldValue]:
    """The values that an engine has stored; each of them must be there.

    Raises:
        EngineIncompatible: a field is missing, unknown, or of another type.
    """
    given = _read(trt, operator, collection, EngineIncompatible, f"the engine's {NAMESPACE}::{operator}")
    missing = [field.name for field in FIELDS[operator] if field.name not in given]
    if missing:
        raise EngineIncompatible(
            f"the engine's {NAMESPACE}::{operator} has no field {', '.join(missing)}, expected {_names(operator)}",
            hint="it was built with another version of edgefer's plugins: build it again",
        )
    return given


def _read(
    trt: Any, operator: str, collection: Iterable[Any], error: type[EdgeferError], where: str
) -> dict[str, FieldValue]:
    table = {field.name: field for field in FIELDS[operator]}
    values: dict[str, FieldValue] = {}
    for found in collection:
        if found.name in _FROM_THE_NODE:
            continue
        field = table.get(found.name)
        if field is None:
            raise error(
                f"{where} has a field {found.name!r}, expected {_names(operator)}",
                hint="it was made for another version of edgefer's plugins",
            )
        expected = getattr(trt.PluginFieldType, _TRT_NAMES[field.type])
        if found.type != expected or (field.type != "char" and found.size != 1):
            raise error(
                f"{where} has {field.name} as {_type_name(found.type)} with {found.size} entries, "
                f"expected {_TRT_NAMES[field.type]}{'' if field.type == 'char' else ' with 1'}",
                hint="export the network again, or correct the attribute",
            )
        values[field.name] = text_of(found) if field.type == "char" else _number(field, found.data, error, where)
    return values


def _memory(field: Field, value: FieldValue) -> NDArray[Any]:
    if field.type == "char":
        return np.array([*str(value).encode(), 0], dtype=np.int8)
    return np.array([value], dtype=_DTYPES[field.type])


def _number(field: Field, data: Any, error: type[EdgeferError], where: str) -> int | float:
    raw = np.asarray(data)
    if field.type == "int32":
        return int(raw[0])
    value = float(raw[0])
    if not math.isfinite(value):
        raise error(f"{where} has {field.name} {value}, expected a finite number", hint="export the network again")
    return value


def _names(operator: str) -> str:
    return ", ".join(field.name for field in FIELDS[operator])


def _type_name(value: Any) -> str:
    return str(value).rsplit(".", 1)[-1]
