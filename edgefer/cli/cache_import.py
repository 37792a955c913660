"""`edgefer cache import`: engines that another machine of this kind has compiled."""

from __future__ import annotations

import argparse

from edgefer.cli.cache_options import add_cache, engine_cache
from edgefer.cli.options import reporter
from edgefer.cli.output import Outcome, facts

DESCRIPTION = """\
Verify an archive of `edgefer cache export` and put its engines into the cache of this machine. What was compiled for
another GPU, driver, TensorRT or edgefer is refused. An engine is code: with --key, an archive that the owner of that
key has not signed is refused before it is looked at."""
EXAMPLE = "edgefer cache import engines.edgefer-cache --key fleet-public.pem"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("archive", metavar="FILE.edgefer-cache", help="an archive of `edgefer cache export`")
    parser.add_argument("--key", metavar="PUBLIC.pem", help="the public Ed25519 key of who has to have signed it")
    parser.add_argument("--signature", metavar="FILE.sig", help="the signature, if not beside the archive")
    parser.add_argument(
        "--any", action="store_true", help="also take engines for other machines, to prepare the cache of one"
    )
    add_cache(parser)


def run(arguments: argparse.Namespace) -> Outcome:
    from edgefer.engine.archive import EngineArchive, read_archive
    from edgefer.engine.transfer import import_engines
    from edgefer.errors import UsageError
    from edgefer.signing import check_signature, signature_path

    if arguments.signature is not None and arguments.key is None:
        raise UsageError("--signature needs the key to check it with.", hint="--key PUBLIC.pem")
    told = reporter(arguments)
    data = read_archive(arguments.archive)
    if arguments.key is not None:
        check_signature(data, arguments.signature or signature_path(arguments.archive), arguments.key)
    archive = EngineArchive.from_bytes(data, arguments.archive)
    cache = engine_cache(arguments)
    done = import_engines(archive, cache, any_machine=arguments.any, reporter=told)
    payload = {
        "cache": cache.directory,
        "network": archive.manifest.network,
        "bundle": archive.manifest.bundle,
        "signed": arguments.key is not None,
        "engines": done,
    }
    pairs = [("cache", str(cache.directory)), ("network", archive.manifest.network)]
    for each in done:
        pairs.append(("engine", f"{each.role}, {each.digest[:12]}: {_WORDS[each.placed]}"))
        pairs += [("", line) for line in each.why]
    return Outcome(payload=payload, text=facts(pairs))


_WORDS = {
    "stored": "stored",
    "replaced": "stored in place of another with the same key",
    "there": "was there already",
    "skipped": "not for this machine, left out",
}
