"""Options of a network: text in, checked values out, so that the command line, TOML and Python share one reading."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from edgefer.errors import UsageError

Value = str | int | float | bool
_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")


@dataclass(frozen=True)
class Option:
    """One option: its default as text, what it means in one line, and which values it takes.

    `choices` holds for kind `choice`; `minimum` and `maximum` bound a number, both included.
    """

    name: str
    default: str
    meaning: str
    kind: Literal["choice", "int", "float", "flag"] = "choice"
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    def parse(self, text: str) -> Value:
        """The value that `text` stands for.

        Raises:
            UsageError: not one of the choices, not a number, or out of bounds.
        """
        if self.kind == "choice":
            return self._choice(text)
        if self.kind == "flag":
            return self._flag(text)
        return self._number(text)

    def _choice(self, text: str) -> str:
        if text not in self.choices:
            raise UsageError(
                f"option {self.name}={text!r} is not one of {', '.join(self.choices)}",
                hint=did_you_mean(text, self.choices) or f"{self.name}: {self.meaning}",
            )
        return text

    def _flag(self, text: str) -> bool:
        lowered = text.lower()
        if lowered in _TRUE:
            return True
        if lowered in _FALSE:
            return False
        raise UsageError(f"option {self.name}={text!r} is neither true nor false", hint=f"{self.name}: {self.meaning}")

    def _number(self, text: str) -> int | float:
        kind = int if self.kind == "int" else float
        try:
            value = kind(text)
        except ValueError:
            expected = "a whole number" if kind is int else "a number"
            raise UsageError(
                f"option {self.name}={text!r} is not {expected}", hint=f"{self.name}: {self.meaning}"
            ) from None
        low, high = self.minimum, self.maximum
        # Written so that NaN fails too.
        if not ((low is None or value >= low) and (high is None or value <= high)):
            bounds = " and ".join(
                word
                for word in (f"at least {low:g}" if low is not None else "", f"at most {high:g}" if high else "")
                if word
            )
            raise UsageError(f"option {self.name}={text} is out of bounds", hint=f"{self.name} must be {bounds}")
        return value


class Settings:
    """The values of all options of one network, defaults included; `given` are those that the caller stated."""

    def __init__(self, values: Mapping[str, Value], given: Iterable[str]) -> None:
        self._values = dict(values)
        self.given = frozenset(given)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str) -> str:
        return str(self._values[name])

    def integer(self, name: str) -> int:
        return int(self._values[name])

    def number(self, name: str) -> float:
        return float(self._values[name])

    def flag(self, name: str) -> bool:
        return bool(self._values[name])

    def replace(self, name: str, value: Value) -> Settings:
        return Settings({**self._values, name: value}, self.given)

    def as_text(self) -> dict[str, str]:
        """Every option as text that `read` takes back to the same value."""
        return {name: _as_text(value) for name, value in self._values.items()}


def read(options: tuple[Option, ...], given: Mapping[str, str], owner: str) -> Settings:
    """The settings of network `owner` from what was given and the defaults.

    Raises:
        UsageError: an option that the network does not have (those it has are listed), or a value it does not take.
    """
    known = {option.name: option for option in options}
    for name in given:
        if name not in known:
            raise UsageError(
                f"{owner} has no option {name!r}; it has {', '.join(known)}",
                hint=did_you_mean(name, known) or f"`edgefer networks` says what the options of {owner} mean",
            )
    values = {name: option.parse(str(given.get(name, option.default))) for name, option in known.items()}
    return Settings(values, given)


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """A question naming the nearest of `words`, or nothing where none is near."""
    near = difflib.get_close_matches(word, list(words), n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def _as_text(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)
