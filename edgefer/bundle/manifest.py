"""The manifest: everything a device needs to know about the graphs in a bundle, as a typed schema.

The schema is versioned by `schema`. A reader takes its own version and every earlier one, upgrading step by step
(`edgefer.bundle.upgrade`); a later one is refused. Unknown fields are refused within a version: a field that
changes meaning needs a new one.
"""

from __future__ import annotations

from typing import Literal

import msgspec

SCHEMA_VERSION = 4

Role = Literal["visible", "infrared", "present", "saliency", "other"]
GraphRole = Literal["fused", "visible", "infrared", "saliency", "other"]
ResizeRule = Literal["area-bilinear", "bilinear", "area", "nearest", "bicubic"]
Fit = Literal["stretch", "letterbox", "centre-crop"]
Align = Literal["centre", "top-left"]
GreyWeights = Literal["bt601", "bt709", "average"]
Equalise = Literal["none", "histogram", "clahe"]
Precision = Literal["fp32", "fp16", "int8", "int8+fp16"]
PluginPolicy = Literal["auto", "plugin", "inline"]
Verdict = Literal["pass", "fail", "undecided", "numeric", "not-run"]


class _Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Immutable and closed against unknown fields; each class states `kw_only`, which msgspec does not inherit."""


class ImageSpec(_Struct, frozen=True, kw_only=True):
    """How an image becomes this input: what the pre-processing does, in this order.

    1. Crop to the box `crop`: left, top, right, bottom as shares of the image's width and height.
    2. `fit` the box to the input's H and W: `stretch` it; or take its largest centred part of the aspect W:H, with
       sides shortened to the share `keep` (`centre-crop`); or keep it whole and its aspect, with bars around it
       (`letterbox`), equal on opposite sides or all to the right and below (`align`).
    3. Resize by `resize` (`edgefer.runtime.resize_rules`).
    4. Convert from the caller's colour order to `colour`, to grey by the weights `grey`. Grey is repeated for an input
       of three channels, be it the image's or made from colours because `colour` is `grey`.
    5. `equalise` what is grey, or else the luma, by its histogram or by CLAHE with `clip_limit` and `tiles`, across
       and down (`edgefer.runtime.equalise`).
    6. Scale an 8-bit image from 0..255, or a 16-bit one from `window16`, to `range`.
    7. Subtract `mean` and divide by `std` per channel, both in units of `range`. A network that normalises inside its
       graph has mean 0 and std 1 here, so that it happens in exactly one place.

    The bars of a letterbox are `pad`, one level of 0..255 for all channels or one for each in the order of `colour`.
    They are put in behind step 5 and go through 6 and 7 as pixels of 8 bits do.
    """

    colour: Literal["rgb", "bgr", "grey"]
    range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    window16: tuple[int, int] = (0, 65535)
    crop: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    fit: Fit = "stretch"
    keep: float = 1.0
    pad: tuple[int, ...] = (0,)
    align: Align = "centre"
    resize: ResizeRule = "area-bilinear"
    grey: GreyWeights = "bt601"
    equalise: Equalise = "none"
    clip_limit: float = 2.0
    tiles: tuple[int, int] = (8, 8)
    band: Literal["visible", "nir", "lwir"] | None = None


class InputSpec(_Struct, frozen=True, kw_only=True):
    """One named input of a graph. `shape` is (N, C, H, W) for images with N the smallest profile; dtype is float32."""

    name: str
    role: Role
    shape: tuple[int, ...]
    image: ImageSpec | None = None


class OutputSpec(_Struct, frozen=True, kw_only=True):
    """One named output. `role` is `logits` for the class scores (softmax is outside the network)."""

    name: str
    role: str
    shape: tuple[int, ...]


class GraphSpec(_Struct, frozen=True, kw_only=True):
    """One ONNX graph of the bundle. `rate` is how often it runs per frame (1.0: every frame)."""

    role: GraphRole
    member: str
    inputs: tuple[InputSpec, ...]
    outputs: tuple[OutputSpec, ...]
    rate: float = 1.0
    batches: tuple[int, ...] = (1,)
    opset: int = 19
    ir_version: int = 9
    operators: tuple[str, ...] = ()


class NetworkSpec(_Struct, frozen=True, kw_only=True):
    """The network as the host knew it: registered name or `file.py:factory`, options and number of parameters."""

    name: str
    options: dict[str, str] = {}
    parameters: int = 0
    source: str = ""


class CalibrationSpec(_Struct, frozen=True, kw_only=True):
    """What the INT8 ranges come from. `digest` is over the decoded pixels, in order."""

    digest: str
    count: int
    method: Literal["max", "entropy", "percentile"]
    percentile: float | None = None


class StepFigure(_Struct, frozen=True, kw_only=True):
    """One step of the build judged on the evaluation data, image by image against the FP32 network.

    `correct` and `count` are images; `agreement` is the share with the same top-1 as the FP32 network, None for a
    graph without logits; `max_error` is max|a-b| / max(1, max|ref|) over the logits, or over all outputs without them.
    """

    step: str
    count: int
    correct: int | None
    mean_recall: float | None
    worst_class: str | None
    worst_recall: float | None
    agreement: float | None
    max_error: float


class BudgetSpec(_Struct, frozen=True, kw_only=True):
    """What a build may lose: accuracy, mean recall and a class's recall in points (0.5 is half a percent),
    agreement as a share."""

    accuracy: float = 0.5
    recall: float = 0.5
    class_recall: float = msgspec.field(default=1.5, name="class")
    agreement: float = 0.97


class GateSpec(_Struct, frozen=True, kw_only=True):
    """The verdict on the bundle's graph and the figures it rests on."""

    verdict: Verdict
    reason: str
    budget: BudgetSpec
    steps: tuple[StepFigure, ...] = ()
    data_digest: str = ""
    data_count: int = 0
    data_source: str = ""
    blamed_step: str | None = None
    images_to_decide: int | None = None
    over_budget_allowed: bool = False


class GoldenSpec(_Struct, frozen=True, kw_only=True):
    """Inputs with known answers that come with the bundle: `count` of them, as members.

    `inputs` maps an input's name to the member with an array (count, C, H, W); `reference` and `expected` map an
    output's name to the arrays of the FP32 network and of the deployed graph. `tolerance` bounds
    max|a-b| / max(1, max|ref|) of an engine against `expected`, `tolerances` that of single outputs where it is
    another.
    """

    count: int
    inputs: dict[str, str]
    reference: dict[str, str]
    expected: dict[str, str]
    tolerance: float
    synthetic: bool = True
    tolerances: dict[str, float] = {}

    def tolerance_of(self, output: str) -> float:
        """What bounds the error of one output."""
        return self.tolerances.get(output, self.tolerance)


class PluginSpec(_Struct, frozen=True, kw_only=True):
    """An operator of domain `edgefer` that the graph uses and that a plugin may take over."""

    name: str
    version: str
    namespace: str
    count: int


class EmbeddingSpec(_Struct, frozen=True, kw_only=True):
    """Where the classes lie in the space of the output `output`, (N, D), so that an estimate can say "none of these".

    `means` is a member (C, D) float32 in the order of the labels; `spread` (C,) is the root mean square distance of a
    class's samples from its mean. The distance of a sample is the smallest over the classes of |z - mean| / spread;
    `reject_beyond` is the distance above which it is of none, chosen so that the share `kept` of the `count` samples
    that the means come from stays.
    """

    output: str
    means: str
    spread: tuple[float, ...]
    reject_beyond: float
    kept: float
    count: int


class SaliencySpec(_Struct, frozen=True, kw_only=True):
    """How the graph `saliency` serves the others: its map S in 0..1, resized to the face, weights the pixels of the
    input `input` before anything is subtracted, x (1 - weight + weight S). Between the frames on which it runs, which
    the graph's `rate` says, the last map moves with the face. `network` is what made the map on the host."""

    input: str
    weight: float
    network: NetworkSpec | None = None


class Provenance(_Struct, frozen=True, kw_only=True):
    """Who made the bundle: versions of the tools, digests of the sources, the command, the time (UTC, ISO 8601)."""

    created: str
    command: tuple[str, ...] = ()
    tools: dict[str, str] = {}
    sources: dict[str, str] = {}
    notes: tuple[str, ...] = ()


class Member(_Struct, frozen=True, kw_only=True):
    """Size in bytes and SHA-256 (hex) of one member of the bundle."""

    size: int
    sha256: str


class Manifest(_Struct, frozen=True, kw_only=True):
    """The whole manifest. `labels` is in the order of the logits; `temperature` divides them before the softmax.

    `plugin_policy` is how the operators in `plugins` are compiled where a device is not told otherwise: by plugins
    (`plugin`), in standard operators (`inline`), or as is faster there (`auto`).
    """

    schema: int = SCHEMA_VERSION
    network: NetworkSpec
    graphs: tuple[GraphSpec, ...]
    labels: tuple[str, ...]
    precision: Precision
    gate: GateSpec
    provenance: Provenance
    golden: GoldenSpec | None = None
    calibration: CalibrationSpec | None = None
    plugins: tuple[PluginSpec, ...] = ()
    plugin_policy: PluginPolicy = "auto"
    temperature: float = 1.0
    embedding: EmbeddingSpec | None = None
    saliency: SaliencySpec | None = None
    members: dict[str, Member] = {}
