"""Layer by layer through OpenVINO's counters, of a model compiled with `PERF_COUNT`.

Times come from the infer request; kinds, shapes, precisions and what was fused into what from the executed model that
the compiled one describes. Layers that were fused away or folded do not run and are left out.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from edgefer.benchmark.layers.blocks import Node, blocks_of
from edgefer.benchmark.layers.rows import Profile, Row
from edgefer.benchmark.layers.work import INT8, Tensor, is_product, is_reformat, operations, traffic
from edgefer.errors import EdgeferError

Feeds = Mapping[str, npt.NDArray[Any]]

_TYPES = {
    "f64": "fp64",
    "f32": "fp32",
    "f16": "fp16",
    "bf16": "bf16",
    "i64": "int64",
    "i32": "int32",
    "i8": "int8",
    "u8": "uint8",
    "boolean": "bool",
}
_FOLDED = ("const", "constant")
_NOT_RUN = (*_FOLDED, "input", "parameter", "result", "output")
_ABSENT = ("dynamic", "undefined")
_WARM_UP = 5


def profile(compiled: Any, feeds: Feeds, *, runs: int, seconds: float) -> Profile:
    """Run on one request: at least `runs` times, and on until `seconds` have passed.

    Args:
        compiled: an `openvino.CompiledModel` with the property PERF_COUNT.
        feeds: inputs by name.

    Raises:
        EdgeferError: the model was compiled without counters.
    """
    request = compiled.create_infer_request()
    durations: dict[str, list[float]] = defaultdict(list)
    whole: list[float] = []
    started, done = time.monotonic(), 0
    while done < runs + _WARM_UP or time.monotonic() - started < seconds:
        before = time.perf_counter()
        outputs = request.infer(feeds)
        after = time.perf_counter()
        done += 1
        if done <= _WARM_UP:
            continue
        whole.append(after - before)
        for each in request.profiling_info:
            if str(each.status).endswith("EXECUTED"):
                durations[each.node_name].append(each.real_time.total_seconds())
    if not durations:
        raise EdgeferError("OpenVINO gave no times of layers", hint="the model must be compiled with PERF_COUNT")
    rows = layer_rows(compiled.get_runtime_model(), {name: statistics.median(each) for name, each in durations.items()})
    layers = sum(row.seconds or 0.0 for row in rows)
    note = (
        f"medians of {len(whole)} runs with counters, which slow them down: layers are {layers * 1e3:.3g} of "
        f"{statistics.median(whole) * 1e3:.3g} ms a run"
    )
    interface = float(sum(array.nbytes for array in (*feeds.values(), *outputs.values())))
    return Profile("openvino-profiler", rows, note, interface)


def layer_rows(executed: Any, seconds: Mapping[str, float]) -> tuple[Row, ...]:
    """The rows of the layers that ran.

    Args:
        executed: the model that `CompiledModel.get_runtime_model` gives.
        seconds: of every layer that ran, by name.
    """
    layers = executed.get_ordered_ops()
    information = {layer.get_friendly_name(): _information(layer) for layer in layers}
    blocks = blocks_of([_node(layer, information[layer.get_friendly_name()]) for layer in layers])
    rows = []
    for layer, block in zip(layers, blocks, strict=True):
        name = layer.get_friendly_name()
        told = information[name]
        if name not in seconds or told["layerType"].lower() in _NOT_RUN:
            continue
        rows.append(_row(layer, told, block, seconds[name]))
    return tuple(rows)


def _row(layer: Any, told: Mapping[str, str], block: str, seconds: float) -> Row:
    kind = told["layerType"]
    # An optional operand that is not there has a port of no type.
    ports = [(port, tensor) for port in layer.inputs() if (tensor := _tensor(port)).dtype not in _ABSENT]
    inputs = [tensor for _, tensor in ports]
    outputs = [_tensor(port) for port in layer.outputs()]
    constants = [tensor for port, tensor in ports if _kind_of(port.get_source_output().get_node()) in _FOLDED]
    product = is_product(kind)
    precision = _TYPES.get(told.get("runtimePrecision", ""), told.get("runtimePrecision", "unknown"))
    done = operations(kind, inputs, outputs)
    if kind.lower() == "subgraph":  # one loop over the element-wise layers that were fused into it
        done *= max(1, len([name for name in told.get("originalLayersNames", "").split(",") if name]))
    return Row(
        name=layer.get_friendly_name(),
        block=block,
        kind=kind,
        precision="int8" if product and precision in INT8 else precision,
        seconds=seconds,
        reformat=is_reformat(kind),
        product=product,
        operations=done,
        traffic=traffic([*inputs, *outputs]),
        parameters=traffic(constants),
    )


def _node(layer: Any, told: Mapping[str, str]) -> Node:
    originals = [name for name in told.get("originalLayersNames", "").split(",") if name]
    name = layer.get_friendly_name() if told["layerType"].lower() != "reorder" else ""
    outputs = [f"{layer.get_friendly_name()}:{index}" for index in range(len(layer.outputs()))]
    inputs = []
    for each in layer.inputs():
        source = each.get_source_output()
        inputs.append(f"{source.get_node().get_friendly_name()}:{source.get_index()}")
    return Node(_told(name, originals), told["layerType"], tuple(inputs), tuple(outputs))


def _told(name: str, originals: list[str]) -> str:
    """The name of a layer as its first part has it: OpenVINO adds steps of its own (`/WithoutBiases`) behind it."""
    return originals[0] if originals and "/" in originals[0] else name


def _information(layer: Any) -> dict[str, str]:
    return {
        key: value.astype(str) if hasattr(value, "astype") else str(value) for key, value in layer.get_rt_info().items()
    }


def _kind_of(layer: Any) -> str:
    return _information(layer).get("layerType", "").lower()


def _tensor(port: Any) -> Tensor:
    name = port.get_element_type().get_type_name()
    shape = port.get_partial_shape()
    axes = tuple(int(axis.get_length()) if axis.is_static else -1 for axis in shape)
    return Tensor(_TYPES.get(name, name), axes)
