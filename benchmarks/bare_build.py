"""What a user would otherwise write for the main job: export, simplify, quantise, compare. The yardstick, not a part.

The same network, data, pre-processing, step order and images as the build it is measured against, by the libraries'
own functions and their recommended settings for TensorRT, without checks, verdict, bundle or report.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import onnxsim
import torch
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from edgefer_export.data import open_dataset
from edgefer_export.data.feeds import Feeds
from edgefer_export.networks import registry

METHODS = {
    "max": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}
OPERATORS = ["Conv", "Gemm"]


class _Reader(CalibrationDataReader):
    def __init__(self, feeds: Feeds) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--calibration", required=True)
    parser.add_argument("--evaluation", required=True)
    parser.add_argument("--method", choices=list(METHODS), default="max")
    arguments = parser.parse_args()
    seconds: dict[str, float] = {}
    folder = Path(tempfile.mkdtemp(prefix="bare-build-"))
    clock = time.perf_counter()

    def lap(stage: str) -> None:
        nonlocal clock
        seconds[stage] = time.perf_counter() - clock
        clock = time.perf_counter()

    network = registry.create("viri-fusion")
    state = torch.load(arguments.weights, map_location="cpu", weights_only=True)
    network.module.load_state_dict(state.get("state_dict", state))
    module = network.module.eval()
    samples = tuple(torch.zeros(spec.shape) for spec in network.inputs)
    lap("resolve")
    exported, simplified, quantised = (folder / name for name in ("exported.onnx", "simplified.onnx", "int8.onnx"))
    # Traced first, so that the attention operators come out as the standard operators that every tool knows.
    traced = torch.jit.trace(module, samples)
    torch.onnx.export(
        traced,
        samples,
        str(exported),
        opset_version=19,
        dynamo=False,
        input_names=[spec.name for spec in network.inputs],
        output_names=["logits"],
    )
    lap("exported")
    model, _ = onnxsim.simplify(onnx.load(exported))
    onnx.save(model, simplified)
    lap("simplified")
    quantize_static(
        str(simplified),
        str(quantised),
        _Reader(Feeds(open_dataset(arguments.calibration), network.inputs)),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=OPERATORS,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=METHODS[arguments.method],
        extra_options={
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "QuantizeBias": False,
            "OpTypesToExcludeOutputQuantization": OPERATORS,
        },
    )
    lap("int8")
    # With Q/DQ the graph is to be judged as it is written; optimised, it would run other kernels.
    literal = onnxruntime.SessionOptions()
    literal.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    sessions = [
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for path, options in ((exported, None), (simplified, None), (quantised, literal))
    ]
    agreement = 0
    evaluation = Feeds(open_dataset(arguments.evaluation), network.inputs)
    for tensors in evaluation:
        with torch.inference_mode():
            reference = module(*(torch.from_numpy(tensors[spec.name]) for spec in network.inputs)).numpy()
        answers = [session.run(["logits"], tensors)[0] for session in sessions]
        agreement += int(answers[-1].argmax() == reference.argmax())
    lap("gate")
    print(json.dumps({"seconds": seconds, "agreement": agreement / len(evaluation)}))


if __name__ == "__main__":
    main()
