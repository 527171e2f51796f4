"""Whether ONNX Runtime's CUDA provider is there: all that an engine of a processor asks about GPUs."""

from __future__ import annotations

from yolotrt.backends.base import Availability
from yolotrt.cuda.machine import HERE
from yolotrt.errors import MissingDependency

PROVIDER = "CUDAExecutionProvider"


def availability(device_index: int = 0) -> Availability:
    """Say whether the CUDA provider works here; never raises."""
    import onnxruntime as ort

    if PROVIDER not in ort.get_available_providers():
        return Availability(
            False,
            f"ONNX Runtime {ort.__version__} has no CUDA provider (the package onnxruntime-gpu has)",
            builds=True,
        )
    try:
        count = HERE.count()
    except MissingDependency as exc:
        return Availability(False, exc.message, builds=True)
    if device_index >= count:
        return Availability(False, f"{ort.__version__}, but there is no GPU cuda:{device_index}", builds=True)
    return Availability(True, f"{ort.__version__} on cuda:{device_index}", builds=True)
