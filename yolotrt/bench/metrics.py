"""Medians under the flat metric names that applications log, in milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from yolotrt.bench.statistics import measured
from yolotrt.timing.trace import ARRIVAL, COPIES, DECIDE, DEVICE, STAGES

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
"""Stage by metric name; every case has these."""

_FURTHER = {f"inference_{stage}_ms": stage for stage in (*COPIES, *(DEVICE + s for s in (*COPIES, *STAGES)))}
_FURTHER |= {f"{stage}_ms": stage for stage in ARRIVAL} | {f"inference_{DECIDE}_ms": DECIDE}


def metric_stages(stages: Iterable[str]) -> dict[str, str]:
    """Return the stage of every metric: :data:`METRICS`, then copies and device times that were measured."""
    present = set(stages)
    return METRICS | {name: stage for name, stage in _FURTHER.items() if stage in present}


def taken(samples: Mapping[str, Sequence[float | None]], stage: str) -> Sequence[float | None]:
    """Return the samples of a stage: the host's, or the device's where only that measured it.

    Tiles and the global pass that run side by side on a GPU have no time of their own on the host.
    """
    found = samples.get(stage, ())
    if any(sample is not None for sample in found):
        return found
    return samples.get(DEVICE + stage, found)


def flat_metrics(samples: Mapping[str, Sequence[float | None]]) -> dict[str, float | None]:
    """Return the median of each stage, milliseconds; None where it was not measured."""
    found: dict[str, float | None] = {}
    for name, stage in metric_stages(samples).items():
        array = measured(taken(samples, stage))
        found[name] = None if array is None else round(float(np.median(array)) * 1e3, 6)
    return found
