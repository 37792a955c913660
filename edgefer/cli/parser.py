"""The parser of the command line. A verb's own arguments are added when that verb is used, not before."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from edgefer.cli.verbs import VERBS, Verb
from edgefer.errors import UsageError
from edgefer.version import __version__

EXIT_CODES = """\
exit codes:
  0    done
  1    failed
  2    the command line or the specification is wrong
  3    something is missing on this machine: a package, a driver, a GPU
  4    the accuracy budget is exceeded (with --strict: or the verdict is undecided)
  130  interrupted (143: terminated)"""


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `UsageError` where argparse would end the process."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        # An abbreviated flag would change its meaning when a later version adds a flag.
        kwargs["allow_abbrev"] = False
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message[:1].upper()}{message[1:]}.", hint=f"{self.prog} --help")


class VerbParser(Parser):
    """The parser of one verb; it imports the verb's module when it first has something to parse."""

    verb: Verb | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self.populate()
        return super().parse_known_args(args, namespace)

    def populate(self) -> None:
        """Add the arguments of the verb, once."""
        if self.verb is None:
            return
        verb, self.verb = self.verb, None
        module = verb.load()
        self.description = module.DESCRIPTION
        self.epilog = f"example:\n  {module.EXAMPLE.strip()}"
        module.add_arguments(self)
        _add_common(self)
        self.set_defaults(run=module.run)


def build_parser(populate: bool = False) -> Parser:
    """The parser of `edgefer`.

    Args:
        populate: add the arguments of all verbs now, for documentation.
    """
    parser = Parser(
        prog="edgefer",
        description="From a visible+infrared expression network to a verified engine, and from images to an answer.",
        epilog=f"edgefer VERB --help says more, with an example.\n\n{EXIT_CODES}",
    )
    parser.add_argument("--version", action="version", version=f"edgefer {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", dest="verb", required=True, parser_class=VerbParser)
    for verb in VERBS:
        sub = verbs.add_parser(verb.name, help=verb.summary)
        sub.verb = verb
        if populate:
            sub.populate()
    return parser


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The arguments of a command line.

    Raises:
        UsageError: a verb, a flag or a value is missing or wrong.
        SystemExit: `--help` or `--version` was asked for and has been printed.
    """
    arguments = build_parser().parse_args(_joined(words))
    arguments.command = ("edgefer", *words)
    return arguments


def _joined(words: Sequence[str]) -> list[str]:
    """The words with the two of a verb such as `benchmark compare` as one, which is how argparse can look it up."""
    first = next((index for index, word in enumerate(words) if not word.startswith("-")), len(words))
    pair = " ".join(words[first : first + 2])
    if any(verb.name == pair for verb in VERBS):
        return [*words[:first], pair, *words[first + 2 :]]
    return list(words)


def _add_common(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    for flag, meaning in (
        ("--json", "print one JSON object and nothing else on standard output"),
        ("--quiet", "no progress and no notes on standard error"),
        ("--debug", "show the traceback of an error"),
    ):
        group.add_argument(flag, action="store_true", default=False, help=meaning)
