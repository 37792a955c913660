"""Reading an engine's layers out of the build log: a stored log of our own, and spellings by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgefer.engine.layers import LayerReport, LayerTensor, count, parse_layers

STORED = (Path(__file__).parent / "data" / "layers_tensorrt_rtx_int8.txt").read_text()

# The same facts as TensorRT itself spells them: element type and layout in one, an origin, two separators.
JOINED = """Layers:
Name: Reformatting CopyNode for Input Tensor 0 to conv + act, LayerType: Reformat, Inputs: [ { Name: x, Location: \
Device, Dimensions: [1,3,8,8], Format/Datatype: Row major linear FP32 }], Outputs: [ { Name: Reformatted x, Location: \
Device, Dimensions: [1,3,8,8], Format/Datatype: Channel major FP32 format }], ParameterType: Reformat, Origin: \
REFORMAT, TacticValue: 0x00000000000003e8, StreamId: 0, Metadata:\x20
Name: x_quantise, LayerType: Reformat, Inputs: [ { Name: Reformatted x, Location: Device, Dimensions: [1,3,8,8], \
Format/Datatype: Channel major FP32 format }], Outputs: [ { Name: xq, Location: Device, Dimensions: [1,3,8,8], \
Format/Datatype: Row major Int8 format }], ParameterType: Reformat, Origin: QDQ, TacticValue: 0x03ea, StreamId: 0
Name: w + conv + act, LayerType: CaskConvolution, Inputs: [ { Name: xq, Location: Device, Dimensions: [1,3,8,8], \
Format/Datatype: Row major Int8 format }], Outputs: [ { Name: y [Conv]_out, put, Location: Device, Dimensions: \
[1,16,8,8], Format/Datatype: Half }], ParameterType: Convolution, Kernel: [3,3], Weights: {"Type": "Int8", "Count": \
432}, HasBias: 1, TacticName: sm80_xmma_i8i8, StreamId: 0, Metadata: [ONNX Layer: conv]\x1e[ONNX Layer: act]

Bindings:
x
y
"""


def test_the_stored_log_gives_every_layer() -> None:
    layers, unparsed = parse_layers(STORED)
    assert unparsed == ()
    assert [layer.type for layer in layers] == ["kgen", "correlation", "kgen", "kgen"]
    convolution = layers[1]
    assert convolution == LayerReport(
        name="conv_myl0_1",
        type="correlation",
        inputs=convolution.inputs,
        outputs=convolution.outputs,
        constants=convolution.constants,
        tactic="__myelin_CASK_STUB",
        onnx=("conv", "x_dequantise", "w_dequantise"),
    )
    assert convolution.inputs == (
        LayerTensor(
            name="__mye241c.1_2_myl0", dtype="int8", format="(NHWC) Channel major format", shape=(1, 4, 32, 32)
        ),
    )
    assert [tensor.dtype for tensor in convolution.constants] == ["int8", "fp32", "fp32"]
    assert convolution.precision == "int8"


def test_the_stored_log_is_counted() -> None:
    layers, _ = parse_layers(STORED)
    counts = count(layers)
    assert counts.total == 4
    assert counts.per_precision == {"fp32": 3, "int8": 1}
    assert (counts.convolutions, counts.int8_convolutions, counts.reformats, counts.unparsed) == (1, 1, 0, 0)


def test_the_other_spelling_gives_the_same_facts() -> None:
    layers, unparsed = parse_layers(JOINED)
    assert unparsed == ()
    reformat, quantise, convolution = layers
    assert (reformat.is_reformat, quantise.is_reformat, convolution.is_reformat) == (True, False, False)
    assert [layer.precision for layer in layers] == ["fp32", "fp32", "int8"]
    assert convolution.tactic == "sm80_xmma_i8i8"
    assert reformat.tactic == "0x00000000000003e8"
    assert convolution.onnx == ("conv", "act")
    assert convolution.outputs[0].name == "y [Conv]_out, put"
    assert convolution.outputs[0].dtype == "fp16"
    assert count(layers).int8_convolutions == 1


def test_a_move_to_another_format_is_a_reformat_and_a_computation_is_not() -> None:
    def layer(before: str, after: str, dtype: str = "fp32", shape: tuple[int, ...] = (1, 3, 8, 8)) -> LayerReport:
        source = LayerTensor(name="a", dtype="fp32", format=before, shape=(1, 3, 8, 8))
        target = LayerTensor(name="b", dtype=dtype, format=after, shape=shape)
        return LayerReport(name="l", type="kgen", inputs=(source,), outputs=(target,))

    assert layer("linear", "nhwc").is_reformat
    assert not layer("linear", "linear").is_reformat
    assert not layer("linear", "nhwc", "int8").is_reformat
    assert not layer("linear", "nhwc", "fp32", (1, 3, 4, 4)).is_reformat


def test_lines_that_cannot_be_read_are_kept_and_counted() -> None:
    lines = STORED.split("\n")
    lines.insert(2, "Layer(CaskConvolution): a spelling of another century")
    lines.insert(3, "Name: half a line, LayerType: kgen, Inputs: [ { Name: x")
    layers, unparsed = parse_layers("\n".join(lines))
    assert len(layers) == 4
    assert len(unparsed) == 2
    assert unparsed[0].startswith("Layer(CaskConvolution)")
    assert count(layers, len(unparsed)).unparsed == 2


def test_layers_after_a_gap_are_still_layers() -> None:
    layers, unparsed = parse_layers(STORED.replace("\nName: conv_myl0_1", "\n\nName: conv_myl0_1"))
    assert (len(layers), unparsed) == (4, ())


@pytest.mark.parametrize("message", ["", "Layers:", "Layers:\n\n", "Total Activation Memory: 5"])
def test_a_message_without_layers_gives_none(message: str) -> None:
    assert parse_layers(message) == ((), ())
    assert count(()).per_precision == {}


def test_a_layer_without_inputs_has_the_precision_of_its_output() -> None:
    text = (
        "Layers:\nName: {ForeignNode[a...b]}, LayerType: Myelin, Inputs: [], Outputs: [ { Name: t, Location: Device, "
        "Dimensions: [2,s0], Format/Datatype: Row major linear FP16 format }], TacticValue: 0x0"
    )
    ((layer,), unparsed) = parse_layers(text)
    assert unparsed == ()
    assert layer.precision == "fp16"
    assert layer.outputs[0].shape == (2, -1)


def test_a_layer_without_tensors_computes_nothing() -> None:
    text = "Layers:\nName: a_wait, LayerType: wait, Inputs: [], Constants: [], Outputs: [], TacticName: , StreamId: 1"
    layers, unparsed = parse_layers(f"{text}\n{STORED.removeprefix('Layers:').strip()}")
    assert unparsed == ()
    assert layers[0].precision is None
    counts = count(layers)
    assert (counts.total, counts.synchronisations, sum(counts.per_precision.values())) == (5, 1, 4)


def tensor(name: str, form: str = "linear") -> LayerTensor:
    return LayerTensor(name=name, dtype="fp16", format=form, shape=(1, 32, 8, 8))


def layer(kind: str, reads: LayerTensor, writes: LayerTensor) -> LayerReport:
    return LayerReport(name=kind, type=kind, inputs=(reads,), outputs=(writes,))


@pytest.mark.parametrize("kind", ["custom_layer", "PluginV3", "PluginV2"])
def test_plugins_are_counted_and_the_reformats_around_them(kind: str) -> None:
    near = [
        layer("Reformat", tensor("a"), tensor("b", "hwc")),
        layer(kind, tensor("b", "hwc"), tensor("c", "hwc")),
        layer("kgen", tensor("c", "hwc"), tensor("d", "linear")),
    ]
    far = [layer("Reformat", tensor("x"), tensor("y", "hwc")), layer("kgen", tensor("y", "hwc"), tensor("z", "hwc"))]
    counts = count([*near, *far])
    assert (counts.plugins, counts.reformats, counts.plugin_reformats) == (1, 3, 2)
    assert count(far).plugins == count(far).plugin_reformats == 0
