"""`edgefer cache export`: the engines of a bundle as one file for other machines of this kind."""

from __future__ import annotations

import argparse

from edgefer.cli.cache_options import add_cache, engine_cache
from edgefer.cli.output import Outcome, facts

DESCRIPTION = """\
Write the engines of a bundle that the cache holds, with everything that they depend on, into one archive. On machines
of the same kind `edgefer cache import` takes them from there, so that none compiles and all run the same engine."""
EXAMPLE = "edgefer cache export fusion.edgefer -o engines.edgefer-cache"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="BUNDLE", help="the bundle whose engines to export")
    parser.add_argument("-o", "--output", metavar="FILE.edgefer-cache", required=True, help="the archive to write")
    parser.add_argument("--graph", metavar="ROLE", help="of the graph with this role alone, such as fused or saliency")
    parser.add_argument("--key", metavar="KEY.pem", help="also sign it: a private Ed25519 key, as for `edgefer sign`")
    add_cache(parser)


def run(arguments: argparse.Namespace) -> Outcome:
    from edgefer.bundle.container import Bundle
    from edgefer.engine.transfer import export_engines
    from edgefer.outputs import check_output
    from edgefer.signing import sign, signature_path, write_signature

    check_output("--output", arguments.output)
    archive = export_engines(Bundle.read(arguments.bundle), engine_cache(arguments), arguments.graph)
    signature = None
    if arguments.key is not None:
        # Before anything is written: a key that cannot be used leaves no archive that looks finished.
        signature = sign(archive.to_bytes(), arguments.key)
    written = archive.write(arguments.output)
    target = None if signature is None else write_signature(signature_path(arguments.output), signature)
    payload = {
        "archive": written,
        "signature": target,
        "engines": [
            {"role": entry.role, "digest": entry.key.digest(), "key": entry.key, "bytes": len(engine.plan)}
            for entry, engine in archive.engines
        ],
    }
    pairs = [("archive", str(written)), ("signature", str(target or ""))]
    for entry, engine in archive.engines:
        key = entry.key
        made = f"{key.flavour} {key.version} on {key.gpu or 'no GPU'}, {len(engine.plan) / 1e6:.2f} MB"
        pairs.append(("engine", f"{entry.role}, {made}"))
    return Outcome(payload=payload, text=facts(pairs))
