from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolotrt.bench.statistics import (
    GLANCED,
    autocorrelation,
    count_outliers,
    effective_count,
    glance,
    paired_ratio,
    quantile_interval,
    resampled_quantiles,
    summarize,
    unpaired_ratio,
)


def test_known_samples_give_known_statistics() -> None:
    summary = summarize([float(v) for v in np.random.default_rng(0).permutation(101)])
    assert summary is not None
    assert (summary.count, summary.p50, summary.p90, summary.p95, summary.p99) == (101, 50, 90, None, None)
    many = summarize([float(v) for v in range(1001)])
    assert many is not None
    assert (many.p90, many.p95, many.p99) == (900, 950, 990)
    assert summary.mean == 50
    assert summary.stdev == pytest.approx(np.std(range(101), ddof=1))
    assert summary.p50_interval is not None
    assert 35 < summary.p50_interval.low < 50 < summary.p50_interval.high < 65


@pytest.mark.parametrize("count", [1, 101, GLANCED])
def test_a_glance_tells_the_same_without_an_interval(count: int) -> None:
    samples = np.random.default_rng(0).normal(4, 0.1, count).tolist()
    whole, found = summarize(samples), glance(samples)
    assert whole is not None
    assert found is not None
    assert found.p50_interval is None
    for name in ("count", "mean", "stdev", "p50", "p90", "p95", "p99", "outliers"):
        assert getattr(found, name) == pytest.approx(getattr(whole, name)), name


def test_a_glance_at_many_samples_is_of_a_part_of_them() -> None:
    found = glance(range(GLANCED * 10))
    assert found is not None
    assert found.count == GLANCED * 10
    assert found.p50 == pytest.approx(GLANCED * 5, rel=0.01)
    assert glance([]) is None


def test_a_single_sample_has_no_spread_and_no_interval() -> None:
    summary = summarize([2.0])
    assert summary is not None
    assert (summary.p50, summary.p99, summary.stdev, summary.p50_interval) == (2.0, None, 0.0, None)


@pytest.mark.parametrize(("q", "least"), [(0.5, 6), (0.95, 59), (0.99, 299)])
def test_too_few_samples_get_no_interval_instead_of_a_wrong_one(q: float, least: int) -> None:
    mixed = np.random.default_rng(1).permutation(np.arange(least * 1.0))
    assert quantile_interval(mixed[1:], q) is None
    assert quantile_interval(mixed, q) is not None


def test_a_drift_is_no_independent_samples() -> None:
    assert effective_count(np.random.default_rng(0).normal(size=200)) == 200
    assert effective_count(np.arange(100.0)) < 6
    assert quantile_interval(np.arange(100.0), 0.5) is None


@pytest.mark.parametrize("samples", [[], [None], [1.0, None]])
def test_a_stage_that_was_not_measured_has_no_statistics(samples: list[float | None]) -> None:
    assert summarize(samples) is None


@pytest.mark.parametrize("n", [2, 5, 20, 51])
@pytest.mark.parametrize("q", [0.0, 0.5, 0.95, 1.0])
def test_drawing_two_order_statistics_is_the_bootstrap(n: int, q: float) -> None:
    """Against the plain bootstrap, which draws every value of every resample."""
    rng = np.random.default_rng(n)
    array = rng.lognormal(size=n)
    plain = np.quantile(array[rng.integers(0, n, (40_000, n))], q, axis=1)
    ours = resampled_quantiles(array, q, resamples=40_000)
    levels = np.linspace(0.05, 0.95, 19)
    scale = array.std()
    mean_gap = abs(plain.mean() - ours.mean()) / scale
    assert mean_gap < 0.02
    for value in np.quantile(plain, levels):  # the two distribution functions, not just their means
        assert abs((plain <= value).mean() - (ours <= value * (1 + 1e-12)).mean()) < 0.02


@pytest.mark.parametrize("n", [20, 101])
def test_intervals_cover_the_true_median_about_as_often_as_they_say(n: int) -> None:
    covered = given = 0
    for seed in range(300):
        samples = np.random.default_rng(seed).lognormal(0, 0.3, n)
        if interval := quantile_interval(samples, 0.5):  # chance makes one in a hundred look like a drift
            given += 1
            covered += interval.low <= 1.0 <= interval.high
    assert given >= 297
    assert 0.91 <= covered / given <= 0.99


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.lists(st.floats(1e-6, 1e3), min_size=11, max_size=60), st.floats(0.3, 0.7))
def test_an_interval_stays_within_the_samples_and_is_repeatable(samples: list[float], q: float) -> None:
    array = np.array(samples)
    interval = quantile_interval(array, q)
    if effective_count(array) < len(array):
        array = np.sort(array)  # neighbours that are alike say less, maybe too little
        assert interval is None or array[0] <= interval.low <= interval.high <= array[-1]
        return
    assert interval is not None
    slack = 1e-9 * array.max()
    assert array.min() - slack <= interval.low <= interval.high <= array.max() + slack
    assert interval == quantile_interval(array, q)


def test_drift_does_not_change_a_paired_ratio() -> None:
    drift = np.linspace(1, 3, 40)
    ratio = paired_ratio(list(2 * drift), list(1 * drift))
    assert ratio is not None
    assert ratio.value == pytest.approx(2.0)
    assert ratio.interval == pytest.approx((2.0, 2.0))
    assert ratio.certain
    assert paired_ratio([], []) is None
    assert paired_ratio([1.0, None], [None, 1.0]) is None


def test_a_ratio_of_too_few_samples_is_never_certain() -> None:
    ratio = unpaired_ratio(np.array([1.0] * 5), np.array([9.0] * 5), "p50")
    assert ratio.value == 9
    assert not ratio.certain


def test_outliers_are_counted_and_kept() -> None:
    samples = [1.0, 1.01, 0.99, 1.02, 0.98] * 6 + [9.0]
    summary = summarize(samples)
    assert summary is not None
    assert summary.outliers == 1
    assert summary.mean == pytest.approx(np.mean(samples))
    assert summary.count == 31
    assert count_outliers(np.array([1.0, 1.0, 1.0])) == 0


def test_autocorrelation_tells_drift_from_noise() -> None:
    rng = np.random.default_rng(0)
    assert autocorrelation(np.linspace(1, 2, 50)) > 0.9
    assert abs(autocorrelation(rng.normal(1, 0.1, 500))) < 0.15
    assert autocorrelation(np.ones(50)) == 0
