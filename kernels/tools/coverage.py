"""Which lines of device code the base cases run, counted by gcov.

    python -m kernels.tools.coverage

prints the share of each header under kernels/include and the lines that no case runs, and ends with 1 below the limit.
A template that no entry uses has no lines here.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgefer.errors import CompileError, EnvironmentMismatch
from kernels.tools.emulator import Emulator
from kernels.tools.host_build import Variant, build_library
from kernels.tools.judge import failures
from kernels.tools.operations import OPERATIONS, base_cases_of, entries_of, named
from kernels.tools.sources import by_header
from kernels.tools.toolchain import INCLUDE, ROOT, toolchain

LIMIT = 0.95
_ONE = "--one"


@dataclass(frozen=True)
class Lines:
    """The lines of a file that have code, and those of them that ran."""

    code: frozenset[int]
    run: frozenset[int]

    @property
    def share(self) -> float:
        return len(self.run) / len(self.code) if self.code else 1.0


def measure(operations: Sequence[str]) -> dict[str, Lines]:
    """Lines by file, its path within kernels/include, over the base cases of `operations`.

    Raises:
        EnvironmentMismatch: no g++, no CUDA headers or no gcov.
        CompileError: a run failed; the details say how.
    """
    folders = _folders(operations)
    for folder in folders:
        for counters in folder.glob("*.gcda"):
            counters.unlink()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(_run, operations))
    return lines_of(folders, INCLUDE)


def lines_of(folders: Sequence[Path], include: Path) -> dict[str, Lines]:
    """What the counters of libraries in `folders` say of the files under `include`.

    Raises:
        EnvironmentMismatch: no gcov.
        CompileError: gcov cannot read them.
    """
    code: dict[str, set[int]] = {}
    run: dict[str, set[int]] = {}
    for folder in folders:
        for file in _gcov(folder)["files"]:
            path = Path(file["file"])
            if not path.is_relative_to(include):
                continue
            name = path.relative_to(include).as_posix()
            for line in file["lines"]:  # once for each instance of a template
                code.setdefault(name, set()).add(line["line_number"])
                if line["count"] > 0:
                    run.setdefault(name, set()).add(line["line_number"])
    return {name: Lines(frozenset(code[name]), frozenset(run.get(name, ()))) for name in sorted(code)}


def total(files: dict[str, Lines]) -> float:
    """The share of all lines that ran."""
    code = sum(len(each.code) for each in files.values())
    return sum(len(each.run) for each in files.values()) / code if code else 0.0


def table(files: dict[str, Lines]) -> str:
    """One line for each file, with the lines that did not run."""
    lines = [
        f"{each.share:7.1%} of {len(each.code):4} {name}"
        + (f", not: {', '.join(str(line) for line in sorted(each.code - each.run))}" if each.run != each.code else "")
        for name, each in files.items()
    ]
    return "\n".join([*lines, f"{total(files):7.1%} of all"])


def _folders(operations: Sequence[str]) -> list[Path]:
    """Where the objects and counters of each library are."""
    groups = [group for operation in operations for group in by_header(entries_of(operation)).values()]
    variant = Variant(coverage=True)
    with ThreadPoolExecutor(2) as pool:
        return [path.parent for path in pool.map(lambda group: build_library(group, variant), groups)]


def _run(operation: str) -> None:
    # In a process of its own: the counters are written when it ends.
    command = [sys.executable, "-m", "kernels.tools.coverage", _ONE, operation]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if ended.returncode != 0:
        raise CompileError(f"the base cases of {operation} failed", details=(ended.stdout + ended.stderr)[-4000:])


def _gcov(folder: Path) -> dict[str, Any]:
    compiler = Path(toolchain().compiler)
    gcov = shutil.which(str(compiler.with_name(compiler.name.replace("g++", "gcov")))) or shutil.which("gcov")
    if gcov is None:
        raise EnvironmentMismatch("no gcov was found", hint="it comes with g++")
    command = [gcov, "--json-format", "--stdout", "--object-directory", str(folder), str(folder / "device.gcno")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise CompileError("gcov cannot read the counters", details=ended.stderr[-4000:])
    answer: dict[str, Any] = json.loads(ended.stdout)
    return answer


def main(arguments: Sequence[str]) -> int:
    if arguments[:1] == [_ONE]:
        emulator = Emulator.build(entries_of(arguments[1]), coverage=True)
        wrong = failures(emulator, base_cases_of(arguments[1]), ("forward",))
        print("\n".join(wrong))
        return 1 if wrong else 0
    parser = argparse.ArgumentParser(prog="python -m kernels.tools.coverage")
    parser.add_argument("operations", type=named, nargs="*", default=OPERATIONS, help="by default all")
    files = measure(parser.parse_args(arguments).operations)
    print(table(files))
    return 0 if total(files) >= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
