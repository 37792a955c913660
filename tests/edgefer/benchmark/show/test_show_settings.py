"""Settings in words: none is left out, and what sets figures apart is in their names."""

from __future__ import annotations

import msgspec

from edgefer.benchmark.result import Settings
from edgefer.benchmark.show.settings import apart, described, statement

CPU = Settings(runner="onnxruntime", device="cpu", measured="infer", precision="int8", threads=2)
GPU = Settings(
    runner="tensorrt",
    device="NVIDIA Orin",
    measured="infer",
    precision="fp16",
    threads=None,
    copies="off",
    graph="on",
    wait="spin",
    versions={"tensorrt": "10.3.0"},
    note="clocks locked",
)


def test_every_setting_is_stated() -> None:
    said = statement(GPU)
    for word in ("tensorrt on NVIDIA Orin", "FP16", "threads left to the runner", "batch 1", "1 stream"):
        assert word in said
    for word in ("copies outside", "CUDA graph on", "spinning wait", "tensorrt 10.3.0", "clocks locked"):
        assert word in said
    assert "ready tensors in, estimate out" in said


def test_what_does_not_apply_is_said_too() -> None:
    assert "copies, CUDA graph and wait mode do not apply" in statement(CPU)
    assert "2 threads" in statement(CPU)


def test_what_is_common_is_said_once_and_the_rest_names_the_figures() -> None:
    one = msgspec.structs.replace(CPU, threads=1)
    told = apart([CPU, one])
    common = told.common
    assert told.names == ("infer, 2 threads", "infer, 1 thread")
    assert "batch 1" in common
    assert "thread" not in common
    assert "ready tensors" not in common


def test_columns_need_not_be_named() -> None:
    many = [msgspec.structs.replace(CPU, batch=batch) for batch in (1, 2)]
    told = apart(many, columns=("batch", "streams"), named=())
    common = told.common
    assert told.names == ("", "")
    assert "batch" not in common
    assert "ready tensors in, estimate out" in common


def test_names_are_unique() -> None:
    assert apart([CPU, CPU]).names == ("infer (1)", "infer (2)")
    assert apart([]).names == ()


def test_what_is_too_long_for_a_name_is_a_detail() -> None:
    set_up = msgspec.structs.replace(CPU, note="arena: off; spinning: on")
    told = apart([CPU, set_up])
    assert told.names == ("infer (1)", "infer (2)")
    assert told.details == ("", "arena: off; spinning: on")
    assert "arena" not in told.common
    assert "arena: off" in apart([set_up, set_up]).common


def test_every_field_of_the_settings_changes_the_words() -> None:
    changes = {"runner": "x", "device": "x", "measured": "images", "precision": "fp32", "threads": 7, "batch": 3}
    changes |= {"streams": 5, "copies": "on", "graph": "on", "wait": "block", "versions": {"a": "1"}, "note": "x"}
    assert set(changes) == set(Settings.__struct_fields__)
    for name, value in changes.items():
        assert described(msgspec.structs.replace(CPU, **{name: value})) != described(CPU), name
