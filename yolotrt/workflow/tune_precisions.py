"""Which precisions a search tries when nobody names them."""

from __future__ import annotations

from yolotrt.backends.base import Precision
from yolotrt.backends.placement import EMBEDDED


def worthwhile(backend: str, device: str) -> tuple[Precision, ...]:
    """Return the precisions that may be the fastest for a backend on a device.

    A processor computes FP16 no faster than FP32. ONNX Runtime on a GPU computes INT8 networks in FP32.
    TensorRT has kernels for all three, and which is the fastest depends on the card.

    Args:
        backend: Its name.
        device: As :func:`yolotrt.backends.placement.place` takes it.
    """
    if backend != EMBEDDED:
        return "fp32", "fp16", "int8"
    return ("fp32", "fp16") if _on_gpu(device) else ("fp32", "int8")


def _on_gpu(device: str) -> bool:
    if device != "auto":
        return device != "cpu"
    from yolotrt.backends.onnxruntime.gpu import availability

    return availability().usable
