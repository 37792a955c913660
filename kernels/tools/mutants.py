"""Defects planted into device code: where they can be, and a copy of the code that has all of them, each switched off.

A copy with every defect behind a switch is compiled once, and then each is tried by its number: mutant schemata (Untch,
Offutt, Harrold, "Mutation analysis using mutant schemata", 1993). `mutant(n)` of kernels/host/block.hpp is the switch.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kernels.tools.library import MUTANTS

Kind = Literal["barrier", "wait", "halo", "bound", "zero"]

_STATEMENTS: dict[str, Kind] = {
    "__syncthreads();": "barrier",
    "__syncwarp();": "barrier",
    "copy_async_wait();": "wait",
}
_HALO = re.compile(r"\bhalo_(?:first|end)\(")
_BOUND = re.compile(r" (<|<=) (?!<)")
_ZERO = re.compile(r"\b0\.0f\b")
# What CUDA provides, and the functions whose arguments are changed instead.
_UNTOUCHED = ("platform.cuh", "halo.cuh")
# Where a defect would not compile, or would be one of the compiler's arithmetic and not of the kernel's.
# The smaller of two numbers is the same whichever is taken when they are equal.
_SMALLER = re.compile(r"(?:= |return |\()([^=?;]+?) <=? ([^?;]+?) \? (?:\1 : \2|\2 : \1)(?:;|\))")
_NO_BOUND = re.compile(r"^\s*(?:#|//|static_assert|template|constexpr|static constexpr)|if constexpr|__int128")


_FUNCTION = re.compile(r"EDGEFER_DEVICE\b[^;=]*?\b(\w+)\(")


@dataclass(frozen=True)
class Mutant:
    """A defect at `line` of `file`, a path in the include folder; `text` is the line as it was.

    `key` is what the allow-list names it by, and holds no line number, which any edit above would change: the file, the
    function, the kind, and which of that kind in the function it is.
    """

    number: int
    kind: Kind
    file: str
    line: int
    text: str
    key: str


class _Planter:
    """Walks through a file, and knows the function it is in."""

    def __init__(self, file: str, kinds: frozenset[Kind], mutants: list[Mutant]) -> None:
        self._file = file
        self._kinds = kinds
        self._mutants = mutants
        self._function = ""
        self._counts: Counter[tuple[str, Kind]] = Counter()

    def line(self, line: str, number: int) -> str:
        """The line with its defects planted."""
        text = line.strip()
        if text.startswith(("//", "#")):
            return line
        begun = _FUNCTION.search(line)
        if begun is not None:
            self._function = begun.group(1)

        def switch(kind: Kind) -> str:
            self._counts[self._function, kind] += 1
            key = f"{Path(self._file).name} {self._function} {kind} {self._counts[self._function, kind]}"
            self._mutants.append(Mutant(len(self._mutants) + 1, kind, self._file, number, text, key))
            return f"::edgefer::host::mutant({len(self._mutants)})"

        kind = _STATEMENTS.get(text)
        if kind is not None:
            planted = f"if ({switch(kind)} == 0) {{ {text} }}" if kind in self._kinds else text
            return line.replace(text, planted)
        code, comment = _split_comment(line)
        if "halo" in self._kinds:
            # From the last to the first, so that earlier places keep theirs.
            for place in reversed([found.end() for found in _HALO.finditer(code)]):
                end = _end_of_argument(code, _end_of_argument(code, place) + 1)
                code = f"{code[:end]} - {switch('halo')}{code[end:]}"
        if _NO_BOUND.search(code):
            return code + comment
        if "bound" in self._kinds and not _SMALLER.search(code):
            for found in reversed(list(_BOUND.finditer(code))):
                code = f"{code[: found.end()]}{switch('bound')} + {code[found.end() :]}"
        if "zero" in self._kinds:
            for found in reversed(list(_ZERO.finditer(code))):
                code = f"{code[: found.start()]}({switch('zero')} != 0 ? 1.0f : 0.0f){code[found.end() :]}"
        return code + comment


def plant(include: Path, target: Path, kinds: frozenset[Kind]) -> list[Mutant]:
    """Copy the folder `include` to `target`, with a switched defect at every place of `kinds`; return all of them.

    barrier, wait: the statement is left out. halo: the radius is one less. bound: one more passes a `<` or `<=`.
    zero: a 0.0f is a 1.0f.
    """
    shutil.copytree(include, target)
    mutants: list[Mutant] = []
    for path in sorted(target.rglob("*.cuh")):
        file = path.relative_to(target).as_posix()
        if path.name in _UNTOUCHED:
            continue
        planter = _Planter(file, kinds, mutants)
        lines = [planter.line(line, index + 1) for index, line in enumerate(path.read_text().splitlines())]
        path.write_text("\n".join(lines) + "\n")
    if len(mutants) >= MUTANTS:
        raise ValueError(f"{len(mutants)} places for defects, and a library tells {MUTANTS} apart")
    return mutants


def _split_comment(line: str) -> tuple[str, str]:
    at = line.find("//")
    return (line, "") if at < 0 else (line[:at], line[at:])


def _end_of_argument(code: str, begin: int) -> int:
    """Where the argument that begins at `begin` ends: at a comma or parenthesis that is not within another's."""
    depth = 0
    for index in range(begin, len(code)):
        if code[index] in "([{":
            depth += 1
        elif code[index] in ")]}":
            if depth == 0:
                return index
            depth -= 1
        elif code[index] == "," and depth == 0:
            return index
    raise ValueError(f"a call of a halo function must be on one line: {code.strip()}")


def by_kind(mutants: list[Mutant]) -> Iterator[tuple[Kind, list[Mutant]]]:
    """The mutants of each kind that there are, in the order of `Kind`."""
    order: tuple[Kind, ...] = ("barrier", "wait", "halo", "bound", "zero")
    for kind in order:
        chosen = [mutant for mutant in mutants if mutant.kind == kind]
        if chosen:
            yield kind, chosen
