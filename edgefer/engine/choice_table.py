"""The choices between plugins and standard operators that were measured, for machines that cannot measure them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from edgefer.bundle.manifest import Precision
from edgefer.engine.decision import RaceResult, Way
from edgefer.errors import EnvironmentMismatch

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PATH = Path(__file__).with_name("plugin_choice.toml")


class Choice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was measured for one operator in one precision on GPUs of one compute capability.

    `ratio` is the time of the engine with plugins over that without, of medians measured in turn; `low` and `high` are
    its interval at `confidence`. `network` is what the operator was part of, `source` the file with the measurement.
    """

    compute_capability: str
    operator: str
    precision: Precision
    ratio: float
    low: float
    high: float
    confidence: float
    network: str
    source: str

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.ratio <= self.high:
            raise ValueError(f"expected 0 < low <= ratio <= high, found {self.low}, {self.ratio}, {self.high}")


class ChoiceTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All choices. `empty` says why there is none for a GPU that is not in the table."""

    schema: Literal[1]
    empty: str
    choice: tuple[Choice, ...] = ()

    def way(self, targets: Sequence[str], operators: Iterable[str], precision: Precision) -> tuple[Way | None, str]:
        """How a graph with these operators is compiled for GPUs of the compute capabilities `targets`, and why; None
        where that was not measured.

        Plugins are chosen where each operator was faster with them on each of the GPUs, the whole interval below 1:
        they come into an engine together.
        """
        rows = {(row.compute_capability, row.operator): row for row in self.choice if row.precision == precision}
        wanted = [(target, operator) for target in targets for operator in operators]
        missing = next((pair for pair in wanted if pair not in rows), None)
        if missing is not None:
            target, operator = missing
            where = f"{operator} in {precision} on compute capability {target}"
            return None, f"there is no measured choice for {where}: {self.empty}"
        found = [rows[pair] for pair in wanted]
        told = "; ".join(f"{row.operator} {row.ratio:.3g} ({row.low:.3g} to {row.high:.3g})" for row in found)
        faster = all(row.high < 1 for row in found)
        return ("plugin" if faster else "inline"), f"time with plugins over time without, measured before: {told}"


def choice_table(path: Path = PATH) -> ChoiceTable:
    """The table that comes with edgefer.

    Raises:
        EnvironmentMismatch: the file is missing or is none.
    """
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), type=ChoiceTable)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise EnvironmentMismatch(
            f"{path} is not a table of measured choices: {error}", hint="install edgefer again, or correct the file"
        ) from error


def choices_of(
    race: RaceResult, operators: Iterable[str], *, compute_capability: str, precision: Precision, found: tuple[str, str]
) -> tuple[Choice, ...]:
    """What a race on a GPU says for the table: the same row for each operator of the graph that was raced; none where
    an engine answered wrong or was not timed. `found` are the network and the file that holds the measurement."""
    measured = (race.ratio, race.low, race.high, race.confidence)
    if not (race.plugin.right and race.inline.right) or None in measured:
        return ()
    ratio, low, high, confidence = (float(value) for value in measured if value is not None)
    network, source = found
    return tuple(
        Choice(
            compute_capability=compute_capability,
            operator=operator,
            precision=precision,
            ratio=ratio,
            low=low,
            high=high,
            confidence=confidence,
            network=network,
            source=source,
        )
        for operator in operators
    )


def as_toml(choices: Iterable[Choice]) -> str:
    """Rows for the table's file, from measurements."""
    return "\n".join(_row(each) for each in choices)


def _row(choice: Choice) -> str:
    fields = msgspec.structs.asdict(choice)
    # JSON's strings and numbers are TOML's.
    lines = [f"{name} = {msgspec.json.encode(value).decode()}" for name, value in fields.items()]
    return "\n".join(["[[choice]]", *lines, ""])
