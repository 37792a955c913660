"""The schema rule: a manifest of an earlier version is brought to this one step by step, a later one is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgefer.bundle.manifest import SCHEMA_VERSION
from edgefer.errors import BundleError
from edgefer.version import __version__

Raw = dict[str, Any]
Step = Callable[[Raw], Raw]

# What an image was made into an input by before it could be stated.
_IMAGE_OF_VERSION_1: Raw = {
    "crop": [0.0, 0.0, 1.0, 1.0],
    "fit": "stretch",
    "keep": 1.0,
    "pad": [0],
    "align": "centre",
    "grey": "bt601",
    "equalise": "none",
    "clip_limit": 2.0,
    "tiles": [8, 8],
}


def _from_1(raw: Raw) -> Raw:
    """Version 2 states where an image is cropped, how it is fitted and whether it is equalised."""

    def of_input(spec: Raw) -> Raw:
        return spec if spec.get("image") is None else {**spec, "image": {**spec["image"], **_IMAGE_OF_VERSION_1}}

    graphs = [{**graph, "inputs": [of_input(spec) for spec in graph["inputs"]]} for graph in raw["graphs"]]
    return {**raw, "graphs": graphs}


def _from_2(raw: Raw) -> Raw:
    """Version 3 may say where the classes lie in an output, how a saliency map is used, and what single outputs may
    differ; none of it has to be there."""
    golden = raw.get("golden")
    golden = golden if golden is None else {**golden, "tolerances": {}}
    return {**raw, "golden": golden, "embedding": None, "saliency": None}


def _from_3(raw: Raw) -> Raw:
    """Version 4 says whether plugins compute the operators of domain `edgefer`; before, nobody had been asked."""
    return {**raw, "plugin_policy": "auto"}


# STEPS[n] turns a manifest of version n into one of version n + 1 and need not set `schema`. Whoever raises
# SCHEMA_VERSION adds one here and a bundle of the old version to the tests.
STEPS: Mapping[int, Step] = {1: _from_1, 2: _from_2, 3: _from_3}


def upgrade(raw: Raw, *, to: int = SCHEMA_VERSION, steps: Mapping[int, Step] = STEPS) -> Raw:
    """`raw`, decoded from JSON, as a manifest of version `to`; `raw` itself where it is of that version already.

    Raises:
        BundleError: `schema` is missing or no version number, is later than `to`, or has no step that leads on.
    """
    version = raw.get("schema")
    if not isinstance(version, int) or isinstance(version, bool):
        found = "is missing" if version is None else f"is {version!r}"
        raise BundleError(f"the manifest's 'schema' {found}; expected a version number from 1 to {to}")
    if version > to:
        writer = _writer(raw)
        raise BundleError(
            f"the bundle was written by a newer edgefer: it has schema version {version}, and edgefer {__version__} "
            f"reads versions up to {to}",
            hint=f"this bundle needs version {writer} of edgefer" if writer else "install a newer edgefer",
        )
    while version < to:
        step = steps.get(version)
        if step is None:
            raise BundleError(
                f"the bundle has schema version {version}, from which edgefer {__version__} has no way to version {to}",
                hint="build the bundle again",
            )
        try:
            raw = step(dict(raw))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise BundleError(
                f"the manifest of schema version {version} is not well formed",
                details=f"{type(error).__name__}: {error}",
            ) from error
        version += 1
        raw["schema"] = version
    return raw


def _writer(raw: Raw) -> str | None:
    """The version of edgefer that wrote a manifest of unknown schema, where it says so in today's place."""
    provenance = raw.get("provenance")
    tools = provenance.get("tools") if isinstance(provenance, dict) else None
    version = tools.get("edgefer") if isinstance(tools, dict) else None
    return version if isinstance(version, str) and 0 < len(version) <= 40 and version.isprintable() else None
