"""What torch's exporters raise, in a line that a person can use."""

from __future__ import annotations

import re

from edgefer.errors import ExportError

_OPERATORS = re.compile(r"operator '([\w:]+)'|OpOverload\(op='([\w.]+)'")
_CALL = re.compile(r'this error:\s+File "([^"]+)", line (\d+)')


def refused(exporter: str, error: Exception) -> ExportError:
    """The error of an exporter that gave up; where an operator is the reason, the message names it."""
    causes = _causes(error)
    deepest = causes[-1]
    reason = f"{type(deepest).__name__}: {_first_line(deepest)}"
    for cause in causes:
        call = _CALL.search(str(cause))
        if call is not None:
            reason += f" ({call[1]}:{call[2]})"
            break
    operators = [name for cause in causes for match in _OPERATORS.finditer(str(cause)) for name in match.groups()]
    named = next((name.replace("aten.", "aten::") for name in operators if name), None)
    lacking = f": it has no ONNX for {named}" if named else ""
    return ExportError(
        f"torch cannot export the network with its {exporter} exporter{lacking}",
        details=reason,
        hint="the network must be traceable: no Python branches on values, and operators that ONNX has",
    )


def one_line(error: ExportError) -> str:
    """The reason of an export that failed, without the advice."""
    return error.details.splitlines()[0] if error.details else error.message


def _causes(error: BaseException) -> list[BaseException]:
    chain = [error]
    while chain[-1].__cause__ is not None and chain[-1].__cause__ not in chain:
        chain.append(chain[-1].__cause__)
    return chain


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")
