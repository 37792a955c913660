"""Which form runs, and what is said of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from edgefer.bundle.container import Bundle
from edgefer.bundle.verify import verify_bundle
from edgefer.errors import UsageError
from edgefer.runtime import runners
from edgefer.runtime.cpu_form import choose as choosing
from edgefer.runtime.cpu_form.cache import FormCache
from edgefer.runtime.cpu_form.choose import Form, Wish, choose
from edgefer.runtime.cpu_form.features import CpuFeatures
from edgefer.runtime.session import Session

AVX2 = CpuFeatures("x86_64", frozenset({"avx2"}))
ARM = CpuFeatures("aarch64", frozenset({"asimd", "asimddp"}))


def wish(bundle: Bundle, **fields: Any) -> Wish:
    return Wish(bundle, bundle.graph(), threads=1, **fields)


@pytest.fixture
def derivations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The variants that were derived since the test began."""
    seen: list[str] = []
    real = choosing.derive

    def spy(onnx: bytes, variant: Any) -> Any:
        seen.append(variant)
        return real(onnx, variant)

    monkeypatch.setattr(choosing, "derive", spy)
    return seen


@pytest.fixture
def without_onnx(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """`without_onnx()`: from here on the package onnx is not installed."""
    return lambda: monkeypatch.setitem(sys.modules, "onnx", None)


def test_int8_runs_in_integers_where_there_is_vnni(int8_bundle: Bundle, cache: FormCache, vnni: CpuFeatures) -> None:
    form = choose(wish(int8_bundle), features=vnni, cache=cache)
    assert form.name == "fast"
    assert form.derived
    assert "3 of 5 quantised layers" in form.why
    assert "checked on this machine: 4 inputs answered" in form.why
    assert form.onnx != int8_bundle.onnx(int8_bundle.graph())


@pytest.mark.parametrize(
    ("precision", "asked", "features", "name", "why"),
    [
        ("int8", "auto", AVX2, "deployed", r"\(x86_64\) has no AVX512-VNNI or AVX-VNNI.*saturate.*cpu_form='reduced'"),
        ("int8+fp16", "auto", AVX2, "single", "without its casts; this CPU .* has no AVX512-VNNI"),
        ("int8", "reduced", AVX2, "reduced", "7-bit weights.*asked for"),
        ("int8", "deployed", ARM, "deployed", "^asked for$"),
        ("int8", "auto", ARM, "fast", "never measured on aarch64"),
        ("int8", "auto", CpuFeatures("aarch64", frozenset()), "deployed", "no instructions for products of 8 bits"),
        ("fp16", "auto", AVX2, "single", "the deployed graph in FP32, without its casts; checked"),
        ("fp16", "reduced", AVX2, "single", "without its casts"),
        ("fp32", "auto", AVX2, "deployed", "FP32 is run as it is"),
    ],
)
def test_what_is_chosen(
    int8_bundle: Bundle,
    int8_bundle_that: Callable[..., Bundle],
    cache: FormCache,
    precision: str,
    asked: Any,
    features: CpuFeatures,
    name: str,
    why: str,
) -> None:
    import re

    bundle = int8_bundle_that(int8_bundle, precision=precision)
    form = choose(wish(bundle, asked=asked), features=features, cache=cache)
    assert form.name == name
    assert re.search(why, form.why), form.why
    assert form.derived == (form.onnx != bundle.onnx(bundle.graph())) or name == "single"


def test_a_form_is_derived_and_checked_once(
    int8_bundle: Bundle, cache: FormCache, vnni: CpuFeatures, derivations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = choose(wish(int8_bundle), features=vnni, cache=cache)
    monkeypatch.setattr(choosing, "check_golden", None)
    assert choose(wish(int8_bundle), features=vnni, cache=cache) == first
    assert derivations == ["fast"]


def test_without_onnx_the_deployed_graph_runs_and_says_how_to_get_the_form(
    int8_bundle: Bundle, cache: FormCache, vnni: CpuFeatures, without_onnx: Callable[[], None]
) -> None:
    without_onnx()
    form = choose(wish(int8_bundle), features=vnni, cache=cache)
    assert form == Form(int8_bundle.onnx(int8_bundle.graph()), "deployed", form.why)
    assert "needs the package onnx" in form.why
    assert "pip install" in form.why


def test_a_cached_form_needs_no_onnx(
    int8_bundle: Bundle, cache: FormCache, vnni: CpuFeatures, without_onnx: Callable[[], None]
) -> None:
    first = choose(wish(int8_bundle), features=vnni, cache=cache)
    without_onnx()
    assert choose(wish(int8_bundle), features=vnni, cache=cache) == first


def test_a_form_that_answers_otherwise_is_not_used(
    int8_bundle: Bundle,
    int8_bundle_that: Callable[..., Bundle],
    cache: FormCache,
    vnni: CpuFeatures,
    derivations: list[str],
) -> None:
    off = int8_bundle_that(int8_bundle, shift=0.5)
    form = choose(wish(off), features=vnni, cache=cache)
    assert form.name == "deployed"
    assert "cannot be used: output 'logits' differs from the expected by" in form.why
    assert choose(wish(off), features=vnni, cache=cache) == form
    assert derivations == ["fast"]
    # The same graph with other golden inputs is another question.
    assert choose(wish(int8_bundle), features=vnni, cache=cache).name == "fast"


def test_without_golden_inputs_nothing_is_derived(
    int8_bundle: Bundle, int8_bundle_that: Callable[..., Bundle], cache: FormCache, vnni: CpuFeatures
) -> None:
    form = choose(wish(int8_bundle_that(int8_bundle, golden=False)), features=vnni, cache=cache)
    assert form.name == "deployed"
    assert "no golden inputs" in form.why


def test_a_graph_without_quantised_layers_runs_as_it_is(
    tiny_bundle: Bundle, int8_bundle_that: Callable[..., Bundle], cache: FormCache, vnni: CpuFeatures
) -> None:
    form = choose(wish(int8_bundle_that(tiny_bundle)), features=vnni, cache=cache)
    assert form.name == "deployed"
    assert "no quantised layer" in form.why


def test_a_form_that_onnxruntime_refuses_is_not_used(
    int8_bundle: Bundle, cache: FormCache, vnni: CpuFeatures, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = choosing.derive

    def renamed(onnx: bytes, variant: Any) -> Any:
        from dataclasses import replace

        derived = real(onnx, variant)
        return replace(derived, onnx=derived.onnx.replace(b"MatMulIntegerToFloat", b"MatMulIntegerToFlaot"))

    monkeypatch.setattr(choosing, "derive", renamed)
    form = choose(wish(int8_bundle), features=vnni, cache=cache)
    assert form.name == "deployed"
    assert "onnxruntime cannot load the graph" in form.why


def _features(monkeypatch: pytest.MonkeyPatch, features: CpuFeatures) -> None:
    monkeypatch.setattr(choosing, "cpu_features", lambda: features)


def test_a_session_says_which_form_runs(
    int8_bundle: Bundle, vnni: CpuFeatures, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EDGEFER_CACHE", str(tmp_path))
    _features(monkeypatch, vnni)
    inputs = {"visible": np.full((1, 3, 8, 8), 0.4, np.float32), "infrared": np.full((1, 1, 8, 8), 0.7, np.float32)}
    answers = {}
    for asked in ("auto", "deployed", "reduced"):
        with Session(int8_bundle, device="onnxruntime", cpu_form=asked) as session:
            answers[asked] = session.infer(**inputs).logits
            settings, seconds = session.info["settings"], session.info["seconds"]
        assert isinstance(settings, dict)
        assert isinstance(seconds, dict)
        assert settings["form"] == {"auto": "fast", "deployed": "deployed", "reduced": "reduced"}[asked]
        assert settings["why this form"]
        assert ("form" in seconds) == (asked != "deployed")
    assert not np.array_equal(answers["reduced"], answers["deployed"])
    np.testing.assert_allclose(answers["auto"], answers["deployed"], atol=0.05)


def test_without_optimisations_the_deployed_graph_is_evaluated_literally(
    int8_bundle: Bundle, vnni: CpuFeatures, monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any]
) -> None:
    _features(monkeypatch, vnni)
    seen: list[bytes] = []
    real = runners.OnnxRuntimeRunner
    monkeypatch.setattr(runners, "OnnxRuntimeRunner", lambda onnx, **fields: seen.append(onnx) or real(onnx, **fields))
    deployed = int8_bundle.onnx(int8_bundle.graph())
    inputs = {"visible": np.full((1, 3, 8, 8), 0.4, np.float32), "infrared": np.full((1, 1, 8, 8), 0.7, np.float32)}
    for asked in ("auto", "reduced"):
        with Session(int8_bundle, optimise=False, device="onnxruntime", cpu_form=asked) as session:  # type: ignore[arg-type]
            logits = session.infer(**inputs).logits
        np.testing.assert_array_equal(logits, run(deployed, inputs, literal=True)[0][0])
    assert seen == [deployed, deployed]


def test_a_form_that_does_not_exist_is_refused(int8_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="the form is 'quick', expected one of auto, deployed, reduced"):
        Session(int8_bundle, cpu_form="quick")  # type: ignore[arg-type]


def test_a_bundle_is_verified_in_the_form_that_runs(
    int8_bundle: Bundle, vnni: CpuFeatures, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EDGEFER_CACHE", str(tmp_path))
    _features(monkeypatch, vnni)
    report = verify_bundle(int8_bundle.write(tmp_path / "tiny.edgefer"), "onnxruntime")
    assert report.passed
    details = {check.name: check.detail for check in report.checks}
    assert details["graph fused"] == "loaded by onnxruntime in the form 'fast'"
