"""What is timed: each operation in the sizes that ResNets give it, with numbers drawn at random."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from edgefer.bundle.manifest import ImageSpec
from edgefer.kernels import cbam, channel_gate, gated_fusion, gated_pool, local_gate, preprocess
from edgefer.kernels.forms import DTYPES, F16_HWC, I8_CHW32, Form
from edgefer.kernels.plan import Gpu, Plan
from edgefer.kernels.preprocess_frame import Camera, Frame, Output
from edgefer.kernels.preprocess_view import fitted, packed
from kernels.cases.case import Buffer
from kernels.cases.preprocess_memory import memory_of

STAGES = ((64, 56), (128, 28), (256, 14), (512, 7))
"""Channels and sides of the maps in the four stages of a ResNet-18 at 224 x 224."""
BATCHES = (1, 8, 64)
REDUCTION = 16
_STEP = 0.05


@dataclass(frozen=True)
class Workload:
    """`moved` and `floor` are bytes: what the plan's launches must move, and what any kernel must."""

    operation: str
    stage: str
    batch: int
    form: str
    plan: Plan
    structure: type[ctypes.Structure]
    inputs: Mapping[str, NDArray[Any]]
    outputs: Mapping[str, Buffer]
    moved: int
    floor: int

    @property
    def name(self) -> str:
        return f"{self.operation} {self.stage} batch {self.batch} {self.form}"


def workloads(operation: str, gpu: Gpu, batches: tuple[int, ...] = BATCHES) -> Iterator[Workload]:
    """All of an operation, one after the other: those of large batches fill hundreds of megabytes."""
    generator = np.random.default_rng(0)
    for batch in batches:
        if operation in ("cbam", "channel_gate"):
            for channels, side in STAGES:
                for form in (F16_HWC, I8_CHW32):
                    make = _cbam if operation == "cbam" else _channel_gate
                    yield make((batch, channels, side, side), form, gpu, generator)
        elif operation == "preprocess":
            yield _preprocess(batch, gpu, generator)
        else:
            make_head = {"gated_pool": _gated_pool, "gated_fusion": _gated_fusion, "local_gate": _local_gate}[operation]
            yield make_head((batch, 512, 7, 7), gpu, generator)


Shape = tuple[int, int, int, int]


def _cbam(shape: Shape, form: Form, gpu: Gpu, generator: Generator) -> Workload:
    hidden = shape[1] // REDUCTION
    step = _STEP if form.element == "i8" else 0.0
    node = cbam.Cbam(
        shape, hidden, form, form, "f16", relu=True, residual=True, x_scale=step, r_scale=step, y_scale=step
    )
    inputs = {
        "X": _map(shape, form, generator),
        "R": _map(shape, form, generator),
        **_layers(shape[1], hidden, generator),
        "Ws": _weights((1, 2, 7, 7), generator),
        "bs": _weights((1,), generator),
    }
    outputs = {"Y": Buffer(inputs["X"].shape, DTYPES[form.element])}
    return _workload("cbam", cbam.CbamParams, node, gpu, inputs, outputs)


def _channel_gate(shape: Shape, form: Form, gpu: Gpu, generator: Generator) -> Workload:
    hidden = shape[1] // REDUCTION
    step = _STEP if form.element == "i8" else 0.0
    node = channel_gate.ChannelGate(shape, hidden, form, form, "f16", x_scale=step, y_scale=step)
    inputs = {"X": _map(shape, form, generator), **_layers(shape[1], hidden, generator)}
    outputs = {"Y": Buffer(inputs["X"].shape, DTYPES[form.element])}
    return _workload("channel_gate", channel_gate.ChannelGateParams, node, gpu, inputs, outputs)


def _gated_pool(shape: Shape, gpu: Gpu, generator: Generator) -> Workload:
    inputs = _tower("", shape, generator)
    node = gated_pool.GatedPool(shape, F16_HWC, "f16")
    outputs = {"f": Buffer(shape[:2], np.float16)}
    return _workload("gated_pool", gated_pool.GatedPoolParams, node, gpu, inputs, outputs)


def _gated_fusion(shape: Shape, gpu: Gpu, generator: Generator) -> Workload:
    inputs = {**_tower("v", shape, generator), **_tower("i", shape, generator)}
    node = gated_fusion.GatedFusion(shape, shape, F16_HWC, "f16", interleave=True)
    outputs = {"f": Buffer((shape[0], 2 * shape[1]), np.float16)}
    return _workload("gated_fusion", gated_fusion.GatedFusionParams, node, gpu, inputs, outputs)


def _local_gate(shape: Shape, gpu: Gpu, generator: Generator) -> Workload:
    hidden = shape[1] // 4
    node = local_gate.LocalGate(shape, hidden, F16_HWC, "f16")
    inputs = {"Z": _map(shape, F16_HWC, generator), **_layers(shape[1], hidden, generator)}
    outputs = {"f": Buffer(shape[:2], np.float16)}
    return _workload("local_gate", local_gate.LocalGateParams, node, gpu, inputs, outputs)


def _workload(
    operation: str,
    structure: type[ctypes.Structure],
    node: Any,
    gpu: Gpu,
    inputs: Mapping[str, NDArray[Any]],
    outputs: Mapping[str, Buffer],
) -> Workload:
    """The workload of a node; the modules of all operators have the same functions for theirs."""
    module = importlib.import_module(f"edgefer.kernels.{operation}")
    plan = module.plan(node, gpu)
    batch, channels, height, width = node.shape
    return Workload(
        operation=operation,
        stage=f"{height}x{width}x{channels}",
        batch=batch,
        form=node.form.code,
        plan=plan,
        structure=structure,
        inputs=inputs,
        outputs=outputs,
        moved=module.bytes_moved(node, plan),
        floor=module.floor_bytes(node),
    )


def _preprocess(batch: int, gpu: Gpu, generator: Generator) -> Workload:
    """Whole frames of both cameras into one input of four channels."""
    colour, heat, size = Frame("bgr8", 720, 1280), Frame("y16", 480, 640), (224, 224)
    visible, infrared = Camera(colour, ImageSpec(colour="rgb"), 3), Camera(heat, ImageSpec(colour="grey"), 1)
    inputs: dict[str, NDArray[Any]] = {}
    for name, camera in (("visible", visible), ("infrared", infrared)):
        frame = camera.frame
        inputs[name] = memory_of(frame, batch, generator).pixels
        inputs[f"{name}_views"] = packed([fitted(camera.image, size, (frame.height, frame.width))] * batch)
    output = Buffer((batch, *size, 8), np.float16)
    bytes_ = sum(array.nbytes for array in inputs.values()) + 2 * int(np.prod(output.shape))
    return Workload(
        operation="preprocess",
        stage="1280x720 and 640x480 to 224x224",
        batch=batch,
        form="f16h8",
        plan=preprocess.plan(visible, infrared, Output("f16h8", *size), gpu, frames=batch),
        structure=preprocess.PreprocessParams,
        inputs=inputs,
        outputs={"y": output},
        moved=bytes_,
        floor=bytes_,
    )


def _map(shape: Shape, form: Form, generator: Generator) -> NDArray[Any]:
    """A feature map as it lies in memory: (N, H, W, C), or (N, C/32, H, W, 32) of whole numbers."""
    batch, channels, height, width = shape
    if form.element == "i8":
        return generator.integers(-127, 128, (batch, channels // 32, height, width, 32), np.int8)
    return generator.standard_normal((batch, height, width, channels), np.float32).astype(np.float16)


def _layers(channels: int, hidden: int, generator: Generator) -> dict[str, NDArray[Any]]:
    return {
        "W1": _weights((hidden, channels), generator),
        "b1": _weights((hidden,), generator),
        "W2": _weights((channels, hidden), generator),
        "b2": _weights((channels,), generator),
    }


def _tower(name: str, shape: Shape, generator: Generator) -> dict[str, NDArray[Any]]:
    channels = shape[1]
    return {
        f"F{name}": _map(shape, F16_HWC, generator),
        f"W{name}": _weights((channels, channels), generator),
        f"b{name}": _weights((channels,), generator),
    }


def _weights(shape: tuple[int, ...], generator: Generator) -> NDArray[np.float16]:
    values = generator.standard_normal(shape, np.float32)
    return np.asarray(values / np.sqrt(np.prod(shape[1:])), np.float16)
