"""How long each kernel of an engine takes, measured with events."""

from __future__ import annotations

import numpy as np

from yolotrt.backends.base import LayerTime
from yolotrt.backends.fused.runtime import FusedEngine
from yolotrt.backends.fused.tuning import graph_seconds


def step_seconds(engine: FusedEngine, batch: int, iterations: int = 20) -> list[tuple[str, float]]:
    """Return each step and its seconds, in the order in which they run, on random images.

    Each kernel is repeated alone in a graph, so that starting it from the host costs nothing. The sum is more
    than a whole run takes, in which some run side by side.

    Args:
        engine: A loaded engine.
        batch: Number of images; the engine needs a profile for it.
        iterations: Repetitions.

    Raises:
        ArtifactError: The engine has no profile for this batch size.
    """
    context = engine.new_context(batch)
    context.images[:] = np.random.default_rng(0).random(context.images.shape, dtype=np.float32)
    context.run()
    found = []
    with engine.device.scope() as scope:
        stream = scope.stream()
        for name, launch in context.launches_on_host_buffers():

            def repeat(launch: object = launch) -> None:
                for _ in range(iterations):
                    launch(stream)  # type: ignore[operator]

            found.append((name, graph_seconds(engine.device, scope, stream, repeat) / iterations))
    context.close()
    return found


def layer_times(engine: FusedEngine, batch: int, iterations: int) -> list[LayerTime]:
    """Measure every step, slowest first; see :func:`step_seconds`."""
    seconds = step_seconds(engine, batch, iterations)
    total = sum(s for _, s in seconds) or 1.0
    return sorted((LayerTime(name, s, s / total) for name, s in seconds), key=lambda row: -row.seconds)
