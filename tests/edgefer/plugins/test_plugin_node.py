"""What a plugin says while TensorRT builds: formats, types, shapes and memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from plugin_fakes import DataType, Desc, Dynamic, ExprBuilder, FakeKernels, TensorFormat, describe, fake_trt

from edgefer.engine.flavours import Flavour
from edgefer.errors import CompileError
from edgefer.kernels.forms import F16_HWC, F16_LINEAR, F32_HWC, F32_LINEAR, I8_CHW32, Form
from edgefer.kernels.plan import HOPPER, ORIN, Gpu
from edgefer.kernels.tiles import LEAST_SHARED_BYTES
from edgefer.plugins.fields import defaults
from edgefer.plugins.operations import OPERATIONS
from edgefer.plugins.plugin import ELSEWHERE, plugin_class

pytest.importorskip("onnx")

from plugin_graphs import MAPS, Sample, sample

TENSORRT = Flavour("tensorrt", SimpleNamespace(), "10.3.0")
RTX = Flavour("tensorrt_rtx", SimpleNamespace(ComputeCapability=object()), "1.7.1")


def plugin_of(given: Sample, flavour: Flavour = TENSORRT, **values: Any) -> Any:
    operation = OPERATIONS[given.operator]
    kernels = FakeKernels()
    made = plugin_class(fake_trt(), operation, flavour.plugin_formats, (ORIN,), lambda: kernels)
    said = {"present": given.present} if operation.optional else {}
    return made({**defaults(given.operator), **given.attributes, **said, **values})


def descriptions(given: Sample, form: Form, weights: str = "f32") -> list[Desc]:
    names = [name for name in OPERATIONS[given.operator].inputs if name in given.tensors]
    return [
        describe(given.tensors[name].shape, form if name in MAPS else Form(weights, "linear"))  # type: ignore[arg-type]
        for name in names
    ]


def accepted(plugin: Any, wanted: list[Desc], count: int) -> bool:
    return all(
        plugin.supports_format_combination(position, [Dynamic(each) for each in wanted], count)
        for position in range(count + 1)
    )


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
every_operator = pytest.mark.parametrize("given", OPERATORS, ids=lambda each: f"{each.operator}-{len(each.tensors)}")


@every_operator
@pytest.mark.parametrize("form", [F32_LINEAR, F32_HWC, F16_LINEAR, F16_HWC], ids=lambda form: form.code)
def test_maps_keep_one_form_and_weights_are_linear(given: Sample, form: Form) -> None:
    plugin, inputs = plugin_of(given), descriptions(given, form, form.element)
    is_map = OPERATIONS[given.operator].gives_map
    output = describe(given.output, form if is_map else Form(form.element, "linear"))
    assert accepted(plugin, [*inputs, output], len(inputs))
    other = {"f32": F16_LINEAR, "f16": F32_LINEAR}[form.element]
    assert not accepted(plugin, [*inputs, describe(given.output, other)], len(inputs))
    for position in range(1, len(inputs)):
        wrong = [*inputs]
        wrong[position] = describe(inputs[position].dims, other)
        assert not accepted(plugin, [*wrong, output], len(inputs)), position
    if is_map:
        changed = Form(form.element, "linear" if form.layout == "hwc" else "hwc")
        assert not accepted(plugin, [*inputs, describe(given.output, changed)], len(inputs))


@every_operator
@pytest.mark.parametrize("weights", ["f32", "f16"])
def test_int8_maps_beside_floating_weights(given: Sample, weights: str) -> None:
    scales = {MAPS[name]: 0.1 for name in given.tensors if name in MAPS}
    is_map = OPERATIONS[given.operator].gives_map
    if is_map:
        scales["y_scale"] = 0.2
    plugin, inputs = plugin_of(given, **scales), descriptions(given, I8_CHW32, weights)
    output = describe(given.output, I8_CHW32 if is_map else Form(weights, "linear"))  # type: ignore[arg-type]
    assert accepted(plugin, [*inputs, output], len(inputs))
    # Without scales nobody said that anything is INT8.
    assert not accepted(plugin_of(given), [*inputs, output], len(inputs))
    linear = Desc(inputs[0].dims, DataType.INT8, TensorFormat.LINEAR)
    assert not plugin.supports_format_combination(0, [Dynamic(linear)], len(inputs))


@pytest.mark.parametrize("operator", ["CbamAttention", "ChannelGate"])
def test_a_float_may_become_int8(operator: str) -> None:
    given = sample(operator)
    plugin, inputs = plugin_of(given, y_scale=0.1), descriptions(given, F16_HWC, "f16")
    assert accepted(plugin, [*inputs, describe(given.output, I8_CHW32)], len(inputs))
    assert not accepted(plugin, [*inputs, describe(given.output, F16_HWC)], len(inputs))


def test_rtx_is_not_offered_the_linear_layout_where_another_does() -> None:
    given = sample("ChannelGate")
    plugin = plugin_of(given, RTX)
    half = Desc((-1, 32, 7, 5), DataType.HALF, TensorFormat.HWC)
    assert plugin.supports_format_combination(0, [Dynamic(half)], 5)
    assert not plugin.supports_format_combination(0, [Dynamic(describe((2, 32, 7, 5), F16_LINEAR))], 5)
    odd = describe((2, 9, 7, 5), F16_LINEAR)
    assert plugin.supports_format_combination(0, [Dynamic(odd)], 5)


def test_rtx_is_offered_one_name_of_a_layout_for_the_output_too() -> None:
    """HWC8 is the same memory here, and TensorRT-RTX would pack the map anew for it."""
    given = sample("ChannelGate")
    plugin, inputs = plugin_of(given, RTX), descriptions(given, F16_HWC, "f16")
    inputs[0].format = TensorFormat.HWC
    output = describe(given.output, F16_HWC)
    assert output.format is TensorFormat.HWC8
    assert not accepted(plugin, [*inputs, output], 5)
    output.format = TensorFormat.HWC
    assert accepted(plugin, [*inputs, output], 5)


@every_operator
def test_types_and_shapes_of_the_output(given: Sample) -> None:
    plugin, count = plugin_of(given), len(given.tensors)
    assert plugin.get_output_data_types([DataType.HALF] * count) == [DataType.HALF]
    names = [name for name in OPERATIONS[given.operator].inputs if name in given.tensors]
    shapes = [("N", *given.tensors[name].shape[1:]) for name in names]
    (found,) = plugin.get_output_shapes(shapes, [], ExprBuilder())
    if given.operator == "GatedFusion":
        assert found == ["N", ("SUM", 32, 32)]
    else:
        assert found == ["N", *given.output[1:]]


@pytest.mark.parametrize(
    ("scales", "types", "expected"),
    [
        ({"x_scale": 0.1}, ["INT8", "HALF", "HALF", "HALF", "HALF"], "HALF"),
        ({"x_scale": 0.1}, ["INT8", "FLOAT", "FLOAT", "FLOAT", "FLOAT"], "FLOAT"),
        ({"x_scale": 0.1, "y_scale": 0.1}, ["INT8", "HALF", "HALF", "HALF", "HALF"], "INT8"),
        ({"y_scale": 0.1}, ["FLOAT", "FLOAT", "FLOAT", "FLOAT", "FLOAT"], "INT8"),
    ],
)
def test_type_of_the_output_with_scales(scales: dict[str, float], types: list[str], expected: str) -> None:
    plugin = plugin_of(sample("ChannelGate"), **scales)
    assert plugin.get_output_data_types([DataType[each] for each in types]) == [DataType[expected]]


def test_types_that_no_kernel_takes_are_named() -> None:
    with pytest.raises(CompileError, match=r"expected FLOAT, HALF or INT8"):
        plugin_of(sample("GatedPool")).get_output_data_types([DataType.INT32] * 3)


@pytest.mark.parametrize(
    ("operator", "present", "count", "names"),
    [
        ("ChannelGate", -1, 5, "X W1 b1 W2 b2"),
        ("ChannelGate", -1, 3, "X W1 W2"),
        ("ChannelGate", 1, 4, "X W1 b1 W2"),
        ("ChannelGate", 2, 4, "X W1 W2 b2"),
        ("CbamAttention", 0, 7, "X W1 b1 W2 b2 Ws bs"),
        ("CbamAttention", 1, 8, "X W1 b1 W2 b2 Ws bs R"),
        ("GatedFusion", -1, 7, "Fv Fi Wv bv Wi bi P"),
    ],
)
def test_which_inputs_are_there(operator: str, present: int, count: int, names: str) -> None:
    assert OPERATIONS[operator].given({"present": present}, count) == tuple(names.split())


@pytest.mark.parametrize(("present", "count"), [(-1, 4), (1, 5), (3, 3), (0, 4), (-1, 2)])
def test_inputs_that_do_not_fit_the_mask(present: int, count: int) -> None:
    with pytest.raises(CompileError, match=rf"has {count} inputs, present={present} for b1, b2"):
        OPERATIONS["ChannelGate"].given({"present": present}, count)


def at_batch(given: Sample, batch: int) -> tuple[list[Desc], Desc]:
    """Descriptions of the inputs and of the output, in the linear layout, with another batch and large maps."""
    names = [name for name in OPERATIONS[given.operator].inputs if name in given.tensors]
    inputs = descriptions(given, F32_LINEAR)
    for name, each in zip(names, inputs, strict=True):
        if name in MAPS or name == "P":
            each.dims = (batch, *_large(each.dims)[1:])
    return inputs, describe((batch, *_large(given.output)[1:]), F32_LINEAR)


def _large(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[:2], 56, 56) if len(shape) == 4 else shape


@every_operator
def test_workspace_is_enough_for_every_batch_of_the_profile_and_every_gpu(given: Sample) -> None:
    operation, gpus = OPERATIONS[given.operator], (ORIN, HOPPER)
    made = plugin_class(fake_trt(), operation, TENSORRT.plugin_formats, gpus, FakeKernels)
    said = {"present": given.present} if operation.optional else {}
    plugin = made({**defaults(given.operator), **given.attributes, **said})
    inputs, output = at_batch(given, -1)
    bounds = zip(inputs, at_batch(given, 1)[0], at_batch(given, 9)[0], strict=True)
    dynamic = [Dynamic(each, low.dims, high.dims) for each, low, high in bounds]
    plugin.configure_plugin(dynamic, [Dynamic(output)])
    reserved = plugin.get_workspace_size(dynamic, [Dynamic(output)])
    needed = [
        plugin.node.prepare(*at_batch(given, batch), gpu).plan.workspace_bytes for batch in range(1, 10) for gpu in gpus
    ]
    assert reserved == max(needed) > 0


def of_gpu_at_hand(given: Sample, gpu: Gpu) -> Any:
    made = plugin_class(
        fake_trt(), OPERATIONS[given.operator], TENSORRT.plugin_formats, (), lambda: FakeKernels(gpu=gpu)
    )
    said = {"present": given.present} if OPERATIONS[given.operator].optional else {}
    return made({**defaults(given.operator), **given.attributes, **said})


@every_operator
def test_workspace_is_enough_where_the_gpu_has_more_multiprocessors_than_while_building(given: Sample) -> None:
    plugin = of_gpu_at_hand(given, Gpu("8.7", 4, ORIN.shared_bytes))
    inputs, output = at_batch(given, 2)
    dynamic = [Dynamic(each, each.dims, each.dims) for each in inputs]
    reserved = plugin.get_workspace_size(dynamic, [Dynamic(output)])
    for count in range(1, 193):
        for shared in (LEAST_SHARED_BYTES, ORIN.shared_bytes, HOPPER.shared_bytes):
            prepared = plugin.node.prepare(inputs, output, Gpu("8.7", count, shared))
            assert prepared.plan.workspace_bytes <= reserved


def test_workspace_also_for_the_gpu_at_hand() -> None:
    given, largest = sample("ChannelGate"), Gpu("13.0", 1000, HOPPER.shared_bytes)
    plugin = of_gpu_at_hand(given, largest)
    inputs, output = at_batch(given, 1)
    for each in [*inputs, output]:
        if len(each.dims) == 4:
            each.dims = (1, each.dims[1], 1000, 1000)
    expected = plugin.node.prepare(inputs, output, largest).plan.workspace_bytes
    dynamic = [Dynamic(each, each.dims, each.dims) for each in inputs]
    assert plugin.get_workspace_size(dynamic, [Dynamic(output)]) == expected
    assert expected > max(plugin.node.prepare(inputs, output, gpu).plan.workspace_bytes for gpu in ELSEWHERE)
    assert len(ELSEWHERE) == len(set(ELSEWHERE)) >= 4


def test_configuring_what_no_kernel_does_is_an_error() -> None:
    given = sample("GatedPool")
    inputs = [Dynamic(each) for each in descriptions(given, F16_HWC, "f16")]
    inputs[1].desc.dims = (32, 31)
    with pytest.raises(CompileError, match=r"W has the shape \[32, 31\], expected \[32, 32\]"):
        plugin_of(given).configure_plugin(inputs, [Dynamic(describe(given.output, F16_LINEAR))])


def test_a_clone_stores_the_same_fields() -> None:
    plugin = plugin_of(sample("ChannelGate", gate="hard_sigmoid", alpha=0.25))
    clone = plugin.clone()
    assert clone is not plugin
    assert type(clone) is type(plugin)
    before, after = plugin.get_fields_to_serialize(), clone.get_fields_to_serialize()
    assert [(each.name, bytes(each.data)) for each in before] == [(each.name, bytes(each.data)) for each in after]
    assert clone.timing_cache_id == plugin.timing_cache_id != plugin_of(sample("ChannelGate")).timing_cache_id
    assert plugin.get_capability_interface(None) is plugin
