"""`edgefer verify` for an archive of engines: what can be checked of it on this machine."""

from __future__ import annotations

import os

from edgefer.bundle.verify import Check, Checks, Signed, VerifyReport, check_signed
from edgefer.engine.archive import EngineArchive, read_archive
from edgefer.engine.driver import cuda_driver
from edgefer.engine.key_difference import differences, on_this_machine


def verify_archive(path: str | os.PathLike[str], *, signed: Signed | None = None) -> VerifyReport:
    """Check an archive: file, signature where a key is given, layout, digests, and that reports, keys and plans belong
    together. Whether each engine is for this machine is said, and is no fault of the archive where it is not.

    `digest` of the report is that of the bundle that the engines are of.

    Raises:
        EnvironmentMismatch: the package that checks signatures is missing.
    """
    run = Checks()
    archive = None
    data = run.step("file", lambda: read_archive(path), lambda data: f"{len(data)} bytes")
    if data is not None and check_signed(run, data, path, signed):
        content = data
        archive = run.step("contents", lambda: EngineArchive.from_bytes(content, str(path)), _said)
    if archive is not None:
        driver = cuda_driver()
        for entry, _ in archive.engines:
            why = [each.text() for each in differences(entry.key, on_this_machine(entry.key, driver))]
            detail = "\n".join(["not for this machine", *why]) if why else "for this machine"
            run.checks.append(Check(name=f"engine {entry.role}", passed=True, detail=detail))
    return VerifyReport(
        path=str(path),
        digest=archive.manifest.bundle if archive else "",
        passed=all(check.passed for check in run.checks),
        checks=tuple(run.checks),
    )


def _said(archive: EngineArchive) -> str:
    manifest = archive.manifest
    return f"{len(archive.engines)} engines of '{manifest.network}', written by edgefer {manifest.edgefer}"
