"""A plugin's enqueue, with the kernels on the host instead of a GPU, against onnxruntime on the operator's function.

Only addresses go from the plugin to the kernels, so the order of inputs, the fields of the parameters and the values
of the node are what is tested here.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from plugin_fakes import describe, fake_trt

from edgefer.engine.flavours import Flavour
from edgefer.errors import EnvironmentMismatch
from edgefer.kernels import cbam, channel_gate, gated_fusion, gated_pool, local_gate
from edgefer.kernels.forms import DTYPES, F16_HWC, F16_LINEAR, F32_HWC, F32_LINEAR, I8_CHW32, Form, pack, unpack
from edgefer.kernels.plan import ORIN, Gpu, Plan
from edgefer.plugins.fields import defaults
from edgefer.plugins.operations import OPERATIONS
from edgefer.plugins.plugin import plugin_class

pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
emulator = pytest.importorskip("kernels.tools.emulator")

from plugin_graphs import MAPS, Arrays, Sample, definition, sample  # noqa: E402

from edgefer_export.operators import OPERATORS  # noqa: E402
from kernels.cases.case import Buffer, error_of  # noqa: E402

SCALES = {"x_scale": 0.03, "r_scale": 0.05}
STREAM, WORKSPACE = 77, 0x7000_0000


class HostKernels:
    """Runs a plan on the host. Addresses are those of `memory`, which the plugin was told."""

    def __init__(self, machine: Any, gpu: Gpu = ORIN) -> None:
        self.machine, self.gpu = machine, gpu
        self.memory: dict[int, NDArray[Any]] = {}
        self.output: tuple[int, Buffer] | None = None
        self.result: NDArray[Any] | None = None

    def launch(self, plan: Plan, parameters: ctypes.Structure, stream: Any) -> None:
        assert stream == STREAM
        assert self.output is not None
        address, buffer = self.output
        values = {name: getattr(parameters, name) for name in _fields(parameters)}
        assert ctypes.sizeof(parameters) <= 4096  # what a launch may pass by value
        inputs = {name: self.memory[value] for name, value in values.items() if value in self.memory and value}
        (target,) = (name for name, value in values.items() if value == address)
        if plan.workspace_bytes:
            assert values["workspace"] == WORKSPACE
        for name, value in plan.parameters.items():
            assert np.isclose(values[name], value) if isinstance(value, float) else values[name] == value
        self.result = self.machine.run(plan, type(parameters), inputs, {target: buffer})[target]


def _fields(parameters: ctypes.Structure) -> list[str]:
    return [each[0] for each in parameters._fields_]


@pytest.fixture(scope="module")
def machine() -> Any:
    operations = (cbam, channel_gate, gated_pool, gated_fusion, local_gate)
    try:
        return emulator.Emulator.build([entry for each in operations for entry in each.ENTRIES])
    except EnvironmentMismatch as error:
        pytest.skip(str(error))


def through_plugin(
    machine: Any, given: Sample, form: Form, output_form: Form, weights: str, scales: Mapping[str, float]
) -> Arrays:
    """The tensors that the plugin's enqueue really read, in float64, and what it wrote as `out`, in steps for INT8."""
    operation = OPERATIONS[given.operator]
    trt = fake_trt()
    kernels = HostKernels(machine)
    flavour = Flavour("tensorrt", trt, "10.3.0")
    plugin = plugin_class(trt, operation, flavour.plugin_formats, (ORIN,), lambda: kernels)
    values = {**defaults(given.operator), **given.attributes, **scales}
    if operation.optional:
        values["present"] = given.present
    node = plugin(values).attach_to_context(None)

    descriptions, addresses, read = [], [], {}
    # In the order of the operator's definition, as a parser has them.
    for number, name in enumerate(each for each in OPERATORS[given.operator].inputs if each in given.tensors):
        array, is_map = given.tensors[name], name in MAPS
        own = form if is_map else Form(weights, "linear")  # type: ignore[arg-type]
        scale = scales.get(MAPS.get(name, ""), 1.0)
        memory = pack(array, own, scale) if is_map else array.astype(DTYPES[own.element])
        read[name] = unpack(memory, own, array.shape, scale) if is_map else memory.astype(np.float64)
        addresses.append(0x1000_0000 * (number + 1))
        kernels.memory[addresses[-1]] = np.ascontiguousarray(memory)
        descriptions.append(describe(array.shape, own))
    result = describe(given.output, output_form)
    for position in range(len(descriptions) + 1):
        assert node.node.supports(position, [*descriptions, result], len(descriptions)), position
    shape = pack(np.zeros(given.output), output_form).shape if operation.gives_map else given.output
    kernels.output = (0xF000_0000, Buffer(shape, DTYPES[output_form.element]))

    node.on_shape_change(descriptions, [result])
    node.enqueue(descriptions, [result], addresses, [0xF000_0000], WORKSPACE, STREAM)
    assert kernels.result is not None
    out = kernels.result
    read["out"] = unpack(out, output_form, given.output) if operation.gives_map else out.astype(np.float64)
    return read


FLOATS = [F32_LINEAR, F32_HWC, F16_LINEAR, F16_HWC]


def nodes() -> list[Any]:
    made = [
        ("cbam", sample("CbamAttention", relu=1)),
        ("cbam alone, 3x3", sample("CbamAttention", without=("R",), spatial_kernel=3)),
        ("cbam in two launches", sample("CbamAttention", size=(45, 40), relu=1)),
        ("gate", sample("ChannelGate")),
        ("gate in two launches", sample("ChannelGate", size=(45, 40))),
        ("hard gate", sample("ChannelGate", gate="hard_sigmoid", alpha=0.25, beta=0.4)),
        ("gate without first bias", sample("ChannelGate", without=("b1",))),
        ("gate without second bias", sample("ChannelGate", without=("b2",))),
        ("gate without biases", sample("ChannelGate", without=("b1", "b2"))),
        ("pool", sample("GatedPool")),
        ("pool, squares", sample("GatedPool", square=1)),
        ("fusion", sample("GatedFusion", without=("P",), square_infrared=1)),
        ("fusion, mask", sample("GatedFusion", interleave=1, square_visible=1)),
        ("local", sample("LocalGate")),
    ]
    return [pytest.param(given, id=name) for name, given in made]


def expected(given: Sample, read: Arrays) -> NDArray[np.float64]:
    session = ort.InferenceSession(definition(given).SerializeToString(), providers=["CPUExecutionProvider"])
    feed = {name: array.astype(np.float32) for name, array in read.items() if name != "out"}
    return np.asarray(session.run(None, feed)[0], dtype=np.float64)


@pytest.mark.parametrize("form", FLOATS, ids=lambda form: form.code)
@pytest.mark.parametrize("given", nodes())
def test_floating_point(machine: Any, given: Sample, form: Form) -> None:
    output = form if OPERATIONS[given.operator].gives_map else Form(form.element, "linear")
    read = through_plugin(machine, given, form, output, form.element, {})
    assert not error_of(form.element, read["out"], expected(given, read))


@pytest.mark.parametrize("weights", ["f32", "f16"])
@pytest.mark.parametrize("given", nodes())
def test_int8(machine: Any, given: Sample, weights: str) -> None:
    """INT8 in, and INT8 out where the operator gives a map."""
    scales = {MAPS[name]: SCALES[MAPS[name]] for name in given.tensors if name in MAPS}
    is_map = OPERATIONS[given.operator].gives_map
    if is_map:
        scales["y_scale"] = 0.02
    output = I8_CHW32 if is_map else Form(weights, "linear")  # type: ignore[arg-type]
    read = through_plugin(machine, given, I8_CHW32, output, weights, scales)
    reference = expected(given, read)
    if is_map:
        assert not error_of("i8", read["out"], reference / scales["y_scale"])
    else:
        assert not error_of(weights, read["out"], reference)


@pytest.mark.parametrize("form", [F32_HWC, F16_HWC], ids=lambda form: form.code)
@pytest.mark.parametrize("operator", ["CbamAttention", "ChannelGate"])
def test_floating_point_in_and_int8_out(machine: Any, operator: str, form: Form) -> None:
    given = sample(operator)
    read = through_plugin(machine, given, form, I8_CHW32, form.element, {"y_scale": 0.02})
    assert not error_of("i8", read["out"], expected(given, read) / 0.02)
