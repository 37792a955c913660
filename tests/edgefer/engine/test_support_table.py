"""The facts: every file is whole, and what a target takes is what its sources say."""

from __future__ import annotations

from importlib import resources

import pytest

from edgefer.engine.support import quantisation  # noqa: F401  registers its checks
from edgefer.engine.support.restrictions import CHECKS
from edgefer.engine.support.table import TARGETS, check_target, table
from edgefer.errors import UsageError


def test_every_target_has_a_file_and_every_file_a_target() -> None:
    files = resources.files("edgefer.engine.support") / "facts"
    assert {each.name for each in files.iterdir()} == {f"{target}.toml" for target in TARGETS}


@pytest.mark.parametrize("target", TARGETS)
def test_facts_are_whole(target: str) -> None:
    facts = table(target)
    assert facts.title
    assert len(facts.operators) > 150
    assert not facts.operators.keys() & facts.unsupported.keys()
    for name, operator in facts.operators.items():
        assert operator.source, name
        assert operator.types is None or operator.types <= {*facts.tensors.types}, name
        for rule in operator.restrictions:
            assert rule.check in CHECKS, rule.check
            assert rule.source
            assert rule.remedy
        lines = [(rule.check, rule.attribute, rule.input) for rule in operator.restrictions]
        assert len(lines) == len(set(lines)), f"{name} has a restriction twice"


@pytest.mark.parametrize("target", TARGETS)
def test_sources_are_documents_of_a_version(target: str) -> None:
    facts = table(target)
    sources = {operator.source for operator in facts.operators.values()} | set(facts.unsupported.values())
    sources |= {rule.source for operator in facts.operators.values() for rule in operator.restrictions}
    sources |= {facts.opset.source, facts.onnx.source, facts.tensors.source, facts.by_name}
    assert all(any(character.isdigit() for character in source) for source in sources)


# Where the documents of two releases differ: operator or restriction, and the first target that has it.
@pytest.mark.parametrize(
    ("operator", "first"),
    [
        ("NonMaxSuppression", "tensorrt-10.3"),
        ("DeformConv", "tensorrt-10.3"),
        ("HannWindow", "tensorrt-10.13"),
        ("STFT", "tensorrt-10.13"),
        ("Attention", "tensorrt-10.16"),
        ("RMSNormalization", "tensorrt-10.16"),
        ("TensorScatter", "tensorrt-10.16"),
        ("Swish", "tensorrt-11"),
        ("GroupQueryAttention", "rtx"),
    ],
)
def test_operators_arrive_when_the_changelog_says(operator: str, first: str) -> None:
    having = [target for target in TARGETS if operator in table(target).operators]
    expected = list(TARGETS[TARGETS.index(first) :])
    assert having == [target for target in expected if (operator, target) != ("DeformConv", "rtx")]


def test_restrictions_go_when_the_changelog_says() -> None:
    def checks(operator: str, target: str) -> set[str]:
        return {rule.check for rule in table(target).operators[operator].restrictions}

    assert "constant_input" in checks("Pad", "tensorrt-10.3")
    assert "constant_input" not in checks("Pad", "tensorrt-10.13")
    assert "einsum_plain" in checks("Einsum", "tensorrt-10.3")
    assert "einsum_plain" not in checks("Einsum", "tensorrt-10.13")
    assert "axis_is_given" in checks("QuantizeLinear", "tensorrt-10.3")
    assert "axis_is_given" not in checks("QuantizeLinear", "tensorrt-10.16")
    assert not checks("Slice", "tensorrt-10.3")


def test_element_types_differ_between_releases() -> None:
    assert "int64" not in (table("tensorrt-10.3").operators["Pow"].types or ())
    assert "int64" in (table("tensorrt-10.13").operators["Pow"].types or ())
    assert "fp4" not in (table("tensorrt-10.3").operators["DequantizeLinear"].types or ())
    assert "fp4" in (table("tensorrt-10.13").operators["DequantizeLinear"].types or ())
    for target in TARGETS:
        assert "int32" not in (table(target).operators["DequantizeLinear"].types or ())


def test_what_is_inherited_says_so() -> None:
    assert "10.1" in table("tensorrt-10.3").notes[0]
    assert "10.13" in table("tensorrt-10.13").notes[-1]
    assert "10.3" in table("tensorrt-10.13").notes[0]
    assert len(table("rtx").notes) > len(table("tensorrt-10.3").notes)


def test_plugins_are_those_of_the_release() -> None:
    assert "NMS_TRT" in table("tensorrt-10.3").plugins
    assert "NMS_TRT" not in table("tensorrt-11").plugins
    assert not table("rtx").plugins


def test_an_unknown_target_is_met_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"tensorrt-10\.4") as caught:
        check_target("tensorrt-10.4")
    assert all(target in caught.value.hint for target in TARGETS)
    assert caught.value.exit_code == 2
