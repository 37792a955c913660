"""`edgefer infer`: one answer from one image, or from one pair."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefer.cli.gpu_options import add_device, add_gpu, session_options, tell, warnings_as_notes
from edgefer.cli.options import add_bundle, add_threads, reporter
from edgefer.cli.output import Outcome, table
from edgefer.errors import DataError, InputError, UsageError

if TYPE_CHECKING:
    from edgefer.bundle.container import Bundle
    from edgefer.bundle.manifest import GateSpec
    from edgefer.progress import Reporter
    from edgefer.runtime.estimate import Estimate

DESCRIPTION = "Answer with a bundle: the expression on one face, from a visible image, an infrared one, or the pair."
EXAMPLE = "edgefer infer fusion.edgefer --visible face.png --infrared face-lwir.png"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_bundle(parser)
    parser.add_argument("--visible", metavar="IMAGE", help="the image of the visible camera, cropped to the face")
    parser.add_argument("--infrared", metavar="IMAGE", help="the image of the infrared camera, of the same moment")
    add_device(parser)
    add_threads(parser)
    add_gpu(parser)


def run(arguments: argparse.Namespace) -> Outcome:
    given = {role: getattr(arguments, role) for role in ("visible", "infrared") if getattr(arguments, role) is not None}
    if not given:
        raise UsageError("No image is given.", hint="Add --visible IMAGE, --infrared IMAGE, or both.")
    images = {role: _read(role, path) for role, path in given.items()}
    from edgefer.bundle.container import Bundle

    told = reporter(arguments)
    options = session_options(arguments, told)
    with warnings_as_notes(told):
        bundle = Bundle.read(arguments.bundle)
        estimate, info = _answer(bundle, images, options)
    tell(told, info)
    warn(bundle.manifest.gate, told)
    payload = {
        "label": estimate.label,
        "index": estimate.index,
        "confidence": estimate.confidence,
        "labels": estimate.labels,
        "probabilities": estimate.probabilities,
        "logits": estimate.logits,
        "modalities": estimate.modalities,
        "distance": estimate.distance,
        "known": estimate.known,
        "bundle": arguments.bundle,
        "digest": bundle.digest,
        "verdict": bundle.manifest.gate.verdict,
        "info": info,
    }
    return Outcome(payload=payload, text=_text(estimate))


def _answer(bundle: Bundle, images: dict[str, Any], options: dict[str, Any]) -> tuple[Estimate, dict[str, object]]:
    """The answer, and what the session says of itself."""
    from edgefer.runtime.saliency import SaliencySession
    from edgefer.runtime.session import Session

    if bundle.manifest.saliency is None:
        with Session(bundle, **options) as session:
            return session.infer_images(**images), session.info
    if "visible" not in images or len(images) > 1:
        raise InputError(
            f"the network takes one visible image, and {' and '.join(images)} is given",
            hint="give --visible IMAGE alone",
        )
    with SaliencySession(bundle, **options) as following:
        return following.infer_images(**images), following.info


def warn(gate: GateSpec, told: Reporter) -> None:
    """Say on standard error when the bundle was written without having passed."""
    if gate.verdict != "pass":
        told.note(f"The verdict on this bundle is `{gate.verdict}`: {gate.reason}")


def _read(role: str, path: str) -> Any:
    from edgefer_export.data.images import read_image

    try:
        return read_image(Path(path).expanduser())
    except DataError as error:
        raise InputError(
            f"--{role}: {error.message}", hint="Give an image file that OpenCV reads, cropped to a face."
        ) from error


def _text(estimate: Estimate) -> str:
    rows = [
        [label, f"{100 * share:.2f} %"] for label, share in zip(estimate.labels, estimate.probabilities, strict=True)
    ]
    used = " and ".join(estimate.modalities)
    first = f"{estimate.label}  {100 * estimate.confidence:.2f} %  ({used})"
    return "\n\n".join([first, *_distance(estimate), table(rows, right=(1,), header=False)])


def _distance(estimate: Estimate) -> list[str]:
    if estimate.distance is None:
        return []
    away = f"{estimate.distance:.2f} times the spread of the nearest class from its mean"
    return [away if estimate.known else f"none of these: {away}"]
