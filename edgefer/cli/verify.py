"""`edgefer verify`: a bundle checked from its bytes to its answers on this machine."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from edgefer.cli.options import add_bundle, add_threads, reporter
from edgefer.cli.output import Outcome, table

if TYPE_CHECKING:
    from edgefer.bundle.verify import VerifyReport

DESCRIPTION = """\
Check a bundle: its file, schema and digests, that its graphs load here, and that they answer the golden inputs as the
manifest says. Ends with 1 when a check fails."""
EXAMPLE = "edgefer verify fusion.edgefer"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_bundle(parser)
    add_threads(parser)


def run(arguments: argparse.Namespace) -> Outcome:
    from edgefer.bundle.verify import verify_bundle

    with reporter(arguments).task("checking"):
        report = verify_bundle(arguments.bundle, threads=arguments.threads)
    return Outcome(payload=report, text=_text(report), exit_code=0 if report.passed else 1)


def _text(report: VerifyReport) -> str:
    rows = [["check", "", "found"]]
    for check in report.checks:
        first, *more = check.detail.splitlines() or [""]
        rows.append([check.name, "ok" if check.passed else "FAILED", first])
        rows += [["", "", line] for line in more]
        if check.hint:
            rows.append(["", "", f"hint: {check.hint}"])
    verdict = "the bundle is sound" if report.passed else "the bundle is not sound"
    return f"{report.path}: {verdict}\n\n{table(rows)}"
