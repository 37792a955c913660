"""What checking a graph against a target gave, as a typed record."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgefer.engine.support.schema import Severity

SupportVerdict = Literal["accepted", "refused", "unknown"]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that stands between a graph and a target, or that its user should know.

    `node` and `operator` are empty where it is about the graph; a node of a nested graph is named with the nodes around
    it, as `loop/add`. `source` is the document that says so, `remedy` what can be done.
    """

    severity: Severity
    reason: str
    source: str
    remedy: str = ""
    node: str = ""
    operator: str = ""
    tensor: str = ""


class ParserAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a TensorRT parser on this machine said of the graph. Its source is the parser itself."""

    flavour: str
    version: str
    accepted: bool
    problems: tuple[Problem, ...] = ()


class SupportReport(msgspec.Struct, frozen=True, kw_only=True):
    """A graph held against one target.

    `table` is what the facts say, `verdict` that together with the parser's own answer where one was asked: a refusal
    of either counts, and a parser that takes the graph settles what the facts leave open. `inlined` names the
    functions that were inlined first, as they are before compiling. `dynamic` names inputs with dynamic sizes.
    """

    target: str
    title: str
    verdict: SupportVerdict
    table: SupportVerdict
    opset: int
    ir_version: int
    nodes: int
    operators: dict[str, int]
    dynamic: dict[str, tuple[int | str | None, ...]] = {}
    inlined: tuple[str, ...] = ()
    external: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    parser: ParserAnswer | None = None
    parser_note: str = ""
    notes: tuple[str, ...] = ()


def verdict_of(problems: tuple[Problem, ...]) -> SupportVerdict:
    """The worst of what was found."""
    severities = {problem.severity for problem in problems}
    if "refused" in severities:
        return "refused"
    return "unknown" if "unknown" in severities else "accepted"


def combined(facts: SupportVerdict, parser: ParserAnswer | None) -> SupportVerdict:
    """The verdict of the facts and of a parser together."""
    if parser is None:
        return facts
    if facts == "refused" or not parser.accepted:
        return "refused"
    return "accepted"
