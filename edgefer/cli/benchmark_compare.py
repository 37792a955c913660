"""`edgefer benchmark compare`: results side by side, with a verdict where they can be compared."""

from __future__ import annotations

import argparse

from edgefer.cli.output import Outcome
from edgefer.outputs import check_output

DESCRIPTION = """\
Compare results of `edgefer benchmark -o`: the ratio of medians to the first with its interval, and whether each is
faster, slower or within noise. What differs in the conditions is said, and what makes a comparison unfair."""
EXAMPLE = "edgefer benchmark compare last-month.json today.json --html comparison.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", metavar="FILE.json", nargs="+", help="results; the first is what others are held to")
    parser.add_argument("--html", metavar="FILE.html", help="write a page with pictures of the comparison")
    parser.add_argument(
        "--smallest",
        metavar="PERCENT",
        type=float,
        default=3.0,
        help="the smallest difference between two runs that a verdict is given for (3)",
    )
    parser.add_argument("--fail-if-slower", action="store_true", help="end with 1 when a comparable figure is slower")


def run(arguments: argparse.Namespace) -> Outcome:
    from edgefer import atomic
    from edgefer.benchmark.compare import compare
    from edgefer.benchmark.show.terminal import comparison_text
    from edgefer.benchmark.store import load

    if arguments.html is not None:
        check_output("--html", arguments.html)
    results = [load(path) for path in arguments.results]
    comparison = compare(results, smallest=arguments.smallest / 100)
    text = comparison_text(comparison)
    if arguments.html is not None:
        from edgefer.benchmark.show.html import page

        atomic.write_text(arguments.html, page(results, comparison))
        text += f"\n\nwritten to {arguments.html}"
    slower = arguments.fail_if_slower and comparison.slower
    return Outcome(payload=comparison, text=text, exit_code=1 if slower else 0)
