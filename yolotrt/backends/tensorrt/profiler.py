"""Where the time inside an engine goes, layer by layer, measured by TensorRT itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from yolotrt.backends.base import LayerTime

if TYPE_CHECKING:
    import tensorrt as trt

    from yolotrt.backends.tensorrt.runtime import TensorRtEngine

WARMUP = 10
"""Runs before the measured ones, so that clocks and caches have settled."""


def layer_times(engine: TensorRtEngine, batch: int, iterations: int) -> list[LayerTime]:
    """Measure every layer on random images, slowest first.

    Timing each layer keeps them from overlapping, so the sum is more than a whole run takes.

    Args:
        engine: A loaded engine.
        batch: Number of images; the engine needs a profile for it.
        iterations: Measured runs.

    Raises:
        ArtifactError: The engine has no profile for this batch size.
        ExecutionError: The engine failed.
    """
    context = engine.new_context(batch)
    context.images[:] = np.random.default_rng(0).random(context.images.shape, dtype=np.float32)
    for _ in range(WARMUP):
        context.run()
    native: trt.IExecutionContext = context.native
    seconds: dict[str, float] = {}
    profiler = _new_profiler(engine.library.trt, seconds)
    native.profiler = profiler
    for _ in range(iterations):
        context.run()
    total = sum(seconds.values()) or 1.0
    rows = [LayerTime(name, spent / iterations, spent / total) for name, spent in seconds.items()]
    return sorted(rows, key=lambda row: -row.seconds)


def _new_profiler(api: Any, seconds: dict[str, float]) -> trt.IProfiler:
    """Return a TensorRT profiler that adds up the time of each layer, in seconds."""

    class Profiler(api.IProfiler):  # type: ignore[misc]
        def __init__(self) -> None:
            api.IProfiler.__init__(self)

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            seconds[layer_name] = seconds.get(layer_name, 0.0) + ms / 1e3

    return Profiler()
