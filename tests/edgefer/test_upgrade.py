"""The schema rule: earlier manifests are brought forward step by step, later ones are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgefer.bundle import layout, schema
from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import SCHEMA_VERSION
from edgefer.bundle.upgrade import STEPS, upgrade
from edgefer.errors import BundleError


def test_every_earlier_version_has_a_step() -> None:
    assert set(STEPS) == set(range(1, SCHEMA_VERSION))


def test_the_current_version_is_left_alone() -> None:
    raw = {"schema": SCHEMA_VERSION, "anything": [1]}
    assert upgrade(raw) is raw


def test_steps_are_taken_in_order_and_the_original_is_kept() -> None:
    steps = {
        1: lambda raw: {**raw, "names": [raw["name"]]},
        2: lambda raw: {key: value for key, value in raw.items() if key != "name"} | {"count": len(raw["names"])},
    }
    raw = {"schema": 1, "name": "a"}
    assert upgrade(raw, to=3, steps=steps) == {"schema": 3, "names": ["a"], "count": 1}
    assert raw == {"schema": 1, "name": "a"}


def test_a_step_that_fails_is_an_error_of_the_bundle() -> None:
    with pytest.raises(BundleError, match="version 1 is not well formed") as caught:
        upgrade({"schema": 1}, to=2, steps={1: lambda raw: {"names": raw["name"]}})
    assert "KeyError" in caught.value.details


def test_a_gap_in_the_steps_is_an_error_of_the_bundle() -> None:
    with pytest.raises(BundleError, match="schema version 2, from which"):
        upgrade({"schema": 2}, to=4, steps={3: dict})


@pytest.mark.parametrize("version", [None, "1", 1.0, True, [1]])
def test_a_version_that_is_no_number(version: Any) -> None:
    with pytest.raises(BundleError, match="'schema'"):
        upgrade({"schema": version})


@pytest.mark.parametrize(
    ("provenance", "says"),
    [
        ({"tools": {"edgefer": "2.0"}}, "needs version 2.0 of edgefer"),
        ({"tools": {"edgefer": "\x1b[2J" * 3}}, "install a newer"),
        ({"tools": ["edgefer"]}, "install a newer"),
        (None, "install a newer"),
    ],
)
def test_a_later_version_says_what_is_needed(provenance: Any, says: str) -> None:
    with pytest.raises(BundleError, match="written by a newer edgefer") as caught:
        upgrade({"schema": SCHEMA_VERSION + 1, "provenance": provenance})
    assert says in caught.value.hint


DATA = Path(__file__).parent / "data"
SCHEMA_1, SCHEMA_2, SCHEMA_3 = (DATA / f"schema_{version}.bundle" for version in (1, 2, 3))


def test_a_bundle_of_version_1_means_what_it_meant(tiny_bundle: Bundle) -> None:
    written = json.loads(bytes(layout.unpack(SCHEMA_1.read_bytes())["manifest.json"]))
    assert written["schema"] == 1
    assert "fit" not in written["graphs"][0]["inputs"][0]["image"]
    read = Bundle.read(SCHEMA_1)
    assert read.manifest.schema == SCHEMA_VERSION
    assert read.manifest.graphs == tiny_bundle.manifest.graphs
    again = Bundle.from_bytes(read.to_bytes())
    assert (again.manifest, again.digest) == (read.manifest, read.digest)
    assert upgrade(written) == json.loads(read.member("manifest.json"))


def test_a_bundle_of_version_2_has_neither_embedding_nor_saliency(tiny_bundle: Bundle) -> None:
    written = json.loads(bytes(layout.unpack(SCHEMA_2.read_bytes())["manifest.json"]))
    assert written["schema"] == 2
    assert written.keys().isdisjoint({"embedding", "saliency"})
    read = Bundle.read(SCHEMA_2)
    assert (read.manifest.schema, read.manifest.embedding, read.manifest.saliency) == (SCHEMA_VERSION, None, None)
    assert read.manifest.graphs == tiny_bundle.manifest.graphs
    assert read.manifest.golden == tiny_bundle.manifest.golden
    assert {name: read.member(name) for name in read.members} == {
        name: tiny_bundle.member(name) for name in tiny_bundle.members
    }
    again = Bundle.from_bytes(read.to_bytes())
    assert (again.manifest, again.digest) == (read.manifest, read.digest)


def test_a_bundle_of_version_3_leaves_the_plugins_to_the_device(tiny_bundle: Bundle) -> None:
    written = json.loads(bytes(layout.unpack(SCHEMA_3.read_bytes())["manifest.json"]))
    assert written["schema"] == 3
    assert "plugin_policy" not in written
    read = Bundle.read(SCHEMA_3)
    assert (read.manifest.schema, read.manifest.plugin_policy) == (SCHEMA_VERSION, "auto")
    assert read.manifest.graphs == tiny_bundle.manifest.graphs
    again = Bundle.from_bytes(read.to_bytes())
    assert (again.manifest, again.digest) == (read.manifest, read.digest)


@pytest.mark.parametrize("change", [{"graphs": None}, {"graphs": [{}]}, {"graphs": [{"inputs": [{"image": 3}]}]}, {}])
def test_a_broken_manifest_of_version_1_is_an_error_of_the_bundle(change: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match="version 1 is not well formed"):
        upgrade({"schema": 1, **change})


def test_an_earlier_bundle_is_read_and_written_in_the_new_form(
    plain_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A version before the first, in which the manifest said `classes` where this one says `labels`.
    contents = {name: plain_bundle.member(name) for name in ("manifest.json", *plain_bundle.members)}
    contents["manifest.json"] = (
        contents["manifest.json"]
        .replace(f'"schema": {SCHEMA_VERSION}'.encode(), b'"schema": 0')
        .replace(b'"labels"', b'"classes"')
    )
    monkeypatch.setattr(
        schema,
        "upgrade",
        lambda raw: upgrade(
            raw,
            steps={**STEPS, 0: lambda old: {("labels" if k == "classes" else k): v for k, v in old.items()}},
        ),
    )
    read = Bundle.from_bytes(layout.pack(contents))
    assert read.manifest == plain_bundle.manifest
    monkeypatch.undo()
    assert Bundle.from_bytes(read.to_bytes()).manifest == plain_bundle.manifest
