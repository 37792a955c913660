"""`python -m edgefer_export.demo`: from nothing to a verified INT8 bundle and an answer, by edgefer's own commands."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from pathlib import Path
from typing import Any

import cv2

from edgefer.errors import EdgeferError, InputError
from edgefer_export.data import open_dataset
from edgefer_export.demo.recipe import CALIBRATION, EVALUATION, EXCLUDE, PAIR, TRAINING
from edgefer_export.demo.stages import Demonstration, Outcome, Stage


def main(argv: list[str] | None = None) -> int:
    """Run the demonstration in a folder; a second run reuses what stands. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m edgefer_export.demo", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="folder for everything that is made")
    arguments = parser.parse_args(argv)
    try:
        _demonstrate(arguments.output)
    except EdgeferError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; what was finished is reused next time", file=sys.stderr)
        return 130
    return 0


def _demonstrate(folder: Path) -> None:
    started = time.monotonic()
    demonstration = Demonstration(folder)
    checkpoint, bundle = folder / "viri-fusion.pt", folder / "viri-fusion.edgefer"
    visible, infrared = folder / "visible.png", folder / "infrared.png"
    report = folder / "viri-fusion-report"

    train = demonstration.run(
        Stage(name="train", arguments=("train", *TRAINING, "-o", str(checkpoint)), writes=(checkpoint,))
    )
    build = demonstration.run(
        Stage(
            name="build",
            arguments=(
                *("build-engine", "viri-fusion", "--weights", str(checkpoint), "--precision", "int8"),
                *("--calibration", CALIBRATION, "--evaluation", EVALUATION, "--exclude", EXCLUDE),
                *("--flavour", _flavour()),
                *("-o", str(bundle)),
            ),
            reads=(checkpoint,),
            writes=(bundle, report / "report.html", report / "report.json"),
        )
    )
    truth = _write_pair(visible, infrared)
    infer = demonstration.run(
        Stage(
            name="infer",
            arguments=("infer", str(bundle), "--visible", str(visible), "--infrared", str(infrared)),
            reads=(bundle, visible, infrared),
        )
    )
    _print_summary({"train": train, "build": build, "infer": infer}, truth)
    print(f"\n{time.monotonic() - started:.0f} s in all. Report: {Path(build.answer['report_html']).resolve()}")


def _flavour() -> str:
    return "tensorrt_rtx" if importlib.util.find_spec("tensorrt_rtx") is not None else "none"


def _write_pair(visible: Path, infrared: Path) -> str:
    dataset = open_dataset(PAIR)
    sample = dataset[0]
    for path, role in ((visible, "visible"), (infrared, "infrared")):
        if not cv2.imwrite(str(path), sample.images[role]):
            raise InputError(f"{path} could not be written.", hint="Check that the disk has room.")
    return dataset.labels[sample.label]


def _print_summary(outcomes: dict[str, Outcome], truth: str) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    build: dict[str, Any] = outcomes["build"].answer
    report = build["report"]
    steps = Table(
        title=f"viri-fusion at reduced width and size, judged on {report['evaluation']['count']} unseen pairs"
    )
    for column in ("step", "correct", "accuracy", "agreement", "size"):
        steps.add_column(column, justify="left" if column == "step" else "right")
    for step in report["steps"]:
        figure = step["figure"]
        size = step.get("bytes")
        steps.add_row(
            figure["step"],
            f"{figure['correct']}/{figure['count']}",
            f"{100 * figure['correct'] / figure['count']:.2f} %",
            f"{100 * figure['agreement']:.2f} %",
            f"{size / 1e6:.2f} MB" if size else "",
        )
    console.print(steps)
    console.print(f"verdict: {report['verdict']}: {report['reason']}", markup=False)
    engine = report.get("engine")
    if engine:
        console.print(
            f"engine: {engine['flavour']} {engine['version']}, {engine['layer_count']} layers, "
            f"{engine['bytes'] / 1e6:.2f} MB; built, not run here, and not for a Jetson",
            markup=False,
        )
    else:
        console.print("engine: none, since TensorRT-RTX is not installed")
    answer = outcomes["infer"].answer
    console.print(f"answer: {answer['label']} ({100 * answer['confidence']:.0f} %); the pair shows: {truth}")
    times = ", ".join(
        f"{name} {outcome.seconds:.0f} s{' (reused)' if outcome.reused else ''}" for name, outcome in outcomes.items()
    )
    console.print(f"times: {times}")


if __name__ == "__main__":
    raise SystemExit(main())
