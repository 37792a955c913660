"""Tries edgefer's plugins with the Python bindings of one TensorRT: `python bindings_child.py MODULE`.

Prints one line of JSON: what was found, for the test to judge. Only the bindings are real; behind them may be libraries
that do nothing.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from plugin_fakes import FakeKernels

from edgefer.engine.flavours import Flavour
from edgefer.errors import EdgeferError
from edgefer.kernels.plan import ORIN
from edgefer.plugins.creator import make_creator
from edgefer.plugins.fields import FIELDS, NAMESPACE, VERSION
from edgefer.plugins.operations import OPERATIONS
from edgefer.plugins.plugin import plugin_class

USED: dict[str, tuple[str, ...]] = {
    "IPluginV3": ("clone", "get_capability_interface"),
    "IPluginV3OneCore": ("plugin_name", "plugin_version", "plugin_namespace"),
    "IPluginV3OneBuild": (
        *("num_outputs", "timing_cache_id", "metadata_string", "get_output_data_types", "get_output_shapes"),
        *("supports_format_combination", "configure_plugin", "get_workspace_size"),
    ),
    "IPluginV3OneRuntime": (
        *("get_fields_to_serialize", "attach_to_context", "set_tactic", "on_shape_change", "enqueue"),
    ),
    "IPluginCreatorV3One": ("name", "plugin_version", "plugin_namespace", "field_names", "create_plugin"),
    "PluginField": ("name", "type", "size", "data"),
    "PluginFieldCollection": (),
    "PluginFieldType": ("INT32", "FLOAT32", "CHAR"),
    "PluginTensorDesc": ("dims", "type", "format"),
    "DynamicPluginTensorDesc": ("desc", "min", "max"),
    "TensorRTPhase": ("BUILD", "RUNTIME"),
    "DataType": ("FLOAT", "HALF", "INT8"),
    "TensorFormat": ("LINEAR", "HWC", "HWC8", "CHW32"),
    "DimsExprs": (),
    "DimensionOperation": ("SUM",),
    "IExprBuilder": ("operation",),
    "IPluginRegistry": ("register_creator", "load_library", "all_creators"),
    "get_plugin_registry": (),
}
"""Every class and attribute of TensorRT that edgefer/plugins uses."""

VALUES = {"int32": 3, "float32": 0.25, "char": "hard_sigmoid"}
FLAVOURS = {
    "tensorrt": Flavour("tensorrt", SimpleNamespace(), ""),
    "tensorrt_rtx": Flavour("tensorrt_rtx", SimpleNamespace(ComputeCapability=object()), ""),
}


def missing(trt: Any) -> list[str]:
    found = [name for name in USED if not hasattr(trt, name)]
    return found + [
        f"{name}.{member}"
        for name, members in USED.items()
        for member in members
        if not hasattr(getattr(trt, name, None), member)
    ]


def serialised(trt: Any) -> dict[str, Any]:
    """For each operator: the fields that a plugin made of fields stores, read as numbers and bytes."""
    answers = {}
    for name, operation in OPERATIONS.items():
        plugin = plugin_class(trt, operation, FLAVOURS["tensorrt"].plugin_formats, (ORIN,), FakeKernels)
        creator = make_creator(trt, operation, plugin)
        assert (creator.name, creator.plugin_version, creator.plugin_namespace) == (name, VERSION, NAMESPACE)
        said = [each.name for each in creator.field_names]
        kinds = {"int32": trt.PluginFieldType.INT32, "float32": trt.PluginFieldType.FLOAT32}
        dtypes = {"int32": np.int32, "float32": np.float32}
        given = [
            trt.PluginField(each.name, np.array([VALUES[each.type]], dtypes[each.type]), kinds[each.type])
            if each.type != "char"
            else trt.PluginField(each.name, np.frombuffer(b"hard_sigmoid\0", np.int8), trt.PluginFieldType.CHAR)
            for each in FIELDS[name]
        ]
        made = creator.create_plugin("node", trt.PluginFieldCollection(given), trt.TensorRTPhase.BUILD)
        stored = made.get_fields_to_serialize()
        again = creator.create_plugin("", stored, trt.TensorRTPhase.RUNTIME)
        clone = made.clone().attach_to_context(None)
        assert made.node.values == again.node.values == clone.node.values
        assert (made.plugin_name, made.plugin_version, made.plugin_namespace) == (name, VERSION, NAMESPACE)
        assert made.num_outputs == 1
        assert made.get_capability_interface(trt.PluginCapabilityType.BUILD) is made
        answers[name] = {
            "declared": said,
            "stored": [
                [each.name, str(each.type).rsplit(".", 1)[-1], int(each.size), again.node.values[each.name]]
                for each in stored
            ],
            "timing_cache_id": made.timing_cache_id,
        }
    return answers


def refused(trt: Any) -> dict[str, str]:
    """What creators say to fields that are wrong."""
    operation = OPERATIONS["CbamAttention"]
    plugin = plugin_class(trt, operation, FLAVOURS["tensorrt"].plugin_formats, (ORIN,), FakeKernels)
    creator = make_creator(trt, operation, plugin)
    wrong = trt.PluginField("relu", np.array([1.0], np.float32), trt.PluginFieldType.FLOAT32)
    answers = {}
    for phase in ("BUILD", "RUNTIME"):
        try:
            creator.create_plugin("node", trt.PluginFieldCollection([wrong]), getattr(trt.TensorRTPhase, phase))
        except EdgeferError as error:
            answers[phase] = f"{type(error).__name__}: {error.message}"
    return answers


def described(trt: Any, shape: tuple[int, ...], kind: Any, form: Any) -> Any:
    description = trt.DynamicPluginTensorDesc()
    description.desc.dims = trt.Dims(shape)
    description.desc.type, description.desc.format = kind, form
    description.min, description.max = trt.Dims((1, *shape[1:])), trt.Dims((8, *shape[1:]))
    return description


def offered(trt: Any) -> dict[str, list[str]]:
    """Formats that ChannelGate takes for its map, by flavour, type and channels."""
    answers = {}
    for name, flavour in FLAVOURS.items():
        for kind, channels in (("FLOAT", 32), ("FLOAT", 9), ("HALF", 32), ("HALF", 12), ("INT8", 32), ("INT32", 32)):
            scale = 0.1 if kind == "INT8" else 0.0
            plugin = plugin_class(trt, OPERATIONS["ChannelGate"], flavour.plugin_formats, (ORIN,), FakeKernels)
            values = {each.name: each.default for each in FIELDS["ChannelGate"]}
            node = plugin({**values, "x_scale": scale, "y_scale": scale})
            answers[f"{name} {kind} {channels}"] = [
                each
                for each, form in trt.TensorFormat.__members__.items()
                if node.supports_format_combination(
                    0, [described(trt, (-1, channels, 7, 5), getattr(trt.DataType, kind), form)], 5
                )
            ]
    return answers


def run(trt: Any) -> dict[str, Any]:
    """A whole negotiation, sizes and a call of ChannelGate in FP16, and a fusion's shape."""
    kernels, formats = FakeKernels(), FLAVOURS["tensorrt"].plugin_formats
    plugin = plugin_class(trt, OPERATIONS["ChannelGate"], formats, (ORIN,), lambda: kernels)
    node = plugin({each.name: each.default for each in FIELDS["ChannelGate"]})
    half, linear, hwc8 = trt.DataType.HALF, trt.TensorFormat.LINEAR, trt.TensorFormat.HWC8
    weights = [(4, 32), (4,), (32, 4), (32,)]
    inputs = [described(trt, (-1, 32, 7, 5), half, hwc8)]
    inputs += [described(trt, shape, half, linear) for shape in weights]
    for each, shape in zip(inputs[1:], weights, strict=True):
        each.min = each.max = trt.Dims(shape)
    output = described(trt, (-1, 32, 7, 5), half, hwc8)
    assert all(node.supports_format_combination(place, [*inputs, output], 5) for place in range(6))
    node.configure_plugin(inputs, [output])
    workspace = node.get_workspace_size(inputs, [output])
    (kind,) = node.get_output_data_types([half] * 5)
    (shape,) = node.get_output_shapes([trt.DimsExprs(4)] + [trt.DimsExprs(1)] * 4, [], None)

    for each in (inputs[0], output):
        each.desc.dims = trt.Dims((3, 32, 7, 5))
    context = node.attach_to_context(None)
    real, result = [each.desc for each in inputs], [output.desc]
    context.on_shape_change(real, result)
    context.set_tactic(0)
    context.enqueue(real, result, [16, 32, 48, 64, 80], [96], 112, 7)
    ((plan, parameters, stream),) = kernels.launches
    fusion = plugin_class(trt, OPERATIONS["GatedFusion"], formats, (ORIN,), lambda: kernels)
    added: list[str] = []

    def operation(op: Any, first: Any, second: Any) -> None:
        added.append(str(op).rsplit(".", 1)[-1])

    (joined,) = fusion({each.name: each.default for each in FIELDS["GatedFusion"]}).get_output_shapes(
        [trt.DimsExprs(4)] * 2 + [trt.DimsExprs(1)] * 4, [], SimpleNamespace(operation=operation)
    )
    return {
        "workspace": workspace,
        "type": str(kind).rsplit(".", 1)[-1],
        "axes": [len(shape), len(joined)],
        "added": added,
        "grid": list(plan.launches[0].grid),
        "addresses": [parameters[name] for name in ("X", "W1", "b1", "W2", "b2", "Y")],
        "stream": stream,
    }


def main(module: str) -> None:
    trt = importlib.import_module(module)
    answer = {
        "version": trt.__version__,
        "missing": missing(trt),
        "serialised": serialised(trt),
        "refused": refused(trt),
        "offered": offered(trt),
        "run": run(trt),
    }
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
