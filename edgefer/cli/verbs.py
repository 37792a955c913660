"""The verbs of the command line: their names, what each does in a line, and the module that does it."""

from __future__ import annotations

import argparse
import importlib
from dataclasses import dataclass
from typing import Protocol, cast

from edgefer.cli.output import Outcome


class VerbModule(Protocol):
    """What the module of a verb holds. `EXAMPLE` is shown below its help, as one would type it."""

    DESCRIPTION: str
    EXAMPLE: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, arguments: argparse.Namespace) -> Outcome: ...


@dataclass(frozen=True)
class Verb:
    """One verb. `package` names the module below `edgefer.cli`, which is imported when the verb is used."""

    name: str
    package: str
    summary: str

    def load(self) -> VerbModule:
        return cast(VerbModule, importlib.import_module(f"edgefer.cli.{self.package}"))


VERBS = (
    Verb("build-engine", "build_engine", "turn a network into a verified bundle and an engine"),
    Verb("infer", "infer", "read the expression from one pair of images"),
    Verb("evaluate", "evaluate", "count how often a bundle is right on labelled data"),
    Verb("inspect", "inspect", "say what is in a bundle"),
    Verb("check", "check", "say which TensorRT releases take a graph"),
    Verb("verify", "verify", "check a bundle and its answers on this machine"),
    Verb("sign", "sign", "sign a bundle or an archive of engines"),
    Verb("cache list", "cache_list", "list the compiled engines that this machine keeps"),
    Verb("cache export", "cache_export", "write the engines of a bundle into one file"),
    Verb("cache import", "cache_import", "take the engines of another machine of this kind"),
    Verb("cache prune", "cache_prune", "remove damaged and old engines"),
    Verb("benchmark", "benchmark", "measure what a bundle costs on this machine"),
    Verb("benchmark compare", "benchmark_compare", "hold results against each other"),
    Verb("triton", "triton", "write a model repository for Triton Inference Server"),
    Verb("deepstream", "deepstream", "write a configuration for DeepStream's nvinfer"),
    Verb("doctor", "doctor", "say what this machine can do and what it lacks"),
    Verb("networks", "networks", "list the registered networks and their options"),
    Verb("train", "train", "train a registered network on labelled data"),
)
