"""Labels and probabilities for Triton's Python backend, behind a network.

Written by `edgefer triton`. It computes with the edgefer that is installed where Triton runs its Python models;
requirements.txt says what to install.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found,unused-ignore]

from edgefer.errors import EdgeferError
from edgefer.serve.answer import Answer
from edgefer.serve.settings import SETTINGS, AnswerSettings, read_settings


class TritonPythonModel:
    """Logits in, label and probabilities out: what Triton calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the settings beside this file; what is wrong with them keeps the model from being loaded."""
        self._answer = Answer(read_settings(Path(__file__).with_name(SETTINGS), AnswerSettings))

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request; a request that cannot be answered gets an error and spoils no other."""
        return [self._response(request) for request in requests]

    def _response(self, request: Any) -> Any:
        logits = pb_utils.get_input_tensor_by_name(request, "logits").as_numpy()
        embedding = None
        if self._answer.embedding is not None:
            embedding = pb_utils.get_input_tensor_by_name(request, "embedding").as_numpy()
        try:
            answer = self._answer(logits, embedding)
        except EdgeferError as error:
            return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(str(error)))
        outputs = [pb_utils.Tensor(name, array) for name, array in answer.items()]
        return pb_utils.InferenceResponse(output_tensors=outputs)
