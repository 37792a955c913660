"""Which form of a graph onnxruntime runs on this CPU, and why."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import metadata, util
from typing import Any

import msgspec
import numpy.typing as npt

from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import GoldenSpec, GraphSpec
from edgefer.errors import BundleError, EdgeferError
from edgefer.runtime.cpu_form import Asked
from edgefer.runtime.cpu_form.cache import Entry, FormCache, FormKey, Verdict
from edgefer.runtime.cpu_form.derive import Variant, derive
from edgefer.runtime.cpu_form.features import CpuFeatures, cpu_features
from edgefer.runtime.golden_check import Arrays, check_golden
from edgefer.runtime.onnxruntime_runner import OnnxRuntimeRunner, onnxruntime_version

DEPLOYED = "deployed"

LEFT_OUT = ("WeightBiasQuantization",)
"""Optimisations of onnxruntime that are left out where a graph is quantised: this one rounds weights and biases that
the graph keeps in floating point, and changed one answer in sixty of a small network."""

LEFT_OUT_OF_FORMS = (*LEFT_OUT, "QDQPropagationTransformer")
"""And of derived forms: this one moves a Q before a pool, whose kernel for integers takes twenty times as long."""

_MEANING = {
    "fast": "integer kernels derived from the deployed graph",
    "reduced": "integer kernels with 7-bit weights derived from the deployed graph",
    "single": "the deployed graph in FP32, without its casts",
}


@dataclass(frozen=True)
class Form:
    """The graph to run: "deployed", or a variant of `derive` by its name; `why` it is that one."""

    onnx: bytes
    name: str
    why: str

    @property
    def derived(self) -> bool:
        """Whether it is another graph than the deployed one."""
        return self.name != DEPLOYED

    @property
    def left_out(self) -> tuple[str, ...]:
        """The optimisations of onnxruntime that it is run without."""
        return LEFT_OUT_OF_FORMS if self.derived else LEFT_OUT


@dataclass(frozen=True)
class Wish:
    """What is to be run: a graph of a bundle, as asked for, with so many threads."""

    bundle: Bundle
    graph: GraphSpec
    asked: Asked = "auto"
    threads: int | None = None


def choose(wish: Wish, *, features: CpuFeatures | None = None, cache: FormCache | None = None) -> Form:
    """The form to run. Derived, checked against the golden inputs and cached where it is a derived one.

    Never raises for what keeps a derived form from being used: the deployed graph runs then, and `why` says so.

    Args:
        features: of the CPU; None looks at this one.
        cache: None is that in the user's folder.

    Raises:
        EnvironmentMismatch: onnxruntime is not installed.
    """
    features = features or cpu_features()
    variant, reason = _variant(wish, features)
    golden = _golden(wish.bundle, wish.graph)
    if variant is not None and golden is None:
        variant, reason = None, "the bundle has no golden inputs, so no other form of the graph can be checked"
    if variant is None or golden is None:
        return _deployed(wish, reason)
    cache = cache or FormCache()
    key = _key(wish, variant, golden, features)
    installed = _onnx_version()
    entry = cache.read(key, installed)
    if entry is None and installed is None:
        return _deployed(
            wish,
            f"deriving {_MEANING[variant]} needs the package onnx, which is not installed: pip install onnx, once, on "
            "this machine",
        )
    if entry is None and installed is not None:
        entry = cache.fetch(key, installed, lambda: _made(wish, variant, golden, installed))
    if entry is None or not entry.verdict.passed:
        return _deployed(wish, "" if entry is None else f"{_MEANING[variant]} cannot be used: {entry.verdict.found}")
    return Form(entry.graph, variant, _why(variant, entry.verdict, features, reason))


def _variant(wish: Wish, features: CpuFeatures) -> tuple[Variant | None, str]:
    """What to derive for this CPU, None for nothing; and what there is to say about it."""
    precision = wish.bundle.manifest.precision
    if wish.asked == DEPLOYED:
        return None, "asked for"
    if precision == "fp32":
        return None, "a graph in FP32 is run as it is"
    if precision == "fp16":
        return "single", ""
    if wish.asked == "reduced":
        return "reduced", "asked for"
    if features.dot_product is not None:
        return "fast", ""
    lacking = "AVX512-VNNI or AVX-VNNI" if features.is_x86 else "instructions for products of 8 bits that edgefer knows"
    reason = f"this CPU ({features.architecture}) has no {lacking}"
    if features.is_x86:
        reason += ", without which onnxruntime adds products of 8 bits in 16 bits, which saturate"
    reason += "; cpu_form='reduced' asks for weights of 7 bits, which do not"
    return ("single" if precision == "int8+fp16" else None), reason


def _made(wish: Wish, variant: Variant, golden: GoldenSpec, onnx: str) -> Entry:
    """The form and the verdict on it."""
    try:
        derived = derive(wish.bundle.onnx(wish.graph), variant)
        if variant != "single" and not derived.integer_layers:
            raise BundleError("the graph has no quantised layer that integer kernels compute")
        runner = OnnxRuntimeRunner(derived.onnx, threads=wish.threads, disabled=LEFT_OUT_OF_FORMS)
        found = check_golden(wish.bundle, golden, _Candidate(wish.graph, runner))
    except EdgeferError as error:
        return Entry(Verdict(passed=False, found=error.message, onnx=onnx), b"")
    verdict = Verdict(
        passed=True,
        found=found,
        onnx=onnx,
        integer_layers=derived.integer_layers,
        quantised_layers=derived.quantised_layers,
    )
    return Entry(verdict, derived.onnx)


@dataclass(frozen=True)
class _Candidate:
    """A form as `check_golden` takes it."""

    graph: GraphSpec
    runner: OnnxRuntimeRunner

    def run(self, feeds: Arrays) -> dict[str, npt.NDArray[Any]]:
        return self.runner.run(feeds)


def _deployed(wish: Wish, why: str) -> Form:
    return Form(wish.bundle.onnx(wish.graph), DEPLOYED, why)


def _why(variant: Variant, verdict: Verdict, features: CpuFeatures, reason: str) -> str:
    parts = [_MEANING[variant]]
    if verdict.quantised_layers:
        parts[0] += f" ({verdict.integer_layers} of {verdict.quantised_layers} quantised layers)"
    if reason:
        parts.append(reason)
    parts.append(f"checked on this machine: {verdict.found}")
    if variant != "single" and not features.measured:
        parts.append(f"its speed was never measured on {features.architecture}")
    return "; ".join(parts)


def _golden(bundle: Bundle, graph: GraphSpec) -> GoldenSpec | None:
    """The golden inputs where they have answers of this graph."""
    golden = bundle.manifest.golden
    return golden if golden is not None and golden.expected.keys() & {each.name for each in graph.outputs} else None


def _key(wish: Wish, variant: Variant, golden: GoldenSpec, features: CpuFeatures) -> FormKey:
    members = wish.bundle.manifest.members
    names = sorted({*golden.inputs.values(), *golden.expected.values(), *golden.reference.values()})
    answers = [msgspec.json.encode(golden), *(members[name].sha256.encode() for name in names)]
    return FormKey(
        graph=members[wish.graph.member].sha256,
        golden=hashlib.sha256(b"\n".join(answers)).hexdigest(),
        variant=variant,
        onnxruntime=onnxruntime_version(),
        architecture=features.architecture,
        instruction=features.dot_product,
    )


def _onnx_version() -> str | None:
    """The release of the package onnx; None where it is not installed."""
    try:
        if util.find_spec("onnx") is None:
            return None
    except ValueError:  # a module that was put in its place without a specification
        return None
    try:
        return metadata.version("onnx")
    except metadata.PackageNotFoundError:
        return "of no stated release"
