"""What a replica of the service counts, as Prometheus reads it."""

from __future__ import annotations

import os
import socket
import threading
from bisect import bisect_left
from collections import Counter
from typing import ClassVar

from yolotrt.bench.sustain import resident_mib
from yolotrt.report.prometheus import CONTENT_TYPE, Metric, written

BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper ends of the histogram of times, seconds."""


class ServiceFigures:
    """Counts answers and batches; for any number of threads.

    Args:
        engine: The engine's name.
    """

    CONTENT_TYPE: ClassVar[str] = CONTENT_TYPE

    def __init__(self, engine: str) -> None:
        self._labels = {"engine": engine, "replica": f"{socket.gethostname()}:{os.getpid()}"}
        self._lock = threading.Lock()
        self._answers: Counter[int] = Counter()
        self._within = [0] * (len(BOUNDS_S) + 1)
        self._seconds = 0.0
        self._batches = self._tiles = 0

    def answered(self, status: int, seconds: float) -> None:
        """Count an answer; how long it took counts for those that were served."""
        with self._lock:
            self._answers[status] += 1
            if status == 200:
                self._within[bisect_left(BOUNDS_S, seconds)] += 1
                self._seconds += seconds

    def batch(self, tiles: int) -> None:
        """Count a batch of the network."""
        with self._lock:
            self._batches += 1
            self._tiles += tiles

    def exposition(self, inside: int) -> str:
        """Return all figures.

        Args:
            inside: Pictures that are at work or waiting.
        """
        with self._lock:
            answers, within = dict(self._answers), list(self._within)
            seconds, batches, tiles = self._seconds, self._batches, self._tiles
        total, buckets = 0, []
        for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), within, strict=True):
            total += count
            buckets.append(({"le": bound}, float(total)))
        memory = resident_mib()
        metrics = [
            Metric("service_info", "gauge", "Which replica answers, in its labels.", [(self._labels, 1)]),
            Metric(
                "requests_total", "counter", "Answers by HTTP status.",
                [({"code": str(code)}, float(n)) for code, n in sorted(answers.items())],
            ),
            Metric("request_seconds", "histogram", "Time of pictures that were served.", [
                *(({**labels, "": "_bucket"}, n) for labels, n in buckets),
                ({"": "_sum"}, seconds), ({"": "_count"}, float(total)),
            ]),
            Metric("pictures_inside", "gauge", "Pictures at work or waiting.", [({}, inside)]),
            Metric("batches_total", "counter", "Batches of the network.", [({}, batches)]),
            Metric("tiles_total", "counter", "Tiles in these.", [({}, tiles)]),
            Metric("memory_bytes", "gauge", "Resident set.", [({}, (memory or 0) * 2**20)]),
        ]  # fmt: skip
        return written(metrics)
