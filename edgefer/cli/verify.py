"""`edgefer verify`: a bundle checked from its bytes to its answers on this machine, or an archive of engines."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgefer.cli.gpu_options import add_device, add_gpu, session_options, tell, warnings_as_notes
from edgefer.cli.options import add_bundle, add_threads, reporter
from edgefer.cli.output import Outcome, table
from edgefer.errors import BundleError, UsageError

if TYPE_CHECKING:
    from edgefer.bundle.verify import VerifyReport

DESCRIPTION = """\
Check a bundle: its file, schema and digests, that its graphs load here, and that they answer the golden inputs as the
manifest says. With --key, first that the owner of that key has signed it. An archive of `edgefer cache export` can be
given in its place. Ends with 1 when a check fails."""
EXAMPLE = """\
edgefer verify fusion.edgefer
  edgefer verify fusion.edgefer --key fleet-public.pem"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_bundle(parser)
    parser.add_argument("--key", metavar="PUBLIC.pem", help="the public Ed25519 key of who has to have signed it")
    parser.add_argument("--signature", metavar="FILE.sig", help="the signature, if not beside the file")
    add_device(parser)
    add_threads(parser)
    add_gpu(parser)


def run(arguments: argparse.Namespace) -> Outcome:
    from edgefer.bundle.verify import Signed, verify_bundle
    from edgefer.engine.verify_archive import verify_archive

    if arguments.signature is not None and arguments.key is None:
        raise UsageError("--signature needs the key to check it with.", hint="--key PUBLIC.pem")
    signed = None if arguments.key is None else Signed(key=arguments.key, signature=arguments.signature)
    told = reporter(arguments)
    options = session_options(arguments, told)
    archive = _is_archive(Path(arguments.bundle))
    with warnings_as_notes(told):
        if archive:
            report = verify_archive(arguments.bundle, signed=signed)
        else:
            report = verify_bundle(arguments.bundle, signed=signed, **options)
    for info in report.info.values():
        tell(told, info)
    return Outcome(
        payload=report, text=_text(report, "archive" if archive else "bundle"), exit_code=0 if report.passed else 1
    )


def _is_archive(path: Path) -> bool:
    from edgefer.bundle.reading import read_file
    from edgefer.engine.archive import is_archive

    try:
        return is_archive(read_file(path))
    except BundleError:  # which becomes part of the report
        return False


def _text(report: VerifyReport, kind: str) -> str:
    rows = [["check", "", "found"]]
    for check in report.checks:
        first, *more = check.detail.splitlines() or [""]
        rows.append([check.name, "ok" if check.passed else "FAILED", first])
        rows += [["", "", line] for line in more]
        if check.hint:
            rows.append(["", "", f"hint: {check.hint}"])
    verdict = f"the {kind} is sound" if report.passed else f"the {kind} is not sound"
    return f"{report.path}: {verdict}\n\n{table(rows)}"
