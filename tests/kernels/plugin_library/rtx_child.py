"""Uses plugins with TensorRT-RTX in a process of its own: `python rtx_child.py REQUEST`, a JSON file. Prints JSON.

`library` is the C++ library, or null for Python's plugins. Beside it stands one of two:

* `graphs`: the folders of each graph.onnx, where its plan is written. The answer has the layers of each.
* `fields`: values by operator. The answer has what both creators declare, and whether the library's takes what Python
  stores, whole and with a field left out.

With `opened` instead of them that library is opened and no more; the answer has the plugins that are registered then.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgefer.engine.builder import BuildLog, build
from edgefer.engine.flavours import Flavour, load
from edgefer.engine.layers import parse_layers
from edgefer.plugins.fields import NAMESPACE, VERSION, defaults
from edgefer.plugins.registry import register
from edgefer.plugins.serialise import declared, store

_KEPT: list[Any] = []


def main(request: Mapping[str, Any]) -> Any:
    flavour = load("tensorrt_rtx")
    if "opened" in request:
        return registered_by_opening(flavour, request["opened"])
    register(flavour, request["library"])
    if "fields" in request:
        return {operator: exchange(flavour, operator, values) for operator, values in request["fields"].items()}
    return [layers_of(flavour, Path(folder), request["batches"]) for folder in request["graphs"]]


def registered_by_opening(flavour: Flavour, library: str) -> list[list[str]]:
    _KEPT.append(ctypes.CDLL(library))
    creators = flavour.module.get_plugin_registry().all_creators
    return [[each.plugin_namespace, each.name, each.plugin_version] for each in creators]


def layers_of(flavour: Flavour, folder: Path, batches: list[int]) -> list[Any]:
    log = BuildLog()
    built = build(flavour, (folder / "graph.onnx").read_bytes(), tuple(batches), 1 << 28, log)
    (folder / "plan").write_bytes(built.plan)
    layers, unparsed = parse_layers(log.layers)
    assert not unparsed
    return [
        [each.type, *([tensor.dtype, tensor.format, list(tensor.shape)] for tensor in (*each.inputs, *each.outputs))]
        for each in layers
    ]


def exchange(flavour: Flavour, operator: str, values: Mapping[str, Any]) -> dict[str, Any]:
    trt = flavour.module
    creator = trt.get_plugin_registry().get_creator(operator, VERSION, NAMESPACE)
    stored = store(trt, operator, {**defaults(operator), **values})
    fewer = trt.PluginFieldCollection(list(stored.fields[1:]))
    build, run = trt.TensorRTPhase.BUILD, trt.TensorRTPhase.RUNTIME
    return {
        "declared": [_all(creator.field_names), _all(declared(trt, operator).collection)],
        "taken": [creator.create_plugin("node", stored.collection, phase) is not None for phase in (build, run)],
        "fewer": [creator.create_plugin("node", fewer, phase) is not None for phase in (build, run)],
    }


def _all(collection: Iterable[Any]) -> list[Any]:
    return [[each.name, str(each.type), each.size, np.asarray(each.data).tobytes().hex()] for each in collection]


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
