"""TensorRT's plugin class for an operator, made for one TensorRT. It translates; what it says is decided in `node.py`.

TensorRT's bindings turn an exception of these methods into the error status that C++ callers see, and print it; a
value returned for an error would be dropped. Nothing is therefore caught here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from edgefer.errors import CompileError
from edgefer.kernels.plan import HOPPER, ORIN, THOR, Gpu
from edgefer.plugins.fields import NAMESPACE, VERSION, Values
from edgefer.plugins.formats import Offered, data_type_of, element_of
from edgefer.plugins.node import Launcher, Node, Prepared
from edgefer.plugins.operations.description import Operation
from edgefer.plugins.serialise import Stored, store
from edgefer.version import __version__

ELSEWHERE = (ORIN, HOPPER, THOR, Gpu("12.0", 256, 101_376))
"""GPUs that workspace is asked for, because an engine may run on another one than it is built for: without a GPU, on a
part of one (MIG), or in a power mode that turns some of a Jetson's multiprocessors off. They are those that there are
kernels for, and one with more multiprocessors than any."""

Load = Callable[[], Launcher]
"""Loads the kernels of the GPU whose context is current; what was loaded before is given again."""

_alive: list[Any] = []
"""Every plugin ever made. When a build fails, TensorRT ends plugins that Python would end once more; an instance is a
few kilobytes, and there is one for each node, clone and execution context."""


def plugin_class(trt: Any, operation: Operation, offered: Offered, gpus: tuple[Gpu, ...], load: Load) -> type[Any]:
    """The class of an operator's plugins.

    Args:
        trt: the imported TensorRT.
        operation: the operator.
        offered: the formats for maps, `Flavour.plugin_formats`.
        gpus: what workspace is planned for while building; none means `ELSEWHERE` and the GPU whose context is
            current.
        load: gives the kernels, asked when a plugin is attached to a context and when shapes change.
    """

    bases = (trt.IPluginV3, trt.IPluginV3OneCore, trt.IPluginV3OneBuild, trt.IPluginV3OneRuntime)

    class Plugin(*bases):  # type: ignore[misc]
        def __init__(self, values: Values) -> None:
            for base in bases:
                base.__init__(self)
            _alive.append(self)
            self.node = Node(operation, values, offered)
            self.stored: Stored = store(trt, operation.name, values)
            self.launcher: Launcher | None = None
            self.prepared: dict[tuple[int, ...], Prepared] = {}
            self.plugin_name = operation.name
            self.plugin_version = VERSION
            self.plugin_namespace = NAMESPACE
            self.num_outputs = 1
            # Times are measured anew for other kernels, other values, and nothing else.
            self.timing_cache_id = f"{__version__} {' '.join(map(str, values.values()))}"
            self.metadata_string = f"edgefer {__version__}"

        def get_capability_interface(self, type: Any) -> Any:  # noqa: A002 - TensorRT's name
            return self

        def clone(self) -> Any:
            return Plugin(self.node.values)

        def get_fields_to_serialize(self) -> Any:
            return self.stored.collection

        # Building

        def get_output_data_types(self, input_types: Sequence[Any]) -> list[Any]:
            element = self.node.output_element([element_of(each) for each in input_types])
            if element is None:
                raise CompileError(
                    f"{NAMESPACE}::{operation.name} has inputs of types {', '.join(map(str, input_types))}, "
                    "expected FLOAT, HALF or INT8",
                    hint="compile with the operator written out in standard operators (--plugins inline)",
                )
            return [data_type_of(trt, element)]

        def get_output_shapes(self, inputs: Sequence[Any], shape_inputs: Sequence[Any], expr_builder: Any) -> list[Any]:
            names = operation.given(self.node.values, len(inputs))
            shapes = dict(zip(names, inputs, strict=True))
            first = shapes[operation.first]
            if operation.gives_map:
                return [trt.DimsExprs([first[axis] for axis in range(len(first))])]
            channels = shapes[operation.joined[0]][1]
            for name in operation.joined[1:]:
                channels = expr_builder.operation(trt.DimensionOperation.SUM, channels, shapes[name][1])
            return [trt.DimsExprs([first[0], channels])]

        def supports_format_combination(self, pos: int, in_out: Sequence[Any], num_inputs: int) -> bool:
            return self.node.supports(pos, [each.desc for each in in_out], num_inputs)

        def configure_plugin(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
            reason = self.node.problem([each.desc for each in inputs], outputs[0].desc)
            if reason:
                raise CompileError(f"no kernel of {NAMESPACE}::{operation.name} does this: {reason}")
            if not gpus:
                # A workspace that cannot be planned would be taken for none at all: fail here if there are no kernels.
                load()

        def get_workspace_size(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
            low, high = int(inputs[0].min[0]), int(inputs[0].max[0])
            # Taller bands are planned for larger batches, so that the largest need not need most.
            return self.node.workspace(
                [each.desc for each in inputs],
                outputs[0].desc,
                batches=range(max(low, 1), max(high, 1) + 1),
                gpus=gpus or tuple(dict.fromkeys((*ELSEWHERE, load().gpu))),
            )

        # Running

        def attach_to_context(self, resource_context: Any) -> Any:
            attached = self.clone()
            # Loading binaries is not allowed inside a capture, which the first enqueue may be in.
            attached.launcher = load()
            return attached

        def set_tactic(self, tactic: int) -> None:
            """There is one way for a shape on a GPU, which the launch plan chooses."""

        def on_shape_change(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
            self.launcher = load()
            self.prepared = {_sizes(inputs): self.node.prepare(inputs, outputs[0], self.launcher.gpu)}

        def enqueue(
            self,
            input_desc: Sequence[Any],
            output_desc: Sequence[Any],
            inputs: Sequence[int],
            outputs: Sequence[int],
            workspace: int,
            stream: int,
        ) -> None:
            prepared = self.prepared.get(_sizes(input_desc))
            if prepared is None or self.launcher is None:
                self.on_shape_change(input_desc, output_desc)
                prepared = self.prepared[_sizes(input_desc)]
            assert self.launcher is not None
            prepared.launch(self.launcher, (*inputs, *outputs), workspace, stream)

    Plugin.__name__ = Plugin.__qualname__ = operation.name
    return Plugin


def _sizes(descriptions: Sequence[Any]) -> tuple[int, ...]:
    # Of the first map: all that may change between two calls is its batch.
    return tuple(descriptions[0].dims)
