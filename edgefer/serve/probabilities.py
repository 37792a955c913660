"""The graph of a classifier with its softmax inside, for servers that report the values of an output as they are."""

from __future__ import annotations

from edgefer.errors import BundleError

PROBABILITIES = "probabilities"


def with_probabilities(onnx_bytes: bytes, logits: str, temperature: float) -> bytes:
    """The graph with softmax(logits / temperature) as its one output, `probabilities` (N, C) float32.

    Needs the package `onnx`. Opset, IR version and inputs stay.

    Raises:
        BundleError: the graph has no such output, or a tensor of that name already.
    """
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.ModelProto.FromString(onnx_bytes)
    graph = model.graph
    found = next((each for each in graph.output if each.name == logits), None)
    names = {name for node in graph.node for name in (*node.input, *node.output)}
    names |= {each.name for each in (*graph.input, *graph.output, *graph.initializer)}
    if found is None or PROBABILITIES in names:
        raise BundleError(
            f"the graph has no output '{logits}'"
            if found is None
            else f"the graph has a tensor '{PROBABILITIES}' already, which is what its softmax would be called",
            hint="build the bundle again",
        )
    scores = logits
    if temperature != 1:
        divisor, scores = f"{PROBABILITIES}/temperature", f"{PROBABILITIES}/scores"
        graph.initializer.append(numpy_helper.from_array(np.array(temperature, np.float32), divisor))
        graph.node.append(helper.make_node("Div", [logits, divisor], [scores], name=scores))
    graph.node.append(helper.make_node("Softmax", [scores], [PROBABILITIES], name=PROBABILITIES, axis=1))
    shape = [each.dim_param or each.dim_value for each in found.type.tensor_type.shape.dim]
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, shape))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
