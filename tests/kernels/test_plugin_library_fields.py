"""Fields of the C++ library against those of the Python plugins: byte-equal, and refused for the same reasons."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from plugin_library_build import BuiltLibrary, built_library
from plugin_library_draw import create

from edgefer.plugins.fields import FIELDS, NAMESPACE, VERSION, FieldValue, defaults
from edgefer.plugins.operations import OPERATIONS
from edgefer.plugins.serialise import from_engine, store
from edgefer.version import __version__

sys.path.append(str(Path(__file__).parents[1] / "edgefer" / "plugins"))
from plugin_fakes import fake_trt

every_operator = pytest.mark.parametrize("operator", FIELDS)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> BuiltLibrary:
    return built_library(tmp_path_factory)


def stored(operator: str, values: Mapping[str, FieldValue]) -> str:
    """What Python's plugin stores, as the program prints it."""
    memory = store(fake_trt(), operator, values).memory
    entries = zip(FIELDS[operator], memory, strict=True)
    return "".join(f" {field.name}:{field.type}:{data.size}:{data.tobytes().hex()}" for field, data in entries)


def drawn(rng: np.random.Generator, operator: str) -> dict[str, FieldValue]:
    values: dict[str, FieldValue] = {}
    for field in FIELDS[operator]:
        if field.type == "char":
            values[field.name] = str(rng.choice(["sigmoid", "hard_sigmoid"]))
        elif field.type == "int32":
            values[field.name] = int(rng.integers(-(2**31), 2**31))
        else:
            values[field.name] = float(np.float32(rng.standard_normal()))
    return values


def test_the_creators_are_those_of_python(library: BuiltLibrary) -> None:
    lines = library.converse(["creators"]).lines

    assert lines == [f"{NAMESPACE} {name} {VERSION}{stored(name, defaults(name))}" for name in OPERATIONS]


def test_the_version_is_that_of_the_package(library: BuiltLibrary) -> None:
    function = ctypes.CDLL(str(library.path)).edgefer_plugins_version
    function.restype = ctypes.c_char_p
    assert function().decode() == __version__


def test_nothing_is_exported_but_what_is_looked_for(library: BuiltLibrary) -> None:
    listed = subprocess.run(
        ["nm", "--dynamic", "--defined-only", str(library.path)], capture_output=True, text=True, check=True
    )
    names = {line.split()[-1] for line in listed.stdout.splitlines()}
    assert names == {"getCreators", "setLoggerFinder", "edgefer_plugins_version"}


@every_operator
def test_stored_fields_are_byte_equal_and_read_again(library: BuiltLibrary, operator: str) -> None:
    rng = np.random.default_rng(3)
    every = [drawn(rng, operator) for _ in range(20)]
    commands = []
    for values in every:
        given = {**values, "gate": "sigmoid"} if "gate" in values else values
        commands += [*create(operator, given), "fields", "clone", "fields"]
        commands += [*create(operator, values, "runtime"), "attach", "fields"]
    lines = library.converse(commands).lines

    for values, found in zip(every, zip(*[iter(lines)] * 6, strict=True), strict=True):
        given = {**values, "gate": "sigmoid"} if "gate" in values else values
        first, second = stored(operator, given), stored(operator, values)
        assert found == (operator, first, first, operator, "attached", second)


@every_operator
def test_python_reads_what_the_library_stores(library: BuiltLibrary, operator: str) -> None:
    values, trt = drawn(np.random.default_rng(4), operator), fake_trt()
    _, line = library.converse([*create(operator, values, "runtime"), "fields"]).lines
    types = {"int32": (np.int32, "INT32"), "float32": (np.float32, "FLOAT32"), "char": (np.int8, "CHAR")}
    found = []
    for name, kind, _, raw in (each.split(":") for each in line.split()):
        dtype, trt_name = types[kind]
        data = np.frombuffer(bytes.fromhex(raw), dtype)
        found.append(trt.PluginField(name, data, trt.PluginFieldType[trt_name]))

    assert from_engine(trt, operator, found) == values


@every_operator
def test_attributes_left_out_have_their_defaults(library: BuiltLibrary, operator: str) -> None:
    assert library.converse([*create(operator, {}), "fields"]).lines == [operator, stored(operator, defaults(operator))]


@pytest.mark.parametrize(
    ("phase", "fields", "message"),
    [
        ("build", ["i relu 2 1 1"], "relu as type 5 with 2 entries, expected type 5 with 1"),
        ("build", ["f relu 1 1"], "relu as type 1 with 1 entries, expected type 5 with 1"),
        ("build", ["d x_scale 1 1"], "x_scale as type 2"),
        ("build", ["f x_scale 1 nan"], "x_scale nan, expected a finite number"),
        ("build", ["i slope 1 1"], "a field 'slope', expected spatial_kernel, relu, x_scale"),
        ("runtime", ["i relu 1 1"], "the engine's edgefer::CbamAttention has no field spatial_kernel"),
    ],
)
def test_wrong_fields_are_refused_with_a_message(
    library: BuiltLibrary, phase: str, fields: list[str], message: str
) -> None:
    answers = library.converse([f"create CbamAttention {phase} {len(fields)}", *fields])

    assert answers.lines == ["none"]
    assert len(answers.log) == 1
    assert message in answers.log[0]
