"""Whole frames through a Triton server: tiles are cut here, the network is another model of the server.

This file is ``model.py`` of Triton's Python backend, as it stands. The server's Python needs yolotrt.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from yolotrt.scale.triton_model import FrameModel


class TritonPythonModel:
    """One frame in (``FRAME``), its objects out (``BOXES``, ``SCORES``, ``CLASSES``, ``MASKS``)."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read what the network is."""
        self._frames = FrameModel(Path(__file__).parent, args["model_config"], self._network)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer requests; one that is wrong does not spoil the others."""
        return [self._answer(request) for request in requests]

    def finalize(self) -> None:
        """Free what was held."""
        self._frames.close()

    def _answer(self, request: Any) -> Any:
        try:
            frame = pb_utils.get_input_tensor_by_name(request, "FRAME").as_numpy()
            found = self._frames(frame)
        except Exception as exc:  # whoever asked is told, and nobody else
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(exc)))
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in found.items()])

    def _network(
        self, model: str, name: str, images: np.ndarray[Any, Any], wanted: list[str]
    ) -> list[np.ndarray[Any, Any]]:
        request = pb_utils.InferenceRequest(
            model_name=model, requested_output_names=wanted, inputs=[pb_utils.Tensor(name, images)]
        )
        response = request.exec()
        if response.has_error():
            raise RuntimeError(response.error().message())
        return [pb_utils.get_output_tensor_by_name(response, output).as_numpy() for output in wanted]
