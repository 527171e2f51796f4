"""Which layer of an engine made the NaN or infinity that decoding met."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from yolotrt.backends.base import EngineFile
from yolotrt.backends.registry import backend
from yolotrt.errors import ExecutionError, YoloTrtError
from yolotrt.model.finite import first_not_finite


def naming_layer(error: ExecutionError, file: EngineFile, images: npt.NDArray[np.float32]) -> ExecutionError:
    """Return ``error`` with the first layer that fails on these images, if it can be found.

    Only an engine that is kept as ONNX can be looked into, and only as long as it is where it was.

    Args:
        error: What decoding raised.
        file: The engine whose outputs it decoded.
        images: What the engine had been given: (batch, 3, height, width), RGB in [0, 1].
    """
    try:
        network = backend(file.backend).network(file)
    except YoloTrtError:
        return error
    if network is None:
        return error
    layer = first_not_finite(network, {file.spec.input_name: images})
    found = layer or "a layer that only overflows when layers are fused"
    return ExecutionError(
        f"{error.message.removesuffix('.')} ({file.path.name}; the first to make one is {found}).",
        hint=error.hint,
    )
