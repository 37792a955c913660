"""The child that runs onnxsim: `python -m edgefer_export.simplify_worker IN.onnx OUT.onnx`.

onnxsim is C++ that can abort or run for very long; here it takes nothing with it.
"""

from __future__ import annotations

import inspect
import os
import sys
from pathlib import Path
from typing import Any


def main(arguments: list[str]) -> int:
    """Simplify one file into another; returns the exit status."""
    source, target = map(Path, arguments)
    # What onnxsim prints is a log, whatever stream it thinks of.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # onnxsim 0.8 imports torch where it is installed and uses none of it here: seconds, and a gigabyte of memory.
    sys.modules.setdefault("torch", None)  # type: ignore[arg-type]
    import onnx
    import onnxsim

    model, checked = onnxsim.simplify(onnx.load(source), **_options(onnxsim.simplify))
    if not checked:
        print("onnxsim's own check failed", file=sys.stderr)
        return 1
    target.write_bytes(model.SerializeToString())
    return 0


def _options(simplify: Any) -> dict[str, Any]:
    """What we want of those options that the installed version has: 0.7 knows fewer than 0.8."""
    wanted = {
        "check_n": 0,  # the parent checks, with its own inputs
        "inline_functions": False,  # our operators stay nodes
        "certify": False,  # a proof by a solver, minutes long
        "mutable_initializer": False,
    }
    known = inspect.signature(simplify).parameters
    return {name: value for name, value in wanted.items() if name in known}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
