"""The layers of a compiled engine, read from TensorRT's verbose log.

With detailed profiling verbosity a builder's last message beginning `Layers:` describes the engine, one layer a line.
It is the only description of an engine that exists without a GPU to load it on. Both spellings are read: a tensor's
`Datatype: Float, Format: (NHWC) Channel major format` and its `Format/Datatype: Row major linear FP32`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import msgspec

HEADER = "Layers:"

_LIST = r"(\[\]|\[ ?\{ .*? ?\}\])"
_LAYER = re.compile(
    rf"^Name: (?P<name>.*?), LayerType: (?P<type>\w+), Inputs: (?P<inputs>{_LIST})"
    rf"(?:, Constants: (?P<constants>{_LIST}))?, Outputs: (?P<outputs>{_LIST})(?P<rest>.*)$"
)
_TENSOR = re.compile(r"\{ Name: (?P<name>.*?), (?:Location: \w+, )?Dimensions: \[(?P<shape>[^\]]*)\](?P<rest>.*?) ?\}")
_TACTIC = re.compile(r"TacticName: (?P<name>[^,]+)")
_TACTIC_VALUE = re.compile(r"TacticValue: (?P<name>\w+)")
_ORIGIN = re.compile(r"Origin: (?P<name>\w+)")
_ONNX = re.compile(r"\[ONNX Layer: (.*?)\]")
_DATATYPE = re.compile(r", Datatype: (?P<value>\w+)")
_FORMAT = re.compile(r", Format: (?P<value>[^}]*)")
_BOTH = re.compile(r"Format/Datatype: (?P<value>[^}]*)")

# How the two spellings name an element type; the longer spelling holds its name as a word among others.
_TYPES = {
    "Float": "fp32",
    "FP32": "fp32",
    "Half": "fp16",
    "FP16": "fp16",
    "BFloat16": "bf16",
    "BF16": "bf16",
    "Int8": "int8",
    "INT8": "int8",
    "UInt8": "uint8",
    "Int32": "int32",
    "INT32": "int32",
    "Int64": "int64",
    "INT64": "int64",
    "Bool": "bool",
    "FP8": "fp8",
    "Int4": "int4",
}
_PLUGINS = ("custom_layer", "plugin")
_CONVOLUTIONS = ("convolution", "correlation")
_UNKNOWN = "unknown"


class LayerTensor(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor as a layer reads or writes it. `dtype` as in "int8"; `format` is TensorRT's wording of the layout."""

    name: str
    dtype: str
    format: str
    shape: tuple[int, ...]


class LayerReport(msgspec.Struct, frozen=True, kw_only=True):
    """One layer of the engine. `onnx` names the nodes it came from; `tactic` is the kernel, where one is named."""

    name: str
    type: str
    inputs: tuple[LayerTensor, ...]
    outputs: tuple[LayerTensor, ...]
    constants: tuple[LayerTensor, ...] = ()
    tactic: str = ""
    origin: str = ""
    onnx: tuple[str, ...] = ()

    @property
    def precision(self) -> str | None:
        """The element type that the layer reads: what its arithmetic is fed with. A source has that of its output.

        None for a layer without tensors, which only makes one stream wait for another.
        """
        return next((tensor.dtype for tensor in (*self.inputs, *self.outputs)), None)

    @property
    def is_convolution(self) -> bool:
        return any(word in self.type.lower() for word in _CONVOLUTIONS)

    @property
    def is_plugin(self) -> bool:
        """Whether a plugin computes the layer, of whatever library."""
        return any(word in self.type.lower() for word in _PLUGINS)

    @property
    def is_reformat(self) -> bool:
        """Whether the layer only lays the same numbers out differently: same element type and shape, other format."""
        if self.type == "Reformat":
            return self.origin != "QDQ"
        if len(self.inputs) != 1 or len(self.outputs) != 1 or self.constants or self.is_plugin:
            return False
        before, after = self.inputs[0], self.outputs[0]
        return before.dtype == after.dtype and before.shape == after.shape and before.format != after.format


class LayerCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Layers of the engine over all its profiles: how many, per precision, and which matter for speed.

    `total` is the sum of `per_precision` and `synchronisations`, the layers that compute nothing. `plugins` are those
    that plugins compute, `plugin_reformats` the reformats that read what one wrote or write what one reads.
    """

    total: int = 0
    per_precision: dict[str, int] = {}
    synchronisations: int = 0
    convolutions: int = 0
    int8_convolutions: int = 0
    reformats: int = 0
    unparsed: int = 0
    plugins: int = 0
    plugin_reformats: int = 0


def parse_layers(message: str) -> tuple[tuple[LayerReport, ...], tuple[str, ...]]:
    """Layers of one `Layers:` message, and the lines in its layer section that could not be read, as they were.

    The section ends at a gap that no layer follows: inputs and outputs, metadata and such come after it. A message
    without the header has no layers.
    """
    lines = message.strip("\n").split("\n")  # not splitlines: TensorRT separates node names by control characters
    if not lines or not lines[0].strip().endswith(HEADER):
        return (), ()
    layers, unparsed = [], []
    for line in _section(lines[1:]):
        layer = _layer(line)
        if layer is None:
            unparsed.append(line)
        else:
            layers.append(layer)
    return tuple(layers), tuple(unparsed)


def count(layers: Sequence[LayerReport], unparsed: int = 0) -> LayerCounts:
    """Count layers by precision, convolutions, convolutions that read INT8, reformats, and plugins."""
    convolutions = [layer for layer in layers if layer.is_convolution]
    plugins = [layer for layer in layers if layer.is_plugin]
    precisions = [layer.precision for layer in layers]
    return LayerCounts(
        total=len(layers),
        per_precision=dict(sorted(Counter(precision for precision in precisions if precision is not None).items())),
        synchronisations=precisions.count(None),
        convolutions=len(convolutions),
        int8_convolutions=sum(layer.precision == "int8" for layer in convolutions),
        reformats=sum(layer.is_reformat for layer in layers),
        unparsed=unparsed,
        plugins=len(plugins),
        plugin_reformats=sum(layer.is_reformat and _touches(layer, plugins) for layer in layers),
    )


def _touches(layer: LayerReport, others: Sequence[LayerReport]) -> bool:
    """Whether a layer reads a tensor that one of the others writes, or writes one that they read."""
    reads, writes = {each.name for each in layer.inputs}, {each.name for each in layer.outputs}
    return any(
        reads & {each.name for each in other.outputs} or writes & {each.name for each in other.inputs}
        for other in others
    )


def _section(lines: list[str]) -> list[str]:
    section: list[str] = []
    after_gap = False
    for line in lines:
        if not line.strip():
            after_gap = True
            continue
        if after_gap and section and not line.startswith("Name: "):
            break
        after_gap = False
        section.append(line)
    return section


def _layer(line: str) -> LayerReport | None:
    match = _LAYER.match(line)
    if match is None:
        return None
    rest = match["rest"]
    tactic = _TACTIC.search(rest) or _TACTIC_VALUE.search(rest)
    origin = _ORIGIN.search(rest)
    return LayerReport(
        name=match["name"],
        type=match["type"],
        inputs=_tensors(match["inputs"]),
        outputs=_tensors(match["outputs"]),
        constants=_tensors(match["constants"] or ""),
        tactic=tactic["name"].strip() if tactic else "",
        origin=origin["name"] if origin else "",
        onnx=tuple(_ONNX.findall(rest)),
    )


def _tensors(text: str) -> tuple[LayerTensor, ...]:
    return tuple(_tensor(match) for match in _TENSOR.finditer(text))


def _tensor(match: re.Match[str]) -> LayerTensor:
    rest = match["rest"]
    datatype, layout, both = _DATATYPE.search(rest), _FORMAT.search(rest), _BOTH.search(rest)
    if both is not None:
        dtype, form = element_type(both["value"]), both["value"].strip()
    else:
        dtype = _TYPES.get(datatype["value"], datatype["value"]) if datatype else _UNKNOWN
        form = layout["value"].strip() if layout else ""
    return LayerTensor(name=match["name"], dtype=dtype, format=form, shape=_shape(match["shape"]))


def element_type(words: str) -> str:
    """The element type that TensorRT's wording names, as in "int8"; "unknown" where it names none.

    >>> element_type("Row major linear FP32")
    'fp32'
    """
    return next((_TYPES[word] for word in words.split() if word in _TYPES), _UNKNOWN)


def _shape(text: str) -> tuple[int, ...]:
    # A dimension that depends on the input is spelt as an expression; -1 is TensorRT's own word for it.
    return tuple(int(part) if re.fullmatch(r"-?\d+", part.strip()) else -1 for part in text.split(",") if part.strip())
