"""A TensorRT and a GPU that are neither: the classes and enumerations that the plugins use, with none of their work."""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from edgefer.kernels.forms import Form
from edgefer.kernels.plan import ORIN, Gpu, Plan


class DataType(enum.Enum):
    FLOAT, HALF, INT8, INT32, BOOL = range(5)


class TensorFormat(enum.Enum):
    LINEAR, CHW2, HWC8, CHW4, CHW16, CHW32, DHWC8, CDHW32, HWC, HWC16 = range(10)


class PluginFieldType(enum.Enum):
    FLOAT16, FLOAT32, FLOAT64, INT8, INT16, INT32, CHAR, DIMS, UNKNOWN = range(9)


class TensorRTPhase(enum.Enum):
    BUILD, RUNTIME = range(2)


class DimensionOperation(enum.Enum):
    SUM, PROD = range(2)


class PluginField:
    def __init__(self, name: str = "", data: Any = None, type: Any = PluginFieldType.UNKNOWN) -> None:  # noqa: A002
        self.name, self.data, self.type = name, data, type
        self.size = 0 if data is None else int(np.asarray(data).size)


class Empty:
    """Stands for each of TensorRT's base classes. They are different ones, as Python asks of bases."""


@dataclass
class Desc:
    """`PluginTensorDesc`."""

    dims: tuple[int, ...]
    type: Any
    format: Any


@dataclass
class Dynamic:
    """`DynamicPluginTensorDesc`."""

    desc: Desc
    min: tuple[int, ...] = ()
    max: tuple[int, ...] = ()


class Registry:
    def __init__(self, *, takes: bool = True, library: list[Any] | None = None) -> None:
        self.takes, self.library = takes, library
        self.all_creators: list[Any] = []
        self.loaded: list[str] = []

    def register_creator(self, creator: Any, namespace: str) -> bool:
        key = (creator.name, creator.plugin_version, namespace)
        known = {(each.name, each.plugin_version, each.plugin_namespace) for each in self.all_creators}
        if not self.takes or key in known:
            return False
        self.all_creators.append(creator)
        return True

    def load_library(self, plugin_path: str) -> object | None:
        self.loaded.append(plugin_path)
        if self.library is None:
            return None
        self.all_creators += self.library
        return object()


class ExprBuilder:
    def operation(self, op: Any, first: Any, second: Any) -> Any:
        return (op.name, first, second)


def fake_trt(registry: Registry | None = None, **more: Any) -> SimpleNamespace:
    names = ("IPluginV3", "IPluginV3OneCore", "IPluginV3OneBuild", "IPluginV3OneRuntime", "IPluginCreatorV3One")
    bases = {name: type(name, (Empty,), {}) for name in names}
    found = Registry() if registry is None else registry
    return SimpleNamespace(
        **bases,
        DataType=DataType,
        TensorFormat=TensorFormat,
        PluginFieldType=PluginFieldType,
        TensorRTPhase=TensorRTPhase,
        DimensionOperation=DimensionOperation,
        PluginField=PluginField,
        PluginFieldCollection=list,
        DimsExprs=list,
        get_plugin_registry=lambda: found,
        **more,
    )


_TYPES = {"f32": DataType.FLOAT, "f16": DataType.HALF, "i8": DataType.INT8}
_FORMATS = {
    "f32n": TensorFormat.LINEAR,
    "f32h": TensorFormat.HWC,
    "f16n": TensorFormat.LINEAR,
    "f16h": TensorFormat.HWC8,
    "i8c": TensorFormat.CHW32,
}


def describe(shape: Sequence[int], form: Form) -> Desc:
    """A description as TensorRT has it for a tensor of a form."""
    return Desc(tuple(shape), _TYPES[form.element], _FORMATS[form.code])


@dataclass
class FakeKernels:
    """Remembers what was launched, and fails where it is told to."""

    gpu: Gpu = ORIN
    error: Exception | None = None
    launches: list[tuple[Plan, dict[str, Any], Any]] = field(default_factory=list)
    structures: list[ctypes.Structure] = field(default_factory=list)

    def launch(self, plan: Plan, parameters: ctypes.Structure, stream: Any) -> None:
        if self.error is not None:
            raise self.error
        self.structures.append(parameters)
        self.launches.append((plan, dict(_items(parameters)), stream))


def _items(parameters: ctypes.Structure) -> Iterator[tuple[str, Any]]:
    for each in parameters._fields_:
        yield each[0], getattr(parameters, each[0])
