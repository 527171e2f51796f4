"""Medians under the flat metric names that applications log, in milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from yolotrt.bench.statistics import measured

METRICS = {
    "inference_model_yolo_tiles_ms": "tiles",
    "inference_model_yolo_global_ms": "global",
    "inference_prepare_batch_ms": "prepare_batch",
    "inference_enqueue_ms": "enqueue",
    "inference_stream_sync_ms": "stream_sync",
    "inference_decode_ms": "decode",
    "inference_merge_ms": "merge",
    "end_to_end_ms": "end_to_end",
}
"""Stage by metric name."""


def flat_metrics(samples_of: Callable[[str], Sequence[float | None]]) -> dict[str, float | None]:
    """Return the median of each stage, milliseconds; None where it was not measured.

    Args:
        samples_of: Returns the samples of a stage, seconds.
    """
    found: dict[str, float | None] = {}
    for name, stage in METRICS.items():
        array = measured(samples_of(stage))
        found[name] = None if array is None else round(float(np.median(array)) * 1e3, 6)
    return found
