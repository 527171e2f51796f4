"""Which layer of an engine made the NaN or infinity that decoding met."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from yolotrt.backends.base import EngineFile
from yolotrt.backends.placement import EMBEDDED
from yolotrt.errors import ExecutionError, YoloTrtError
from yolotrt.model.finite import first_not_finite
from yolotrt.model.onnxfile import load_onnx


def with_layer(error: ExecutionError, file: EngineFile, images: npt.NDArray[np.float32]) -> ExecutionError:
    """Return ``error`` with the first layer that fails on these images, if it can be found.

    Only an ONNX file can be looked into, and only as long as it is where it was.

    Args:
        error: What decoding raised.
        file: The engine whose outputs it decoded.
        images: What the engine had been given: (batch, 3, height, width), RGB in [0, 1].
    """
    if file.backend != EMBEDDED:
        return error
    try:
        layer = first_not_finite(load_onnx(file.path), {file.spec.input_name: images})
    except YoloTrtError:
        return error
    found = layer or "a layer that only overflows when layers are fused"
    return ExecutionError(
        f"{error.message.removesuffix('.')} ({file.path.name}; the first to make one is {found}).",
        hint=error.hint,
    )
