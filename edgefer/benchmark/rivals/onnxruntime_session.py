"""onnxruntime as a user would call it: the deployed graph in a session with its defaults."""

from __future__ import annotations

import importlib

from edgefer.benchmark.rivals.rival import Absent, Outputs, Prepared, Task
from edgefer.errors import BundleError, EnvironmentMismatch
from edgefer.runtime.onnxruntime_runner import OnnxRuntimeRunner


class OnnxRuntimeRival:
    """`InferenceSession.run` on the graph as it is deployed, all optimisations on, threads spinning as they do by
    default."""

    name = "onnxruntime"

    def prepare(self, task: Task) -> Prepared | Absent:
        try:
            session = OnnxRuntimeRunner(task.onnx, threads=task.threads).session
        except (BundleError, EnvironmentMismatch) as error:
            return Absent(str(error))
        names = [spec.name for spec in task.graph.outputs]
        feeds = dict(task.feeds)

        def run() -> Outputs:
            return dict(zip(names, session.run(names, feeds), strict=True))

        version = str(importlib.import_module("onnxruntime").__version__)
        note = "the deployed graph, all optimisations, its threads spinning between runs"
        return Prepared(run, task.settings(self.name, {"onnxruntime": version}, note))
