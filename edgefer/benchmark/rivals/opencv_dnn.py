"""OpenCV's DNN module on the deployed graph, functions inlined."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from edgefer.benchmark.rivals.rival import Absent, Outputs, Prepared, Task
from edgefer.engine.portable import for_parser
from edgefer.errors import BundleError, CompileError, EnvironmentMismatch


class OpenCvRival:
    """`cv2.dnn.Net.forward` on OpenCV's own CPU backend.

    `cv2.setNumThreads` is of the whole process: it is set before every run, since another rival or the pre-processing
    may have another number, and put back in the end.
    """

    name = "opencv"

    def prepare(self, task: Task) -> Prepared | Absent:
        try:
            cv2: Any = importlib.import_module("cv2")
            inlined = for_parser(task.onnx)
        except ImportError as error:
            return Absent(f"OpenCV cannot be imported: {error} (pip install 'edgefer[vision]')")
        except (BundleError, CompileError, EnvironmentMismatch) as error:
            return Absent(str(error))
        before = cv2.getNumThreads()
        names = [spec.name for spec in task.graph.outputs]

        def close() -> None:
            cv2.setNumThreads(before)

        try:
            cv2.setNumThreads(task.threads)
            network = cv2.dnn.readNetFromONNX(np.frombuffer(inlined, np.uint8))
            for name, value in task.feeds.items():
                network.setInput(value, name)
            network.forward(names)
        except (cv2.error, SystemError, ValueError) as error:
            close()
            return Absent(f"OpenCV {cv2.__version__} cannot run the graph: {_short(error)}")

        def run() -> Outputs:
            cv2.setNumThreads(task.threads)
            for name, value in task.feeds.items():
                network.setInput(value, name)
            # OpenCV owns what it returns and writes the next answer into it.
            return {name: np.array(value) for name, value in zip(names, network.forward(names), strict=True)}

        versions = {"opencv": str(cv2.__version__)}
        return Prepared(run, task.settings(self.name, versions, "OpenCV's own CPU backend"), close)


def _short(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines[:3])
