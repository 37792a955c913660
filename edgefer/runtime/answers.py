"""From the outputs of a graph to estimates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import GraphSpec
from edgefer.errors import InputError
from edgefer.runtime.class_means import rejection
from edgefer.runtime.estimate import Estimate, softmax


class Answers:
    """Reads the estimates of one graph. Holds no state that a call changes.

    Args:
        bundle: says what the classes are, the temperature, and where the classes lie in the embedding.
        graph: of that bundle.

    Raises:
        BundleError: the means of the classes are not what the graph's output can be compared with.
    """

    def __init__(self, bundle: Bundle, graph: GraphSpec) -> None:
        self._graph = str(graph.role)
        self._labels, self._temperature = bundle.manifest.labels, bundle.manifest.temperature
        self._logits = next((output.name for output in graph.outputs if output.role == "logits"), "")
        self._rejection = rejection(bundle, graph)

    def check(self) -> None:
        """Whether there is anything to estimate.

        Raises:
            InputError: the graph has no logits.
        """
        if not self._logits:
            raise InputError(
                f"graph '{self._graph}' has no logits, so there is no class to answer with",
                hint="Session.run gives its raw outputs",
            )

    def estimate(
        self, outputs: Mapping[str, npt.NDArray[Any]], row: int = 0, modalities: tuple[str, ...] = ()
    ) -> Estimate:
        """The estimate of one example of a batch; its arrays are views of `outputs`.

        Raises:
            InputError: the logits are not finite.
        """
        logits = outputs[self._logits][row].astype(np.float32, copy=False)
        values: list[float] = logits.tolist()
        if not all(map(math.isfinite, values)):
            raise InputError(
                f"graph '{self._graph}' answered logits that are not finite: {values}",
                hint="inputs must be finite and in the range that the manifest states; if they are, run `edgefer "
                "verify`",
            )
        probabilities = softmax(values, self._temperature)
        index = values.index(max(values))
        distance, known = None, None
        if self._rejection is not None:
            distance, known = self._rejection.judge(outputs[self._rejection.output][row])
        return Estimate(
            label=self._labels[index],
            index=index,
            confidence=probabilities[index],
            labels=self._labels,
            probabilities=np.array(probabilities, np.float32),
            logits=logits,
            outputs={name: value[row] for name, value in outputs.items() if name != self._logits},
            modalities=modalities,
            distance=distance,
            known=known,
        )
