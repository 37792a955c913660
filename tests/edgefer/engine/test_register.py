"""Plugins registered with a TensorRT for a build, and what is said where they cannot be."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgefer.engine import register as registering
from edgefer.engine.driver import CudaDriver, Gpu
from edgefer.engine.flavours import Flavour
from edgefer.engine.register import register_plugins, unsupported, with_plugins
from edgefer.engine.tensors import Tensor
from edgefer.errors import EnvironmentMismatch, PluginMissing
from edgefer.kernels import cubins
from edgefer.plugins import registry

TENSORRT = Flavour("tensorrt", SimpleNamespace(IPluginV3=object), "10.3.0")


def refuse(error: Exception) -> Any:
    def register(flavour: Flavour) -> Any:
        raise error

    return register


def on(capability: str) -> CudaDriver:
    return CudaDriver(version="12.6", gpus=(Gpu(name="GPU", compute_capability=capability, memory_bytes=1),))


def test_a_tensorrt_that_knows_no_such_plugins_is_named_with_its_version() -> None:
    with pytest.raises(PluginMissing, match=r"tensorrt 8\.6\.1 has no plugins of version 3") as caught:
        register_plugins(Flavour("tensorrt", SimpleNamespace(), "8.6.1"))
    assert "--plugins inline" in caught.value.hint


def test_what_keeps_plugins_from_being_registered_is_a_missing_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "register", refuse(EnvironmentMismatch("no shim", hint="make a link", details="x")))
    with pytest.raises(PluginMissing, match=r"cannot be used with tensorrt 10\.3\.0: no shim") as caught:
        register_plugins(TENSORRT)
    assert caught.value.hint.startswith("make a link; or compile with --plugins inline")
    assert caught.value.details == "x"


def test_a_missing_plugin_stays_as_it_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    error = PluginMissing("the library is of another version", hint="build it again")
    monkeypatch.setattr(registry, "register", refuse(error))
    with pytest.raises(PluginMissing) as caught:
        register_plugins(TENSORRT)
    assert caught.value is error


def test_none_registered_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "register", lambda flavour: frozenset())
    with pytest.raises(PluginMissing, match="registered none"):
        register_plugins(TENSORRT)


def test_a_gpu_without_kernels_is_refused_before_anything_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "register", lambda flavour: frozenset({("edgefer", "CbamAttention")}))
    monkeypatch.setattr(registering, "cuda_driver", lambda: on("5.3"))
    with pytest.raises(PluginMissing, match=r"compute capability 5\.3") as caught:
        with_plugins(TENSORRT, b"")
    assert "8.7" in caught.value.details


def test_an_index_of_kernels_that_is_not_there_is_a_missing_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Any:
        raise EnvironmentMismatch("the index cannot be read")

    monkeypatch.setattr(registry, "register", lambda flavour: frozenset({("edgefer", "CbamAttention")}))
    monkeypatch.setattr(registering, "cuda_driver", lambda: on("8.7"))
    monkeypatch.setattr(registering, "index", missing)
    with pytest.raises(PluginMissing, match="the index cannot be read"):
        with_plugins(TENSORRT, b"")


def test_a_damaged_binary_shows_in_a_build_without_a_gpu_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(cubins.FOLDER, tmp_path / "cubins")
    (tmp_path / "cubins" / "sm_87.cubin.xz").write_bytes(b"cut off")
    monkeypatch.setattr(registry, "register", lambda flavour: frozenset({("edgefer", "CbamAttention")}))
    monkeypatch.setattr(registering, "read", partial(cubins.read, folder=tmp_path / "cubins"))
    ahead = Flavour("tensorrt_rtx", SimpleNamespace(IPluginV3=object, ComputeCapability=object), "1.7.1")
    with pytest.raises(PluginMissing, match=r"cannot be used with tensorrt_rtx 1\.7\.1: .*sm_87\.cubin\.xz is damaged"):
        with_plugins(ahead, b"")


def test_kernels_are_asked_by_shapes_and_types() -> None:
    pool = {"F": Tensor((-1, 32, 7, 7), "f16"), "W": Tensor((32, 32), "f16"), "b": Tensor((32,), "f16")}
    assert unsupported("GatedPool", {"square": 1}, pool) == ""
    assert "double" in unsupported("GatedPool", {}, {**pool, "W": Tensor((32, 32), "double")})
    assert "W" in unsupported("GatedPool", {}, {**pool, "W": Tensor((16, 32), "f16")})
