"""What an enqueue launches: addresses in their fields, the plan of the batch at hand, nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from plugin_fakes import Desc, FakeKernels, describe, fake_trt

from edgefer.engine.flavours import Flavour
from edgefer.errors import CompileError, DeviceError
from edgefer.kernels.forms import F32_HWC, F32_LINEAR, Form
from edgefer.kernels.plan import HOPPER, ORIN
from edgefer.plugins.fields import defaults
from edgefer.plugins.operations import OPERATIONS
from edgefer.plugins.plugin import plugin_class

pytest.importorskip("onnx")

from plugin_graphs import MAPS, Sample, sample

FORMATS = Flavour("tensorrt", SimpleNamespace(), "10.3.0").plugin_formats
STREAM, WORKSPACE, OUTPUT = 7, 0x9000, 0xF000

OPERATORS = [
    sample("CbamAttention"),
    sample("CbamAttention", without=("R",)),
    sample("ChannelGate"),
    sample("ChannelGate", without=("b1",)),
    sample("GatedPool"),
    sample("GatedFusion"),
    sample("GatedFusion", without=("P",)),
    sample("LocalGate"),
]


def node_of(given: Sample, kernels: FakeKernels) -> Any:
    operation = OPERATIONS[given.operator]
    said = {"present": given.present} if operation.optional else {}
    made = plugin_class(fake_trt(), operation, FORMATS, (), lambda: kernels)
    return made({**defaults(given.operator), **given.attributes, **said})


def call(given: Sample, batch: int = 2) -> tuple[list[Desc], list[Desc], list[int]]:
    """Descriptions of inputs and output, and addresses of the inputs, for another batch."""
    operation = OPERATIONS[given.operator]
    names = [name for name in operation.inputs if name in given.tensors]
    inputs = []
    for name in names:
        shape = given.tensors[name].shape
        per_image = name in MAPS or name in operation.per_image
        inputs.append(describe((batch, *shape[1:]) if per_image else shape, F32_HWC if name in MAPS else F32_LINEAR))
    form = F32_HWC if operation.gives_map else Form("f32", "linear")
    return inputs, [describe((batch, *given.output[1:]), form)], [16 * (each + 1) for each in range(len(names))]


@pytest.mark.parametrize("given", OPERATORS, ids=lambda each: f"{each.operator}-{len(each.tensors)}")
def test_every_address_is_in_the_field_of_its_tensor(given: Sample) -> None:
    kernels, operation = FakeKernels(), OPERATIONS[given.operator]
    inputs, outputs, addresses = call(given)
    node = node_of(given, kernels).attach_to_context(None)
    node.on_shape_change(inputs, outputs)
    node.enqueue(inputs, outputs, addresses, [OUTPUT], WORKSPACE, STREAM)
    ((plan, parameters, stream),) = kernels.launches
    names = [name for name in operation.inputs if name in given.tensors]
    for name, address in zip(names, addresses, strict=True):
        assert parameters[name] == address
    assert parameters[operation.output] == OUTPUT
    assert parameters["workspace"] == (WORKSPACE if plan.workspace_bytes else None)
    assert stream == STREAM
    for name in operation.optional:
        assert (parameters[name] is None) == (name not in given.tensors)


def test_the_plan_is_that_of_the_actual_batch_on_the_actual_gpu() -> None:
    given, kernels = sample("LocalGate"), FakeKernels(gpu=HOPPER)
    node = node_of(given, kernels)
    for batch in (1, 3, 8, 3):
        inputs, outputs, addresses = call(given, batch)
        node.on_shape_change(inputs, outputs)
        node.enqueue(inputs, outputs, addresses, [OUTPUT], WORKSPACE, STREAM)
        plan = kernels.launches[-1][0]
        assert plan == node.node.prepare(inputs, outputs[0], HOPPER).plan
        assert plan.launches[0].grid[2] == batch
    assert kernels.launches[0][0] != node.node.prepare(*_one(given), ORIN).plan


def _one(given: Sample) -> tuple[list[Desc], Desc]:
    inputs, outputs, _ = call(given, 1)
    return inputs, outputs[0]


def test_a_batch_that_nobody_announced_is_planned_for() -> None:
    given, kernels = sample("LocalGate"), FakeKernels()
    node = node_of(given, kernels)
    node.on_shape_change(*call(given, 1)[:2])
    inputs, outputs, addresses = call(given, 5)
    node.enqueue(inputs, outputs, addresses, [OUTPUT], WORKSPACE, STREAM)
    assert kernels.launches[0][0].launches[0].grid[2] == 5


def test_one_structure_serves_all_calls_of_a_shape() -> None:
    given, kernels = sample("GatedPool"), FakeKernels()
    node = node_of(given, kernels)
    inputs, outputs, addresses = call(given)
    node.on_shape_change(inputs, outputs)
    prepared = dict(node.prepared)
    for shift in range(3):
        node.enqueue(inputs, outputs, [each + shift for each in addresses], [OUTPUT], WORKSPACE, STREAM)
    assert len({id(each) for each in kernels.structures}) == 1
    assert node.prepared == prepared
    assert [parameters["F"] for _, parameters, _ in kernels.launches] == [16, 17, 18]


def test_a_failing_launch_is_raised_for_the_bindings_to_report() -> None:
    """They make the error status of an exception; a value that is returned they drop."""
    given, kernels = sample("GatedPool"), FakeKernels(error=DeviceError("cuLaunchKernel failed", hint="-"))
    node = node_of(given, kernels)
    inputs, outputs, addresses = call(given)
    node.on_shape_change(inputs, outputs)
    with pytest.raises(DeviceError, match="cuLaunchKernel failed"):
        node.enqueue(inputs, outputs, addresses, [OUTPUT], WORKSPACE, STREAM)


def test_kernels_are_loaded_when_a_context_is_made_and_not_before() -> None:
    """The first enqueue may be inside a capture, where loading is not allowed."""
    given, kernels = sample("ChannelGate"), FakeKernels()
    loads: list[int] = []

    def load() -> FakeKernels:
        loads.append(1)
        return kernels

    made = plugin_class(fake_trt(), OPERATIONS["ChannelGate"], FORMATS, (ORIN,), load)
    node = made({**defaults("ChannelGate"), "present": given.present})
    node.clone()
    assert not loads
    assert node.attach_to_context(None).launcher is kernels
    assert len(loads) == 1


def test_without_a_gpu_a_context_cannot_be_made() -> None:
    def load() -> FakeKernels:
        raise DeviceError("there is no CUDA driver", hint="-")

    made = plugin_class(fake_trt(), OPERATIONS["LocalGate"], FORMATS, (ORIN,), load)
    with pytest.raises(DeviceError, match="no CUDA driver"):
        made(defaults("LocalGate")).attach_to_context(None)


def test_shapes_that_no_kernel_takes_are_refused_before_anything_is_launched() -> None:
    given, kernels = sample("GatedPool"), FakeKernels()
    node = node_of(given, kernels)
    inputs, outputs, _ = call(given)
    inputs[1].dims = (32, 8)
    with pytest.raises(CompileError, match=r"W has the shape \[32, 8\]"):
        node.on_shape_change(inputs, outputs)
    inputs, outputs, _ = call(given, 0)
    with pytest.raises(CompileError, match="open size"):
        node.on_shape_change(inputs, outputs)
