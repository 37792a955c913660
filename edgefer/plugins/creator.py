"""TensorRT's creator class for an operator's plugins, made for one TensorRT."""

from __future__ import annotations

from typing import Any

from edgefer.plugins.fields import NAMESPACE, VERSION
from edgefer.plugins.operations.description import Operation
from edgefer.plugins.serialise import declared, from_engine, from_graph


def make_creator(trt: Any, operation: Operation, plugin: type[Any]) -> Any:
    """A creator of `plugin`s of an operator. It must live as long as TensorRT's registry knows it."""

    class Creator(trt.IPluginCreatorV3One):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IPluginCreatorV3One.__init__(self)
            self.name = operation.name
            self.plugin_version = VERSION
            self.plugin_namespace = NAMESPACE
            self.declared = declared(trt, operation.name)
            self.field_names = self.declared.collection

        def create_plugin(self, name: str, field_collection: Any, phase: Any) -> Any:
            read = from_graph if phase == trt.TensorRTPhase.BUILD else from_engine
            return plugin(read(trt, operation.name, field_collection))

    return Creator()
