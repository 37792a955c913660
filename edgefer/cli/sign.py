"""`edgefer sign`: the signature of a bundle or an archive of engines."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgefer.cli.output import Outcome

DESCRIPTION = """\
Sign a bundle or an archive of engines with a private Ed25519 key. The signature goes into FILE.sig; the file stays as
it is. What is not sound is not signed. EDGEFER_KEY_PASSPHRASE holds the passphrase of an encrypted key."""
EXAMPLE = "edgefer sign fusion.edgefer --key fleet.pem"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a bundle, or an archive of `edgefer cache export`")
    parser.add_argument("--key", metavar="KEY.pem", required=True, help="the private key that signs")
    parser.add_argument("-o", "--output", metavar="FILE.sig", help="where the signature goes (FILE.sig)")


def run(arguments: argparse.Namespace) -> Outcome:
    from edgefer.bundle.container import Bundle
    from edgefer.bundle.reading import read_file
    from edgefer.engine.archive import EngineArchive, is_archive
    from edgefer.errors import BundleError
    from edgefer.outputs import check_output
    from edgefer.signing import sign, signature_path, write_signature

    target = arguments.output or signature_path(arguments.file)
    check_output("--output", target)
    try:
        data = read_file(Path(arguments.file))
        archive = is_archive(data)
        if not archive:
            Bundle.from_bytes(data)
    except BundleError as error:
        raise BundleError(f"{arguments.file}: {error.message}", hint=error.hint, details=error.details) from error
    if archive:
        EngineArchive.from_bytes(data, arguments.file)
    written = write_signature(target, sign(data, arguments.key))
    payload = {"file": arguments.file, "kind": "archive" if archive else "bundle", "signature": written}
    return Outcome(payload=payload, text=f"{written}: the signature of {arguments.file}, which is sound")
