"""What the verbs that open a session share: on which device, and what it may take of a GPU."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, get_args

from edgefer.bundle.manifest import PluginPolicy
from edgefer.cli.cache_options import check_cache
from edgefer.errors import EdgeferWarning
from edgefer.size import memory

if TYPE_CHECKING:
    from edgefer.progress import Reporter
    from edgefer.runtime.gpu_settings import GpuSettings

_FIELDS = {
    "cache": "cache",
    "require_cached": "require_cached",
    "plugins": "plugins",
    "priority": "priority",
    "memory_limit": "memory_limit",
    "workspace": "workspace_bytes",
    "graphs": "graphs",
}
"""Names in the namespace, and those in GpuSettings."""

_SIZES = ("memory_limit", "workspace")


def add_device(parser: argparse._ActionsContainer) -> None:
    """`--device`."""
    parser.add_argument(
        "--device",
        metavar="NAME",
        default=argparse.SUPPRESS,
        help="auto (TensorRT on a GPU where that works, the CPU otherwise), tensorrt, cpu, onnxruntime or openvino",
    )


def add_gpu(parser: argparse.ArgumentParser) -> None:
    """The options of a GPU, in a group of their own; left out of the namespace when they are not given."""
    from edgefer.runtime.gpu_settings import PRIORITIES

    group = parser.add_argument_group("on a GPU")

    def add(flag: str, **options: Any) -> None:
        group.add_argument(flag, default=argparse.SUPPRESS, **options)

    add("--cache", metavar="FOLDER", help="folder of compiled plans (in the user's cache)")
    add("--require-cached", action="store_true", help="take the engine from the cache, and build none")
    add("--plugins", choices=get_args(PluginPolicy), help="who computes attention (as the bundle says)")
    add("--priority", choices=PRIORITIES, help="whose kernels go first beside other streams of this process (normal)")
    add("--memory-limit", metavar="SIZE", help="what buffers and activations may take of its memory, such as 500M")
    add("--workspace", metavar="SIZE", help="limit of the builder's scratch memory; another is another engine (1 GiB)")
    add("--no-graphs", action="store_false", dest="graphs", help="enqueue each inference instead of a CUDA graph")


def device(arguments: argparse.Namespace) -> str:
    """What `--device` names."""
    return str(getattr(arguments, "device", "auto"))


def gpu_settings(arguments: argparse.Namespace) -> GpuSettings:
    """What the options of `add_gpu` say.

    Raises:
        UsageError: one of them cannot be what it is.
    """
    from edgefer.runtime.gpu_settings import GpuSettings

    given = {name: getattr(arguments, name) for name in _FIELDS if hasattr(arguments, name)}
    check_cache(given.get("cache"))
    for name in _SIZES:
        if name in given:
            given[name] = memory(given[name], f"--{name.replace('_', '-')}")
    return GpuSettings(**{_FIELDS[name]: value for name, value in given.items()})


def session_options(arguments: argparse.Namespace, told: Reporter) -> dict[str, Any]:
    """The arguments of a `Session` that a command line has: device, threads, gpu and reporter."""
    return {
        "device": device(arguments),
        "threads": arguments.threads,
        "gpu": gpu_settings(arguments),
        "reporter": told,
    }


@contextmanager
def warnings_as_notes(told: Reporter) -> Iterator[None]:
    """What edgefer warns of is a note of the command line's, each said once."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", EdgeferWarning)
        shown, said = warnings.showwarning, set[str]()

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if not issubclass(category, EdgeferWarning):
                shown(message, category, *where, **more)
            elif str(message) not in said:
                said.add(str(message))
                told.note(f"warning: {message}")

        warnings.showwarning = show
        yield


def tell(told: Reporter, info: Mapping[str, object]) -> None:
    """Say what answers, and why that."""
    loading = f", its engine loaded {info['loading']}" if info["loading"] else ""
    told.note(f"runs on {info['runner']}{loading}: {info['why']}")
