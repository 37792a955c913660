"""OpenVINO as a user would call it: the deployed graph, functions inlined, compiled for latency."""

from __future__ import annotations

from edgefer.benchmark.rivals.rival import Absent, Outputs, Prepared, Task
from edgefer.engine.portable import for_parser
from edgefer.errors import BundleError, CompileError, EnvironmentMismatch
from edgefer.runtime.openvino_library import openvino, shared_core
from edgefer.runtime.openvino_runner import PRECISION


class OpenVinoRival:
    """`InferRequest.infer` on a model compiled with OpenVINO's own settings for latency, in float32."""

    name = "openvino"

    def prepare(self, task: Task) -> Prepared | Absent:
        try:
            ov = openvino()
            inlined = for_parser(task.onnx)
        except (BundleError, CompileError, EnvironmentMismatch) as error:
            return Absent(str(error))
        properties = {
            "INFERENCE_PRECISION_HINT": PRECISION,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": task.threads,
        }
        try:
            core = shared_core()
            model = core.read_model(inlined)
            request = core.compile_model(model, "CPU", properties).create_infer_request()
        except RuntimeError as error:
            return Absent(f"OpenVINO cannot load the graph: {error}")
        names = [port.any_name for port in model.outputs]
        feeds = [task.feeds[port.any_name] for port in model.inputs]

        def run() -> Outputs:
            values = request.infer(feeds, share_inputs=True)
            return {name: values[index] for index, name in enumerate(names)}

        version = str(ov.__version__).partition("-")[0]
        note = f"compiled for latency, layers that are not quantised in {PRECISION}, inputs shared"
        return Prepared(run, task.settings(self.name, {"openvino": version}, note))
