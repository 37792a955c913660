"""Choosing and answering the golden inputs of a bundle."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edgefer.bundle.arrays import encode_array
from edgefer.bundle.golden import decode, encode
from edgefer.bundle.manifest import GoldenSpec
from edgefer_export.checks import relative_error
from edgefer_export.data import open_dataset
from edgefer_export.data.dataset import Dataset
from edgefer_export.data.feeds import Feeds
from edgefer_export.networks.network import Network
from edgefer_export.runners import Outputs, Tensors, one_by_one

COUNT = 32
_SEED = 20250
TOLERANCES = {"fp32": 1e-3, "fp16": 2e-2, "int8": 5e-2, "int8+fp16": 5e-2}
"""What an engine may differ from the graph's answers, as max|a-b| / max(1, max|ref|): other kernels sum in another
order, and one INT8 step moves with it. Wide enough for that, far too narrow for a wrong layer."""


MOST_BYTES = 8 << 20
"""Room for the answers in a bundle; a network that answers with images gets fewer golden inputs than `COUNT`."""
_BYTES_OF_ANSWER = 8
"""Two float32 for each element: of the network itself and of the deployed graph."""
_INT8_SHARE = 0.5
"""Of what quantising changed in raw outputs, the part that an engine may differ: it rounds to other neighbours. Among
the scores of thousands of cells one is always near a step; five per cent of the largest does not cover it."""


@dataclass(frozen=True)
class Golden:
    """Golden inputs with their answers: the manifest's part and the members to store."""

    spec: GoldenSpec
    members: dict[str, bytes]
    tensors: dict[str, npt.NDArray[np.float32]]
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """The shape (1, ...) of each answer, which says more than the graph where that depends on the values."""


def golden_count(network: Network, *, most: int = COUNT) -> int:
    """So many golden inputs a network gets: `most`, or fewer where its answers are large, in whole batches of it."""
    batch = network.inputs[0].shape[0] if network.inputs else 1
    # Answers of several shapes do not stand in one array.
    fitting = MOST_BYTES // (_BYTES_OF_ANSWER * max(1, network.answer_elements))
    wanted = max(1, min(most, fitting)) if network.fixed_shapes else 1
    return -(-wanted // batch) * batch


def golden_inputs(network: Network, data: Dataset | None, *, most: int = COUNT) -> dict[str, npt.NDArray[np.generic]]:
    """What is stored for each input, (count, ...) with a count of `most` or fewer: codes of images, floats of anything
    else.

    Synthetic pairs where the network takes faces in colour or grey; the first samples of `data` where given.
    """
    if not network.inputs:
        return {}
    count = golden_count(network, most=most)
    band = next((spec.image.band for spec in network.inputs if spec.role == "infrared" and spec.image), None)
    faces = all(spec.role in {"visible", "infrared", "present"} for spec in network.inputs)
    if data is None and faces:
        data = open_dataset(f"synthetic:{count}:{_SEED}:{band if band in ('lwir', 'nir') else 'lwir'}")
    if data is None:
        rng = np.random.default_rng(_SEED)
        return {spec.name: network.noise(spec, count, rng) for spec in network.inputs}
    picked = list(itertools.islice(Feeds(data, network.inputs), count))
    # Data with fewer samples than asked for is repeated, so that every batch size divides the count.
    cycle = list(itertools.islice(itertools.cycle(picked), count))
    return {
        spec.name: encode(np.concatenate([tensors[spec.name] for tensors in cycle]), spec) for spec in network.inputs
    }


def answer(
    network: Network,
    stored: dict[str, npt.NDArray[np.generic]],
    functions: tuple[Callable[[Tensors], Outputs], Callable[[Tensors], Outputs]],
    precision: str,
    *,
    synthetic: bool,
    folder: str = "golden",
) -> Golden:
    """Run the FP32 network and the deployed graph on the golden inputs and lay out the members below `folder`."""
    tensors = {spec.name: decode(stored[spec.name], spec) for spec in network.inputs}
    batch = network.inputs[0].shape[0] if network.inputs else 1
    reference, expected = (one_by_one(function, tensors, network.inputs, batch) for function in functions)
    members: dict[str, bytes] = {}

    def keep(kind: str, arrays: dict[str, npt.NDArray[np.generic]]) -> dict[str, str]:
        names = {name: f"{folder}/{kind}-{index}.npy" for index, name in enumerate(arrays)}
        members.update({names[name]: encode_array(array) for name, array in arrays.items()})
        return names

    spec = GoldenSpec(
        count=len(tensors[network.inputs[0].name]) if network.inputs else 1,
        inputs=keep("input", stored),
        reference=keep("reference", dict(reference)),
        expected=keep("expected", dict(expected)),
        tolerance=_tolerance(network, precision, reference, expected),
        synthetic=synthetic,
    )
    return Golden(spec, members, tensors, {name: (batch, *array.shape[1:]) for name, array in expected.items()})


def joined(one: GoldenSpec, other: GoldenSpec) -> GoldenSpec:
    """The golden inputs of two graphs of one bundle, which have other names each; the tolerance of the first holds for
    both where the second does not state its own.

    Raises:
        ValueError: they are not as many, or a name is of both.
    """
    tables = [(getattr(one, kind), getattr(other, kind)) for kind in ("inputs", "reference", "expected")]
    if one.count != other.count or any(mine.keys() & theirs.keys() for mine, theirs in tables):
        raise ValueError("golden inputs of two graphs must be as many, and of other names")
    inputs, reference, expected = ({**mine, **theirs} for mine, theirs in tables)
    return GoldenSpec(
        count=one.count,
        inputs=inputs,
        reference=reference,
        expected=expected,
        tolerance=one.tolerance,
        tolerances=dict.fromkeys(other.expected, other.tolerance),
        synthetic=one.synthetic and other.synthetic,
    )


def _tolerance(network: Network, precision: str, reference: Outputs, expected: Outputs) -> float:
    tolerance = TOLERANCES[precision]
    if network.logits is not None or not precision.startswith("int8"):
        return tolerance
    errors = (
        relative_error(expected[name], value)
        for name, value in reference.items()
        if expected[name].shape == value.shape
    )
    return max([tolerance, *(_INT8_SHARE * error for error in errors if np.isfinite(error))])
