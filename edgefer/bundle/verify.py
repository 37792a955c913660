"""`edgefer verify`: everything that can be checked about a bundle on this machine, as a list of named checks."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from edgefer.bundle.container import Bundle
from edgefer.bundle.names import MANIFEST
from edgefer.bundle.reading import check_digests, read_file, refuse_faults, split
from edgefer.bundle.schema import decode
from edgefer.errors import EdgeferError, EnvironmentMismatch, UsageError
from edgefer.signing import check_signature, signature_path

if TYPE_CHECKING:
    from edgefer.progress import Reporter
    from edgefer.runtime.gpu_settings import GpuSettings
    from edgefer.runtime.session import Session

T = TypeVar("T")


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One check: what was looked at, how it went, and what was found; `hint` says what to do where it failed."""

    name: str
    passed: bool
    detail: str
    hint: str = ""


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """All checks in the order made; those after one that the rest depends on are left out.

    `digest` is the bundle's identity, empty where the file could not be read as one. `info` is what the sessions said
    that answered, by the role of the graph.
    """

    path: str
    digest: str
    passed: bool
    checks: tuple[Check, ...]
    info: dict[str, dict[str, Any]] = {}


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """Who has to have signed a file: the public key in a PEM file, and the signature where it lies elsewhere."""

    key: str
    signature: str | None = None


def verify_bundle(
    path: str | os.PathLike[str],
    device: str = "auto",
    *,
    threads: int | None = None,
    gpu: GpuSettings | None = None,
    reporter: Reporter | None = None,
    signed: Signed | None = None,
) -> VerifyReport:
    """Check a bundle from its bytes to its answers: file, signature where a key is given, layout, schema, digests,
    consistency; the means of the classes where it has any; then for each graph that it loads, and that it answers its
    golden inputs as the manifest says, within the manifest's tolerance.

    Args:
        path: the file.
        device: where the golden inputs are run, as for `Session`.
        threads: likewise.
        gpu: likewise.
        reporter: likewise.
        signed: who has to have signed the file. Nothing more of one that is not signed so is looked at.

    Raises:
        EnvironmentMismatch: the graphs cannot be run on this machine, or not on the device named, which says nothing
            about the bundle; or the package that checks signatures is missing.
        UsageError: `device` or `threads` cannot be what they are.
    """
    run = Checks()
    bundle = _read(run, Path(path), signed)
    info: dict[str, dict[str, Any]] = {}
    if bundle is not None:
        from edgefer.runtime.session import Session

        _check_embedding(run, bundle)
        opens = partial(Session, bundle, device=device, threads=threads, gpu=gpu, reporter=reporter)
        info = _check_graphs(run, bundle, opens)
    return VerifyReport(
        path=str(path),
        digest=bundle.digest if bundle else "",
        passed=all(check.passed for check in run.checks),
        checks=tuple(run.checks),
        info=info,
    )


class Checks:
    """Collects checks; a step that raises an error of the bundle has failed."""

    def __init__(self) -> None:
        self.checks: list[Check] = []

    def step(self, name: str, action: Callable[[], T], say: Callable[[T], str]) -> T | None:
        """The value of `action`, noted as passed with what `say` says of it, or None, noted as failed."""
        try:
            value = action()
            self.checks.append(Check(name=name, passed=True, detail=say(value)))
        except (EnvironmentMismatch, UsageError):
            raise
        except EdgeferError as error:
            detail = "\n".join(part for part in (error.message, error.details) if part)
            self.checks.append(Check(name=name, passed=False, detail=detail, hint=error.hint))
            return None
        return value


def check_signed(run: Checks, data: bytes, path: str | os.PathLike[str], signed: Signed | None) -> bool:
    """Whether the rest of a file with these bytes may be looked at: its signature is right, or none is asked for."""
    if signed is None:
        return True
    signature = signed.signature or signature_path(path)
    before = len(run.checks)
    run.step(
        "signature",
        lambda: check_signature(data, signature, signed.key),
        lambda _: f"{signature} is by the owner of {signed.key}",
    )
    return all(check.passed for check in run.checks[before:])


def _read(run: Checks, path: Path, signed: Signed | None) -> Bundle | None:
    """The bundle, read step by step so that the report says how far it got."""
    data = run.step("file", lambda: read_file(path), lambda data: f"{len(data)} bytes")
    if data is None or not check_signed(run, data, path, signed):
        return None
    members = run.step("layout", lambda: split(data), lambda members: f"{len(members)} members, checksums right")
    if members is None:
        return None
    contents = {name: content for name, content in members.items() if name != MANIFEST}
    read = run.step(
        "schema",
        lambda: decode(bytes(members[MANIFEST])),
        lambda found: f"version {found[0].schema}" + (" after an upgrade" if found[1] else ""),
    )
    if read is None:
        return None
    manifest = read[0]
    before = len(run.checks)
    run.step(
        "digests",
        lambda: check_digests(manifest.members, contents),
        lambda _: f"{len(contents)} members have the sizes and SHA-256 of the manifest",
    )
    run.step("consistency", lambda: refuse_faults(manifest, contents), lambda _: "no contradiction in the manifest")
    if not all(check.passed for check in run.checks[before:]):
        return None
    return Bundle.from_bytes(data)


def _check_embedding(run: Checks, bundle: Bundle) -> None:
    from edgefer.runtime.class_means import rejection

    embedding = bundle.manifest.embedding
    if embedding is None:
        return
    said = f"means of {len(embedding.spread)} classes, finite"
    for graph in bundle.manifest.graphs:
        if any(output.name == embedding.output for output in graph.outputs):
            run.step(f"embedding {graph.role}", partial(rejection, bundle, graph), lambda _: said)


def _check_graphs(run: Checks, bundle: Bundle, opens: Callable[..., Session]) -> dict[str, dict[str, Any]]:
    """Checks every graph in a session that `opens` gives for its role; what the sessions say of themselves."""
    from edgefer.runtime.golden_check import check_golden

    told: dict[str, dict[str, Any]] = {}
    golden = bundle.manifest.golden
    if golden is None:
        run.checks.append(Check(name="golden inputs", passed=True, detail="the bundle has none; nothing to compare"))
    for graph in bundle.manifest.graphs:
        session = run.step(f"graph {graph.role}", partial(opens, graph=graph.role), _loaded)
        if session is None:
            continue
        with session:
            told[str(graph.role)] = session.info
            if golden is not None and golden.expected.keys() & {output.name for output in graph.outputs}:
                run.step(f"golden {graph.role}", partial(check_golden, bundle, golden, session), str)
    return told


def _loaded(session: Session) -> str:
    """What loaded a graph, and which form of it where there is more than one."""
    settings = session.info["settings"]
    form = settings.get("form", "deployed") if isinstance(settings, dict) else "deployed"
    return f"loaded by {session.info['runner']}" + (f" in the form '{form}'" if form != "deployed" else "")
