from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from yolotrt.quantization.histogram import BINS, NotFinite, StreamingHistogram

HALF = BINS // 2

# Over ranges of more than 2**100, a tiny negative value may underflow to zero on the way to its bin.
magnitudes = st.floats(2.0**-50, 2.0**50, width=32)
floats = st.one_of(st.just(0.0), magnitudes, magnitudes.map(lambda x: -x))
arrays = hnp.arrays(np.float32, st.integers(1, 40), elements=floats)


def of(*parts: np.ndarray) -> StreamingHistogram:
    histogram = StreamingHistogram()
    for part in parts:
        histogram.add(np.asarray(part, np.float32))
    return histogram


def brute_force(values: np.ndarray, width: float) -> np.ndarray:
    """Count values by bins of the final width, in exact arithmetic."""
    index = np.floor(values.astype(np.float64) / width).astype(np.int64)
    return np.bincount(index + HALF, minlength=BINS)


@given(st.lists(arrays, min_size=1, max_size=6))
@settings(deadline=None, derandomize=True)
def test_streaming_equals_brute_force_over_everything(parts: list[np.ndarray]) -> None:
    histogram, values = of(*parts), np.concatenate(parts)
    assert np.array_equal(histogram.counts, brute_force(values, histogram.width))
    assert histogram.count == values.size
    assert (histogram.minimum, histogram.maximum) == (values.min(), values.max())


@given(st.lists(arrays, min_size=2, max_size=5), st.randoms(use_true_random=False))
@settings(deadline=None, derandomize=True)
def test_neither_order_nor_merging_matters(parts: list[np.ndarray], random: object) -> None:
    forward = of(*parts)
    shuffled = list(parts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    merged = StreamingHistogram()
    for part in shuffled:
        merged.merge(of(part))
    assert merged.exponent == forward.exponent
    assert np.array_equal(merged.counts, of(*shuffled).counts)
    assert np.array_equal(merged.counts, forward.counts)


def test_the_side_that_reaches_farther_has_at_least_4096_bins() -> None:
    for reach in (1.0, 1.0001, 1.9999, 3e-5, 7e20):
        histogram = of(np.array([-reach / 3, reach]))
        assert 4096 <= reach / histogram.width <= 8192


def test_memory_does_not_grow_with_the_range() -> None:
    histogram = of(*(np.array([10.0**k, -(10.0**k)]) for k in range(-30, 31, 3)))
    assert histogram.counts.shape == (BINS,)
    assert histogram.count == 42


@pytest.mark.parametrize("value", [0.0, 5.25, -3.0, 1e-42])
def test_a_constant_tensor_has_one_centre(value: float) -> None:
    histogram = of(np.full(7, value))
    centres, counts = histogram.occupied()
    assert counts.tolist() == [7.0]
    assert centres[0] == np.float32(value)
    assert histogram.quantile(0.5) == np.float32(value)
    assert histogram.mean_abs() == abs(np.float32(value))


def test_zeros_and_denormals_and_large_values_in_one_tensor() -> None:
    histogram = of(np.zeros(5), np.array([1e-42, -1e-42]), np.array([3e38, -3e38]))
    assert histogram.count == 9
    assert np.isfinite(histogram.occupied()[0]).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nothing_that_is_not_finite_gets_in(bad: float) -> None:
    histogram = of(np.array([1.0]))
    with pytest.raises(NotFinite):
        histogram.add(np.array([1.0, bad, 2.0], np.float32))
    assert (histogram.count, histogram.maximum) == (1, 1.0)


def test_an_empty_array_changes_nothing() -> None:
    histogram = of(np.zeros(0))
    assert histogram.count == 0
    assert histogram.quantile(0.5) == 0.0
    assert histogram.mean_abs() == 0.0


def test_quantiles_and_mean_are_right_to_half_a_bin() -> None:
    values = np.random.default_rng(0).normal(size=20_000).astype(np.float32)
    histogram = of(values)
    for q in (0.0, 0.001, 0.25, 0.5, 0.99, 1.0):
        assert histogram.quantile(q) == pytest.approx(
            np.quantile(values, q), abs=2e-2 if q == 0.001 else 5e-3
        )
    assert histogram.mean_abs() == pytest.approx(np.abs(values).mean(), abs=1e-3)


def test_weights_repeat_what_is_merged() -> None:
    merged = of(np.array([1.0]))
    merged.merge(of(np.array([2.0, 2.0])), weight=9)
    assert merged.count == 19


def test_a_mapped_histogram_is_that_of_the_mapped_values() -> None:
    values = np.random.default_rng(1).normal(0, 3, 50_000).astype(np.float32)

    def bent(x: np.ndarray) -> np.ndarray:
        return x / (1 + np.exp(-x))

    mapped, direct = of(values).mapped(bent), of(bent(values))
    assert mapped.count == direct.count
    assert mapped.maximum == pytest.approx(direct.maximum, rel=1e-6)
    assert mapped.minimum == pytest.approx(direct.minimum, abs=1e-3)
    for q in (0.01, 0.3, 0.5, 0.9, 0.999):
        assert mapped.quantile(q) == pytest.approx(direct.quantile(q), abs=3e-3)


def test_magnitudes_fold_the_negative_side() -> None:
    values = np.random.default_rng(2).normal(0, 2, 9_999).astype(np.float32)
    folded = of(values).magnitudes()
    assert folded.count == values.size
    assert folded.counts[:HALF].sum() == 0
    assert folded.maximum == np.abs(values).max()
    assert folded.quantile(0.5) == pytest.approx(np.quantile(np.abs(values), 0.5), abs=2e-3)
