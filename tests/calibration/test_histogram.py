"""Streaming histograms against brute force: every value counted, in the right bin, whatever came first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolotrt.calibration.algorithms import ALGORITHMS, Algorithm, choose_limits
from yolotrt.calibration.histogram import BINS, NotFinite, StreamingHistogram


def _filled(*parts: np.ndarray) -> StreamingHistogram:
    histogram = StreamingHistogram()
    for part in parts:
        histogram.add(part.astype(np.float32))
    return histogram


def _brute_force(values: np.ndarray, width: float) -> np.ndarray:
    bins = np.floor(values.astype(np.float64) / width).astype(int) + BINS // 2
    return np.bincount(bins, minlength=BINS)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(0, 2**32 - 1), st.floats(-20, 20), st.integers(1, 400)), min_size=1, max_size=6
    )
)
def test_equals_brute_force_in_any_order_of_magnitudes(parts: list[tuple[int, float, int]]) -> None:
    values = [np.random.default_rng(s).normal(0, 2.0**e, n).astype(np.float32) for s, e, n in parts]
    histogram = _filled(*values)
    everything = np.concatenate(values)
    np.testing.assert_array_equal(histogram.counts, _brute_force(everything, histogram.width))
    assert histogram.count == everything.size
    assert histogram.minimum == everything.min()
    assert histogram.maximum == everything.max()


def test_the_order_of_batches_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    small, large = rng.normal(0, 1e-3, 5000), rng.normal(0, 50, 5000)
    np.testing.assert_array_equal(_filled(small, large).counts, _filled(large, small).counts)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_refused_and_nothing_is_added(bad: float) -> None:
    histogram = _filled(np.ones(4))
    with pytest.raises(NotFinite):
        histogram.add(np.array([1.0, bad], np.float32))
    assert histogram.count == 4


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    "values",
    [
        np.zeros(100),
        np.full(100, 3.5),
        np.full(100, -2.0),
        np.full(100, 1e-42),  # denormal
        np.array([0.0, 1e-8]),
        np.maximum(np.random.default_rng(0).normal(-9, 1, 1000), 0),  # a dead ReLU
        np.array([1e30, -1e-30]),
    ],
    ids=["zeros", "constant", "negative", "denormal", "tiny", "dead", "huge"],
)
def test_degenerate_tensors_calibrate(algorithm: Algorithm, values: np.ndarray) -> None:
    lo, hi, amax = choose_limits(_filled(values), algorithm)
    assert lo <= 0 <= hi
    assert amax >= 0
    assert np.isfinite([lo, hi, amax]).all()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_outliers_are_cut_except_by_minmax(algorithm: Algorithm) -> None:
    values = np.append(np.random.default_rng(0).normal(0, 1, 200_000), [400.0, -400.0])
    lo, hi, amax = choose_limits(_filled(values), algorithm)
    if algorithm == "minmax":
        assert (lo, hi, amax) == (-400, 400, 400)
        return
    farthest = 300 if algorithm == "mse" else 60  # a squared error weighs what lies far out heavily
    assert 2 < hi < farthest
    assert 2 < -lo < farthest
    assert 2 < amax < farthest


def test_mse_is_the_best_of_all_ranges() -> None:
    values = np.random.default_rng(0).laplace(0, 1, 100_000)
    _, _, amax = choose_limits(_filled(values), "mse")

    def error(limit: float) -> float:
        scale = limit / 127
        rounded = np.clip(np.round(values / scale), -127, 127) * scale
        return float(np.mean((values - rounded) ** 2))

    assert error(amax) <= 1.02 * min(error(limit) for limit in np.linspace(1, values.max(), 200))


def test_what_a_flat_activation_swallows_costs_no_levels() -> None:
    """SiLU maps everything below -10 to nearly 0: that tail must not widen the range."""
    values = np.random.default_rng(0).normal(-8, 8, 100_000)

    def silu(x: np.ndarray) -> np.ndarray:
        return np.asarray(x / (1 + np.exp(-x)))

    plain, _, _ = choose_limits(_filled(values), "mse")
    aware, _, _ = choose_limits(_filled(values), "mse", silu)
    assert aware > 0.6 * plain
    assert aware > -12
