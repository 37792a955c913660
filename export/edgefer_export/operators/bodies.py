"""Function bodies of the operators, in ONNX's text form at opset 19.

A body serves one variant: attributes and left-out inputs are decided here, so that it holds standard operators alone
and no branches. No floating-point constant occurs in it: the same body computes in float32 and in float16.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx
import onnx.parser

from edgefer_export.operators.signatures import DOMAIN, OPERATORS, OPSET, Variant


def function_body(variant: Variant, name: str | None = None) -> onnx.FunctionProto:
    """The model-local function of a variant, called `name` or as its operator.

    Its inputs are those of the signature, left-out ones included; its attributes are declared and not used, since the
    body is made for their values.
    """
    signature = OPERATORS[variant.operator]
    attributes = ", ".join((*signature.attributes, "plugin_version", "plugin_namespace"))
    text = (
        f'<domain: "{DOMAIN}", opset_import: ["" : {OPSET}]>\n'
        f"{name or variant.operator} <{attributes}> ({', '.join(signature.inputs)}) => ({signature.output})\n"
        f"{{\n{_BODIES[variant.operator](variant)}\n}}"
    )
    return onnx.parser.parse_function(text)


def _cbam_attention(variant: Variant) -> str:
    kernel = int(variant["spatial_kernel"])
    padding = kernel // 2
    lines = [
        _constant("spatial", 2, 3),
        _constant("channel", 1),
        "average = ReduceMean <keepdims = 0> (X, spatial)",
        "maximum = ReduceMax <keepdims = 0> (X, spatial)",
        "average_hidden = Gemm <transB = 1> (average, W1, b1)",
        "maximum_hidden = Gemm <transB = 1> (maximum, W1, b1)",
        "average_active = Relu (average_hidden)",
        "maximum_active = Relu (maximum_hidden)",
        "hidden = Add (average_active, maximum_active)",
        # Both vectors pass the second layer at once, hence its bias twice.
        "channel_score = Gemm <transB = 1, beta = 2.0> (hidden, W2, b2)",
        "channel_gate = Sigmoid (channel_score)",
        "channel_map = Unsqueeze (channel_gate, spatial)",
        "gated = Mul (X, channel_map)",
        "largest = ReduceMax <keepdims = 1> (gated, channel)",
        "mean = ReduceMean <keepdims = 1> (gated, channel)",
        "descriptor = Concat <axis = 1> (largest, mean)",
        f"spatial_score = Conv <kernel_shape = [{kernel}, {kernel}], pads = [{padding}, {padding}, {padding}, "
        f"{padding}]> (descriptor, Ws, bs)",
        "spatial_gate = Sigmoid (spatial_score)",
    ]
    lines.append("attended = Mul (gated, spatial_gate)")
    if "R" in variant.present:
        lines.append("summed = Add (attended, R)")
    if variant["relu"]:
        lines.append(f"active = Relu ({_target(lines[-1])})")
    return _ending(lines, "Y")


def _channel_gate(variant: Variant) -> str:
    bias = {name: f", {name}" if name in variant.present else "" for name in ("b1", "b2")}
    gate = "Sigmoid"
    if variant["gate"] == "hard_sigmoid":
        gate = f"HardSigmoid <alpha = {_decimal(variant['alpha'])}, beta = {_decimal(variant['beta'])}>"
    lines = [
        _constant("spatial", 2, 3),
        "average = ReduceMean <keepdims = 0> (X, spatial)",
        f"hidden = Gemm <transB = 1> (average, W1{bias['b1']})",
        "active = Relu (hidden)",
        f"score = Gemm <transB = 1> (active, W2{bias['b2']})",
        f"gate = {gate} (score)",
        "map = Unsqueeze (gate, spatial)",
        "Y = Mul (X, map)",
    ]
    return "\n".join(lines)


def _gated_pool(variant: Variant) -> str:
    return "\n".join([_constant("spatial", 2, 3), *_pool("F", "W", "b", "f", square=bool(variant["square"]))])


def _gated_fusion(variant: Variant) -> str:
    lines = [
        _constant("spatial", 2, 3),
        *_pool("Fv", "Wv", "bv", "v", square=bool(variant["square_visible"])),
        *_pool("Fi", "Wi", "bi", "i", square=bool(variant["square_infrared"])),
    ]
    visible, infrared = "v", "i"
    if "P" in variant.present:
        lines += [
            "Pv, Pi = Split <axis = 1, num_outputs = 2> (P)",
            "v_present = Mul (v, Pv)",
            "i_present = Mul (i, Pi)",
        ]
        visible, infrared = "v_present", "i_present"
    if variant["interleave"]:
        lines += [
            _constant("last", 2),
            f"v_column = Unsqueeze ({visible}, last)",
            f"i_column = Unsqueeze ({infrared}, last)",
            "pairs = Concat <axis = 2> (v_column, i_column)",
            "f = Flatten <axis = 1> (pairs)",
        ]
    else:
        lines.append(f"f = Concat <axis = 1> ({visible}, {infrared})")
    return "\n".join(lines)


def _local_gate(variant: Variant) -> str:
    lines = [
        _constant("spatial", 2, 3),
        "W1_kernel = Unsqueeze (W1, spatial)",
        "W2_kernel = Unsqueeze (W2, spatial)",
        "hidden = Conv <kernel_shape = [1, 1]> (Z, W1_kernel, b1)",
        "active = Relu (hidden)",
        "score = Conv <kernel_shape = [1, 1]> (active, W2_kernel, b2)",
        "gate = Sigmoid (score)",
        "gated = Mul (Z, gate)",
        "summed = Add (Z, gated)",
        "f = ReduceMean <keepdims = 0> (summed, spatial)",
    ]
    return "\n".join(lines)


def _pool(features: str, weight: str, bias: str, output: str, *, square: bool) -> list[str]:
    """The lines of one gated pool; needs the constant `spatial`."""
    pooled = f"{output}_pooled"
    lines = [f"{pooled} = ReduceMean <keepdims = 0> ({features}, spatial)"]
    if square:
        lines.append(f"{output}_squared = Mul ({pooled}, {pooled})")
    lines += [
        f"{output}_score = Gemm <transB = 1> ({_target(lines[-1])}, {weight}, {bias})",
        f"{output}_gate = Sigmoid ({output}_score)",
        f"{output} = Mul ({pooled}, {output}_gate)",
    ]
    return lines


def _constant(name: str, *axes: int) -> str:
    values = ", ".join(map(str, axes))
    return f"{name} = Constant <value = int64[{len(axes)}] {{{values}}}> ()"


def _target(line: str) -> str:
    return line.split(" = ", 1)[0]


def _ending(lines: list[str], output: str) -> str:
    """The lines with the last one writing `output`."""
    *before, last = lines
    return "\n".join([*before, f"{output} = {last.split(' = ', 1)[1]}"])


def _decimal(value: object) -> str:
    # The parser takes 1 for a whole number and refuses it where an attribute is a float.
    return repr(float(str(value)))


_BODIES: dict[str, Callable[[Variant], str]] = {
    "CbamAttention": _cbam_attention,
    "ChannelGate": _channel_gate,
    "GatedPool": _gated_pool,
    "GatedFusion": _gated_fusion,
    "LocalGate": _local_gate,
}
