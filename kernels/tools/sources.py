"""The translation unit of a set of entries: one `extern "C"` function each, for CUDA's compilers or for the host."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgefer.kernels.plan import Entry

THREADS_AT_ONCE = 1024


def include_path(header: str) -> str:
    """How a header is included: those of edgefer lie in the folder of that name under kernels/include."""
    return header if "/" in header else f"edgefer/{header}"


def by_header(entries: Iterable[Entry]) -> dict[str, tuple[Entry, ...]]:
    """The entries of each header, in the order given: what is compiled together."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.header, []).append(entry)
    return {header: tuple(group) for header, group in groups.items()}


def translation_unit(entries: Sequence[Entry], *, host: bool) -> str:
    """C++ that defines `entries`.

    For a GPU each is a kernel that takes its parameters by value. For the host it is a function of the address of the
    parameters, and `edgefer_host_entries` is a table of name, function and size of the parameters; see
    kernels/host/launch.hpp.
    """
    lines = [f'#include "{include_path(header)}"' for header in by_header(entries)]
    if host:
        lines.append('#include "launch.hpp"')
    # Bodies and parameters may be spelt with or without the namespace.
    lines += ["", "using namespace edgefer;", ""]
    lines += [_host(entry) if host else _device(entry) for entry in entries]
    if host:
        lines += ["", "const edgefer_host_entry edgefer_host_entries[] = {"]
        lines += [f'    {{"{entry.name}", &{entry.name}, sizeof({entry.parameters})}},' for entry in entries]
        lines += ["    {nullptr, nullptr, 0},", "};"]
    return "\n".join(lines) + "\n"


def _device(entry: Entry) -> str:
    # So many blocks at the same time leave a thread 64 of a multiprocessor's 65,536 registers; left to itself the
    # assembler takes more for some entries, and for others spills a few to get by with 40.
    bounds = f"{entry.threads}, {max(1, THREADS_AT_ONCE // entry.threads)}"
    return (
        f'extern "C" __global__ void __launch_bounds__({bounds}) '
        f"{entry.name}(EDGEFER_PARAMETERS {entry.parameters} p) {{ {entry.body}(p); }}"
    )


def _host(entry: Entry) -> str:
    return (
        f'extern "C" void {entry.name}(const void* p) {{ {entry.body}(*static_cast<const {entry.parameters}*>(p)); }}'
    )
