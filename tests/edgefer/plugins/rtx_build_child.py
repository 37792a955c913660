"""Builds one graph with TensorRT-RTX in a process of its own: `python rtx_build_child.py REQUEST`, a JSON file.

Prints one line of JSON: the plan's size and layers, or the error. What goes wrong inside TensorRT ends the process.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from edgefer.engine.builder import BuildLog, build
from edgefer.engine.flavours import load
from edgefer.engine.layers import parse_layers
from edgefer.errors import EdgeferError
from edgefer.plugins.registry import register


def main(request: dict[str, object]) -> dict[str, object]:
    flavour = load("tensorrt_rtx")
    operators = register(flavour, request.get("library"))  # type: ignore[arg-type]
    assert register(flavour, request.get("library")) == operators  # type: ignore[arg-type]
    log = BuildLog()
    graph = Path(str(request["graph"])).read_bytes()
    try:
        built = build(flavour, graph, tuple(request["batches"]), 1 << 28, log)  # type: ignore[arg-type]
    except EdgeferError as error:
        return {"error": error.message, "log": log.text()}
    layers, unparsed = parse_layers(log.layers)
    assert not unparsed
    return {
        "bytes": len(built.plan),
        "stored": [name for name in request["stored"] if str(name).encode() in built.plan],  # type: ignore[attr-defined]
        "outputs": [[list(each.shape), each.dtype] for each in built.outputs],
        "layers": [
            {
                "type": each.type,
                "reformat": each.is_reformat,
                "inputs": [[tensor.dtype, tensor.format, list(tensor.shape)] for tensor in each.inputs],
                "outputs": [[tensor.dtype, tensor.format, list(tensor.shape)] for tensor in each.outputs],
            }
            for each in layers
        ],
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
