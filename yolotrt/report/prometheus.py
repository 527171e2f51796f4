"""A long run as Prometheus reads it: its text format 0.0.4.

The format is a line for each figure and has not changed since 2014, so it is written here: the client library
would bring a registry, locks and a second set of counters beside those of the run. Tests read it by that one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from yolotrt.bench.cameras import Camera
from yolotrt.bench.percentiles import QUANTILES
from yolotrt.bench.statistics import Summary
from yolotrt.bench.sustain import Sustained
from yolotrt.text import visible

_Values: TypeAlias = "list[tuple[Mapping[str, str], float]]"

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

PREFIX = "yolotrt_"


@dataclass(frozen=True)
class Metric:
    """A name, what it is, and its values by labels.

    A label without a name is an ending of the metric's own: ``_bucket``, ``_sum``, ``_count``.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    about: str
    values: list[tuple[Mapping[str, str], float]] = field(default_factory=list)


def exposition(run: Sustained, engine: str, source: str) -> str:
    """Return all figures of a run so far; what was not measured is left out.

    Args:
        run: The run.
        engine: Its engine's name.
        source: What its frames are, without passwords.
    """
    return written(_metrics(run, {"engine": engine, "source": source}))


def written(metrics: Iterable[Metric]) -> str:
    """Return metrics in the text format; those without values are left out."""
    lines = []
    for metric in metrics:
        if metric.values:
            name = PREFIX + metric.name
            lines += [f"# HELP {name} {metric.about}", f"# TYPE {name} {metric.kind}"]
            lines += [
                f"{name}{labels.get('', '')}{_labels(labels)} {value:.10g}" for labels, value in metric.values
            ]
    return "\n".join(lines) + "\n"


def _metrics(run: Sustained, what: Mapping[str, str]) -> Iterator[Metric]:
    counts, mib = run.counts, 2**20
    yield Metric("run_info", "gauge", "What is run, in its labels.", [(what, 1)])
    yield Metric("run_seconds", "gauge", "Time since the run began.", _one(run.seconds))
    yield Metric("frames_read_total", "counter", "Frames that came from the source.", _one(counts.read))
    yield Metric("frames_processed_total", "counter", "Frames that came out.", _one(run.processed))
    yield Metric(
        "frames_dropped_total", "counter", "Frames thrown away for newer ones.", _one(counts.dropped)
    )
    yield Metric("frames_skipped_total", "counter", "Frames too early for --fps.", _one(counts.skipped))
    yield Metric("frames_failed_total", "counter", "Frames of a size that does not fit.", _one(run.failed))
    yield Metric("frames_late_total", "counter", "Frames without a result at the deadline.", _one(run.late))
    yield Metric(
        "interruptions_total", "counter", "Times the source gave nothing.", _one(counts.interruptions)
    )
    yield Metric("reconnects_total", "counter", "Times it was opened again.", _one(counts.reconnects))
    for name, about, summary in (
        ("latency_seconds", "Time in the pipeline, since the run began.", run.latency),
        ("queued_seconds", "Time from a frame's arrival to the begin of its work.", run.queued),
        ("response_seconds", "Time from a frame's arrival to its result.", run.age),
    ):
        yield Metric(name, "gauge", about, _quantiles(summary))
    yield Metric("objects", "gauge", "Detections in the last frame.", _one(run.detections))
    memory = None if run.memory_mib is None else run.memory_mib * mib
    yield Metric("memory_bytes", "gauge", "Resident set of the process.", _one(memory))
    joules = None if run.energy is None else run.energy.joules
    for name, about, take in _OF_CAMERAS:
        values: _Values = [({"camera": camera.name}, take(camera)) for camera in run.cameras]
        yield Metric(f"camera_{name}", "counter", about, values)
    ages: _Values = [
        ({"camera": camera.name, **labels}, value)
        for camera in run.cameras
        for labels, value in _quantiles(camera.age)
    ]
    yield Metric("camera_response_seconds", "gauge", "From a frame's arrival to its result.", ages)
    yield Metric("gpu_energy_joules_total", "counter", "Consumed by the GPUs in use.", _one(joules))


_OF_CAMERAS: tuple[tuple[str, str, Callable[[Camera], float]], ...] = (
    ("frames_read_total", "Frames that came from one of several sources.", lambda c: c.counts.read),
    ("frames_processed_total", "Its frames that came out.", lambda c: c.processed),
    ("frames_dropped_total", "Its frames thrown away for newer ones.", lambda c: c.counts.dropped),
    ("interruptions_total", "Times it gave nothing.", lambda c: c.counts.interruptions),
)


def _one(value: float | None) -> list[tuple[Mapping[str, str], float]]:
    return [] if value is None else [({}, value)]


def _quantiles(summary: Summary | None) -> list[tuple[Mapping[str, str], float]]:
    """Return the median and what other percentiles the frames can tell."""
    if summary is None:
        return []
    named = {name: getattr(summary, name) for name, q in QUANTILES.items() if q is not None}
    return [({"quantile": str(QUANTILES[name])}, value) for name, value in named.items() if value is not None]


def _labels(labels: Mapping[str, str]) -> str:
    shown = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items() if name)
    return f"{{{shown}}}" if shown else ""


def _escaped(value: str) -> str:
    return visible(value).replace("\\", "\\\\").replace('"', '\\"')
