from __future__ import annotations

import numpy as np
import pytest

from yolotrt.bench.statistics import paired_ratio, summarize


def test_known_samples_give_known_statistics() -> None:
    summary = summarize([float(i) for i in range(101)])
    assert summary is not None
    assert (summary.count, summary.p50, summary.p90, summary.p95, summary.p99) == (101, 50, 90, 95, 99)
    assert summary.mean == 50
    assert summary.stdev == pytest.approx(np.std(range(101), ddof=1))


def test_a_single_sample_has_no_spread() -> None:
    summary = summarize([2.0])
    assert summary is not None
    assert (summary.p50, summary.p99, summary.stdev) == (2.0, 2.0, 0.0)


@pytest.mark.parametrize("samples", [[], [None], [1.0, None]])
def test_a_stage_that_was_not_measured_has_no_statistics(samples: list[float | None]) -> None:
    assert summarize(samples) is None


def test_drift_does_not_change_a_paired_ratio() -> None:
    drift = np.linspace(1, 3, 40)
    base, other = list(2 * drift), list(1 * drift)
    assert paired_ratio(base, other) == pytest.approx(2.0)
    assert paired_ratio([], []) is None
    assert paired_ratio([1.0, None], [None, 1.0]) is None
