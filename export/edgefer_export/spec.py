"""What `edgefer build-engine` is asked to do: one field per flag, the same names in the TOML file and in Python."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from edgefer.bundle.manifest import BudgetSpec, PluginPolicy, Precision, Role
from edgefer.bundle.saliency_faults import SLOWEST
from edgefer.errors import UsageError
from edgefer.outputs import check_folder, check_output
from edgefer_export.budget import check_budget
from edgefer_export.network_argument import classify
from edgefer_export.spec_fields import OutputRole, convert, read_toml

Method = Literal["max", "entropy", "percentile"]
FlavourChoice = Literal["auto", "tensorrt", "tensorrt_rtx", "none"]
Band = Literal["nir", "lwir"]
ExporterChoice = Literal["auto", "torchscript", "dynamo"]
FuseAttention = Literal["auto", "off"]

DEFAULT_PERCENTILE = 99.99
DEFAULT_EVERY = 10
"""Frames for each run of the saliency graph: three runs a second at 30 frames."""
# Every batch is run once to check the export: a mistyped one would take all memory of the machine.
LARGEST_BATCH = 256


@dataclass(frozen=True, kw_only=True)
class BuildSpec:
    """Everything that decides what a build makes. Constructing one checks that its fields can stand together.

    Attributes:
        network: a registered name, `FILE.py:FACTORY`, an ONNX file, or a bundle to recompile for this machine.
        output: the bundle to write; None only when `network` is a bundle.
        weights: a checkpoint to load into the network.
        calibration: data that the INT8 ranges come from: a folder or `synthetic:COUNT:SEED[:lwir|nir]`.
        evaluation: labelled data that the verdict rests on; it may share no image with `calibration`.
        embedding: data that the means of the classes in the embedding come from; None takes `calibration` where it is
            labelled with the network's classes, "none" leaves the means out.
        saliency: a checkpoint of `ml-net`, whose graph goes into the bundle beside that of a network that takes its
            maps; `saliency_options` go before the options in it.
        saliency_every: a session runs that graph on one frame of so many.
        precision: None means `int8` when `calibration` is given and `fp32` otherwise; see `target_precision`.
        layout: the layout of both folders; None lets the data be looked at.
        inputs: shapes by input name: (C, H, W) for a `FILE.py:FACTORY` that does not say itself; with the batch or
            without for an ONNX file that leaves sizes open.
        input_roles: what an input is for, by its name, where the name does not tell.
        output_roles: `logits` or `other` by the name of an ONNX file's output.
        preprocess: what images are made into inputs by, by input name or "" for all of them, and then by the keys of
            `preprocess_fields.KEYS`; what is not stated stays as the network's own inputs have it.
        options: options of the network, as written.
        labels: class names in the order of the logits; None takes those of the network, then of the data.
        band: the band of the infrared images.
        batches: batch sizes, each of which gets a profile of its own.
        exclude: regular expressions; a node whose name one of them finds stays out of quantisation.
        budget: what the build may lose.
        strict: treat an undecided verdict as a failed one (exit 4).
        allow_over_budget: write the bundle even when the verdict is `fail`; it is marked.
        flavour: which TensorRT compiles the engine; `none` leaves that step out.
        plugins: whether plugins compute the operators of domain `edgefer` in engines: `plugin`, `inline`, or `auto`, as
            is faster on the machine that compiles; the manifest says so to others. None means `auto`, and what the
            manifest says for a bundle.
        targets: TensorRT releases that have to take the graph, as `edgefer check` knows them.
        engine_out: where to copy the compiled plan.
        print_trtexec: print the equivalent trtexec line.
        golden_from_data: take the golden inputs from `evaluation` and not from synthetic images.
        exporter: which of torch's exporters a `FILE.py:FACTORY` goes through; `auto` keeps the smaller graph of both.
        fuse_attention: `auto` writes attention that is found in a `FILE.py:FACTORY` or an ONNX file as operators of
            domain `edgefer`; `off` leaves it as it was exported.
        method, percentile: how a range follows from what was seen; `percentile` goes with `method="percentile"` alone.
        seed: of everything drawn at random.
        report: folder of the report; None puts it beside the bundle, see `report_folder`.
        cache: folder of compiled engines; None is the user's cache folder.
        require_cached: with a bundle as `network`: take its engine from the cache, and build none.
        workspace: limit of the builder's scratch memory in bytes; None for 1 GiB.
        command: the exact command, for the report and the manifest.

    Raises:
        UsageError: two fields contradict each other, or one is out of range.
    """

    network: str
    output: Path | None = None
    weights: Path | None = None
    calibration: str | None = None
    evaluation: str | None = None
    embedding: str | None = None
    saliency: Path | None = None
    saliency_options: Mapping[str, str] = field(default_factory=dict)
    saliency_every: int = DEFAULT_EVERY
    precision: Precision | None = None
    layout: str | None = None
    inputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    input_roles: Mapping[str, Role] = field(default_factory=dict)
    output_roles: Mapping[str, OutputRole] = field(default_factory=dict)
    preprocess: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] | None = None
    band: Band | None = None
    batches: tuple[int, ...] = (1,)
    exclude: tuple[str, ...] = ()
    budget: BudgetSpec = field(default_factory=BudgetSpec)
    strict: bool = False
    allow_over_budget: bool = False
    flavour: FlavourChoice = "auto"
    plugins: PluginPolicy | None = None
    targets: tuple[str, ...] = ()
    engine_out: Path | None = None
    print_trtexec: bool = False
    golden_from_data: bool = False
    exporter: ExporterChoice = "auto"
    fuse_attention: FuseAttention = "auto"
    method: Method = "max"
    percentile: float | None = None
    seed: int = 0
    report: Path | None = None
    cache: Path | None = None
    require_cached: bool = False
    workspace: int | None = None
    command: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        kind = classify(self.network)
        _check_ranges(self)
        if self.flavour == "none" and self.engine_out is not None:
            raise UsageError("`--engine-out` needs an engine, but `--flavour none` builds none.")
        if self.workspace is not None and self.workspace < 1:
            raise UsageError(
                f"`--workspace` is {self.workspace}, expected at least one byte.",
                hint="1GiB is usual; leave it out for that.",
            )
        if self.flavour == "none" and self.workspace is not None:
            raise UsageError("`--workspace` is for building an engine, but `--flavour none` builds none.")
        if self.require_cached and kind != "bundle":
            raise UsageError(
                f"`--require-cached` takes the engine of a bundle from the cache, and {self.network} is no bundle."
            )
        if kind == "bundle":
            _check_recompilation(self)
        else:
            _check_build(self)

    @property
    def recompiles(self) -> bool:
        """Whether `network` is a bundle, of which only the engine is built again."""
        return classify(self.network) == "bundle"

    @property
    def target_precision(self) -> Precision:
        """The precision to build: as asked for, else `int8` with calibration data and `fp32` without."""
        if self.precision is not None:
            return self.precision
        return "fp32" if self.calibration is None else "int8"

    @property
    def quantises(self) -> bool:
        """Whether the graph gets Q/DQ nodes."""
        return self.target_precision.startswith("int8")

    @property
    def percentile_value(self) -> float | None:
        """The percentile to use with `method="percentile"`; None with the other methods."""
        if self.method != "percentile":
            return None
        return DEFAULT_PERCENTILE if self.percentile is None else self.percentile

    @property
    def report_folder(self) -> Path:
        """Where report.html and report.json go: as asked for, else `NAME-report` beside the bundle."""
        if self.report is not None:
            return self.report
        if self.output is None:
            raise UsageError("There is no folder for a report: neither `--report` nor `--output` is given.")
        return self.output.with_name(f"{self.output.stem}-report")

    def unused(self) -> tuple[str, ...]:
        """Sentences about fields that this build does not use, so that nothing given is dropped silently.

        They are not errors: a specification file with calibration data may well be built with `--precision fp32`.
        """
        if self.quantises or self.recompiles:
            return ()
        given = {
            "calibration": self.calibration is not None,
            "exclude": bool(self.exclude),
            "method": self.method != "max",
        }
        return tuple(
            f"`{name}` is not used: {self.target_precision} does not quantise." for name in given if given[name]
        )

    def check_files(self) -> None:
        """Refuse paths that cannot work before any long step starts.

        Raises:
            UsageError: an input file is missing, the folder of an output does not exist, or an output would take the
                place of what the build reads.
        """
        for flag, checkpoint in (("--weights", self.weights), ("--saliency", self.saliency)):
            if checkpoint is not None and not checkpoint.is_file():
                raise UsageError(f"The checkpoint {checkpoint} is not a file.", hint=f"Check {flag}.")
        for flag, path in (("--output", self.output), ("--engine-out", self.engine_out)):
            if path is not None:
                check_output(flag, path)
        self._check_overwriting()
        if self.report is not None:
            check_folder("--report", self.report)
        if self.cache is not None and self.flavour != "none":
            # A cache that may only be read still serves what is in it.
            check_folder("--cache", self.cache, written=False)

    def _check_overwriting(self) -> None:
        checkpoints = {"--weights": self.weights, "--saliency": self.saliency}
        taken = {path.resolve(): flag for flag, path in checkpoints.items() if path is not None}
        kind = classify(self.network)
        if kind != "registered":
            taken[Path(self.network.rpartition(":")[0] if kind == "file" else self.network).resolve()] = "the network"
        for flag, path in (("--output", self.output), ("--engine-out", self.engine_out)):
            if path is None:
                continue
            use = taken.get(path.resolve())
            # A bundle may be written over itself: recompiling leaves its content as it is.
            if use is not None and not (kind == "bundle" and flag == "--output"):
                raise UsageError(f"{flag} {path} would overwrite {use}.", hint="Name another file.")
            taken[path.resolve()] = flag

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], *, command: tuple[str, ...] = ()) -> BuildSpec:
        """A specification from fields named as the flags are, values as text or as TOML has them.

        Raises:
            UsageError: a field is unknown, of the wrong type or missing.
        """
        converted = convert(fields)
        if "network" not in converted:
            raise UsageError(
                "No network is given.", hint="Name one on the command line or as `network` in the specification."
            )
        return cls(**converted, command=command)

    @classmethod
    def from_toml(
        cls, path: str | Path, overrides: Mapping[str, Any] | None = None, *, command: tuple[str, ...] = ()
    ) -> BuildSpec:
        """A specification from a TOML file whose keys are the names of the flags; `overrides` (the flags) win.

        Tables (`option`, `input`, `preprocess`, `budget`) are merged key by key, everything else is replaced. Paths are
        taken as on the command line: relative to the working folder.

        Raises:
            UsageError: the file is missing, is not TOML, or a field is unknown or wrong.
        """
        return cls.from_fields(read_toml(Path(path), overrides or {}), command=command)


def _check_ranges(spec: BuildSpec) -> None:
    if not spec.batches or min(spec.batches) < 1:
        raise UsageError(f"`--batch` takes whole numbers from 1, not {list(spec.batches)}.")
    if max(spec.batches) > LARGEST_BATCH:
        raise UsageError(f"`--batch` is at most {LARGEST_BATCH}, not {max(spec.batches)}.")
    if len(set(spec.batches)) != len(spec.batches):
        raise UsageError(f"`--batch` names a size twice: {list(spec.batches)}.")
    foreign = classify(spec.network) == "onnx"
    for name, shape in spec.inputs.items():
        if min(shape, default=0) < 1 or (len(shape) != 3 and not foreign):
            raise UsageError(
                f"The shape of input `{name}` is CxHxW with whole numbers from 1, such as 3x224x224, not {shape}."
            )
    for pattern in spec.exclude:
        try:
            re.compile(pattern)
        except re.error as error:
            raise UsageError(f"`--exclude {pattern}` is not a regular expression: {error}.") from error
    if spec.percentile is not None:
        if spec.method != "percentile":
            raise UsageError(f"`--percentile` goes with `--method percentile`, not with `--method {spec.method}`.")
        if not 50.0 < spec.percentile <= 100.0:
            raise UsageError(f"`--percentile` lies above 50 and is at most 100, not {spec.percentile:g}.")
    if not 1 <= spec.saliency_every <= 1 / SLOWEST:
        most = f"{1 / SLOWEST:,.0f}"
        raise UsageError(f"`--saliency-every` takes a whole number from 1 to {most}, not {spec.saliency_every}.")
    if spec.saliency is None and (spec.saliency_options or spec.saliency_every != DEFAULT_EVERY):
        raise UsageError(
            "`--saliency-option` and `--saliency-every` are about a saliency graph, and none is asked for.",
            hint="Add --saliency CHECKPOINT of ml-net.",
        )
    check_budget(spec.budget)
    if not 0 <= spec.seed < 2**32:
        raise UsageError(f"`--seed` is a whole number from 0 to {2**32 - 1}, not {spec.seed}.")


def _check_build(spec: BuildSpec) -> None:
    if spec.output is None:
        raise UsageError("No file is named for the bundle.", hint="Add -o NAME.edgefer.")
    foreign = classify(spec.network) == "onnx"
    if foreign:
        _check_foreign(spec)
    elif spec.output_roles:
        raise UsageError("`--output NAME:ROLE` is for ONNX files; the outputs of any other network have their names.")
    if spec.quantises:
        missing = [f"--{name}" for name in ("calibration", "evaluation") if getattr(spec, name) is None]
        # Whether an ONNX file needs data is known when it has been read: it may be quantised, or give no logits.
        if missing and not foreign:
            raise UsageError(
                f"{spec.target_precision} needs {' and '.join(missing)}: ranges and verdict come from data.",
                hint="Give both, from different images; --precision fp32 or fp16 builds without calibration data.",
            )
        if spec.calibration is not None and spec.calibration == spec.evaluation:
            raise UsageError(
                f"Calibration and evaluation are the same data ({spec.evaluation}); the verdict needs unseen images.",
                hint="Split the folder, or take another seed of synthetic pairs.",
            )
    if spec.exporter != "auto" and classify(spec.network) != "file":
        raise UsageError(
            f"`--exporter {spec.exporter}` is for networks given as FILE.py:FACTORY; {spec.network} is none.",
            hint="Leave it out.",
        )
    if spec.fuse_attention != "auto" and classify(spec.network) == "registered":
        raise UsageError(
            f"`--fuse-attention {spec.fuse_attention}` is for FILE.py:FACTORY and ONNX files; {spec.network} is none.",
            hint="Leave it out: a registered network writes its operators itself.",
        )
    if spec.golden_from_data and spec.evaluation is None:
        raise UsageError("`--golden-from-data` takes images from `--evaluation`, which is not given.")


def _check_foreign(spec: BuildSpec) -> None:
    if spec.weights is not None:
        raise UsageError(
            f"{spec.network} has its weights in it, so `--weights {spec.weights}` cannot apply.",
            hint="Leave it out, or build from the network as FILE.py:FACTORY.",
        )
    if spec.options:
        raise UsageError(
            f"{spec.network} takes no options, so `--option {' '.join(spec.options)}` cannot apply.",
            hint="Sizes that the file leaves open are stated with --input NAME=CxHxW.",
        )


# What a bundle already holds and a recompilation therefore cannot change.
_FIXED_IN_A_BUNDLE = (
    ("weights", "--weights"),
    ("calibration", "--calibration"),
    ("evaluation", "--evaluation"),
    ("embedding", "--embedding"),
    ("saliency", "--saliency"),
    ("precision", "--precision"),
    ("layout", "--layout"),
    ("inputs", "--input"),
    ("output_roles", "--output NAME:ROLE"),
    ("preprocess", "--preprocess"),
    ("options", "--option"),
    ("labels", "--labels"),
    ("band", "--band"),
    ("exclude", "--exclude"),
    ("strict", "--strict"),
    ("allow_over_budget", "--allow-over-budget"),
    ("golden_from_data", "--golden-from-data"),
    ("percentile", "--percentile"),
    ("report", "--report"),
    ("targets", "--target"),
)


def _check_recompilation(spec: BuildSpec) -> None:
    given = [flag for name, flag in _FIXED_IN_A_BUNDLE if getattr(spec, name)]
    if spec.batches != (1,):
        given.append("--batch")
    if spec.budget != BudgetSpec():
        given.append("--budget")
    if spec.method != "max":
        given.append("--method")
    if spec.exporter != "auto":
        given.append("--exporter")
    if spec.fuse_attention != "auto":
        given.append("--fuse-attention")
    if given:
        raise UsageError(
            f"{spec.network} is a bundle: its graph is only compiled again, so {', '.join(given)} cannot apply.",
            hint="Leave them out, or build from the network that the bundle came from.",
        )
    if spec.flavour == "none":
        raise UsageError(f"{spec.network} is a bundle and `--flavour none` compiles nothing: there is nothing to do.")
