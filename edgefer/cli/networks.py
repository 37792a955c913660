"""`edgefer networks`: the registered networks, where they come from and what can be set."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from edgefer.cli.options import reporter
from edgefer.cli.output import Outcome, table

if TYPE_CHECKING:
    from edgefer_export.networks.registry import NetworkDescription

DESCRIPTION = "List the registered networks with parameters, paper and options; with a NAME, that one alone."
EXAMPLE = "edgefer networks viri-fusion"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="one network; by default, all")


def run(arguments: argparse.Namespace) -> Outcome:
    with reporter(arguments).task("making the networks"):
        described = _described(arguments.name)
    return Outcome(
        payload={"networks": [_payload(description, parameters) for description, parameters in described]},
        text="\n\n".join(_text(description, parameters) for description, parameters in described),
    )


def _described(name: str | None) -> list[tuple[NetworkDescription, int]]:
    from edgefer_export.networks import registry

    chosen = registry.names() if name is None else (name,)
    return [(registry.describe(each), registry.create(each, {}).parameters) for each in chosen]


def _payload(description: NetworkDescription, parameters: int) -> dict[str, Any]:
    return {
        "name": description.name,
        "summary": description.summary,
        "paper": description.paper,
        "graph_role": description.graph_role,
        "parameters": parameters,
        "options": [
            {"name": each.name, "default": each.default, "meaning": each.meaning, "choices": list(each.choices)}
            for each in description.options
        ],
    }


def _text(description: NetworkDescription, parameters: int) -> str:
    rows = [["option", "default", "meaning"]]
    rows += [[each.name, each.default, _meaning(each.meaning, each.choices)] for each in description.options]
    options = "\n".join(f"  {line}" for line in table(rows).splitlines())
    return (
        f"{description.name}  {parameters:,} parameters with the options below\n"
        f"  {description.summary}\n  {description.paper}\n\n{options}"
    )


def _meaning(meaning: str, choices: tuple[str, ...]) -> str:
    return f"{meaning} ({', '.join(choices)})" if choices else meaning
