"""Registering with a TensorRT, in Python and from the C++ library."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from plugin_fakes import PluginField, PluginFieldType, Registry, TensorRTPhase, fake_trt

from edgefer.engine.flavours import Flavour
from edgefer.errors import CompileError, EngineIncompatible, PluginMissing
from edgefer.plugins import registry
from edgefer.plugins.fields import FIELDS, NAMESPACE, VERSION
from edgefer.plugins.operations import OPERATIONS
from edgefer.version import __version__

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc to make a library")


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(registry, "_kept", [])
    monkeypatch.delenv(registry.LIBRARY, raising=False)


def flavour_with(found: Registry) -> Flavour:
    return Flavour("tensorrt", fake_trt(found), "10.3.0")


def test_nothing_heavy_is_imported_before_a_tensorrt_is_given() -> None:
    script = (
        "import sys, edgefer.plugins.registry, edgefer.plugins.supported\n"
        "found = {name.split('.')[0] for name in sys.modules}\n"
        "print(sorted(found & {'tensorrt', 'tensorrt_rtx', 'onnx', 'torch', 'cuda', 'onnxruntime', 'cv2'}))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_every_operator_gets_a_creator_once() -> None:
    found = Registry()
    operators = registry.register(flavour_with(found))
    assert operators == {(NAMESPACE, name) for name in OPERATIONS}
    assert [each.name for each in found.all_creators] == list(OPERATIONS)
    assert {(each.plugin_version, each.plugin_namespace) for each in found.all_creators} == {(VERSION, NAMESPACE)}
    for creator in found.all_creators:
        assert [each.name for each in creator.field_names] == [each.name for each in FIELDS[creator.name]]
    assert registry.register(flavour_with(found)) == operators
    assert len(found.all_creators) == len(OPERATIONS)


def test_creators_make_plugins_of_fields() -> None:
    found = Registry()
    registry.register(flavour_with(found))
    creator = found.all_creators[list(OPERATIONS).index("CbamAttention")]
    relu = PluginField("relu", np.array([1], np.int32), PluginFieldType.INT32)
    plugin = creator.create_plugin("a node", [relu], TensorRTPhase.BUILD)
    stored = {each.name: each.data[0] for each in plugin.get_fields_to_serialize()}
    assert (stored["relu"], stored["spatial_kernel"]) == (1, 7)
    again = creator.create_plugin("", plugin.get_fields_to_serialize(), TensorRTPhase.RUNTIME)
    assert again.node.values == plugin.node.values
    with pytest.raises(EngineIncompatible, match="no field spatial_kernel"):
        creator.create_plugin("", [relu], TensorRTPhase.RUNTIME)
    wrong = PluginField("relu", np.array([1.0], np.float32), PluginFieldType.FLOAT32)
    with pytest.raises(CompileError, match="relu as FLOAT32"):
        creator.create_plugin("a node", [wrong], TensorRTPhase.BUILD)


def test_a_name_that_is_taken_is_an_error() -> None:
    with pytest.raises(PluginMissing, match="has another plugin edgefer::CbamAttention, version 1"):
        registry.register(flavour_with(Registry(takes=False)))


def test_a_library_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(registry.LIBRARY, str(tmp_path / "nowhere.so"))
    with pytest.raises(PluginMissing, match=r"there is no plugin library .*nowhere\.so"):
        registry.register(flavour_with(Registry()))


def test_a_file_that_is_no_library(tmp_path: Path) -> None:
    path = tmp_path / "plugins.so"
    path.write_text("not one\n")
    with pytest.raises(PluginMissing, match="cannot be loaded as a library"):
        registry.register(flavour_with(Registry()), path)


def compiled(folder: Path, version: str | None) -> Path:
    """A library that says its version, if any."""
    source, path = folder / "library.c", folder / f"library-{version}.so"
    text = "int nothing;\n"
    if version is not None:
        text = f'const char* {registry.VERSION_SYMBOL}(void) {{ return "{version}"; }}\n'
    source.write_text(text)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", path, source], check=True)
    return path


def creators(*names: str) -> list[Any]:
    return [SimpleNamespace(name=name, plugin_version=VERSION, plugin_namespace=NAMESPACE) for name in names]


@needs_gcc
@pytest.mark.parametrize(("version", "said"), [("0.0.9", "of version 0.0.9"), (None, "no library of edgefer plugins")])
def test_a_library_of_another_version(tmp_path: Path, version: str | None, said: str) -> None:
    found = Registry(library=creators(*OPERATIONS))
    with pytest.raises(PluginMissing, match=f"is {said}, expected version {__version__}"):
        registry.register(flavour_with(found), compiled(tmp_path, version))
    assert not found.loaded


@needs_gcc
def test_a_library_takes_the_place_of_the_plugins_in_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = compiled(tmp_path, __version__)
    monkeypatch.setenv(registry.LIBRARY, str(path))
    found = Registry(library=creators(*OPERATIONS))
    assert registry.register(flavour_with(found)) == {(NAMESPACE, name) for name in OPERATIONS}
    assert found.loaded == [str(path)]
    assert len(found.all_creators) == len(OPERATIONS)
    monkeypatch.delenv(registry.LIBRARY)
    with pytest.raises(PluginMissing, match=r"are from .*library.*, asked for those from Python"):
        registry.register(flavour_with(found))


@needs_gcc
def test_a_library_that_tensorrt_does_not_take(tmp_path: Path) -> None:
    with pytest.raises(PluginMissing, match="TensorRT does not take the plugin library"):
        registry.register(flavour_with(Registry()), compiled(tmp_path, __version__))


@needs_gcc
def test_a_library_that_lacks_an_operator(tmp_path: Path) -> None:
    found = Registry(library=creators("CbamAttention", "ChannelGate", "GatedPool", "GatedFusion"))
    with pytest.raises(PluginMissing, match="has no plugin for LocalGate of version 1"):
        registry.register(flavour_with(found), compiled(tmp_path, __version__))
