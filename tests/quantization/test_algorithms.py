from __future__ import annotations

import numpy as np
import pytest

from yolotrt.quantization.algorithms import ALGORITHMS, POWER, choose_limits, entropy_threshold
from yolotrt.quantization.histogram import StreamingHistogram
from yolotrt.quantization.observe import silu


def of(values: np.ndarray) -> StreamingHistogram:
    histogram = StreamingHistogram()
    histogram.add(values.astype(np.float32))
    return histogram


def normal(n: int = 40_000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, n)


def as_uint8(values: np.ndarray, lo: float, hi: float) -> np.ndarray:
    scale = (hi - lo) / 255
    zero = round(-lo / scale)
    return (np.clip(np.rint(values / scale) + zero, 0, 255) - zero) * scale


def as_int8(values: np.ndarray, amax: float) -> np.ndarray:
    return np.clip(np.rint(values / (amax / 127)), -128, 127) * amax / 127


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    "values",
    [
        np.zeros(9),
        np.full(9, 3.5),
        np.full(9, -2.0),
        np.array([1e-42]),
        np.array([0.0, 1e-3] * 9),
        normal(50),
    ],
    ids=["zeros", "constant", "negative", "denormal", "two values", "few"],
)
def test_every_algorithm_gives_a_usable_range_for_any_tensor(algorithm: str, values: np.ndarray) -> None:
    lo, hi, amax = choose_limits(of(values), algorithm)  # type: ignore[arg-type]
    assert lo <= 0 <= hi
    assert amax >= 0
    if np.float32(np.abs(values).max()) > 0:
        assert hi - lo > 0
        assert amax > 0


def test_minmax_covers_everything() -> None:
    values = np.array([-1.5, 0.25, 4.0])
    assert choose_limits(of(values), "minmax") == (-1.5, 4.0, 4.0)


def test_percentile_leaves_out_one_in_ten_thousand() -> None:
    values = normal(200_000)
    lo, hi, amax = choose_limits(of(values), "percentile")
    assert np.mean((values < lo) | (values > hi)) == pytest.approx(2e-4, rel=0.1)
    assert np.mean(np.abs(values) > amax) == pytest.approx(1e-4, rel=0.1)


@pytest.mark.parametrize("shape", ["normal", "heavy", "positive", "silu", "outlier"])
def test_mse_is_as_good_as_trying_every_limit(shape: str) -> None:
    values = {
        "normal": normal(),
        "heavy": np.random.default_rng(0).standard_t(3, 40_000),
        "positive": np.abs(normal()),
        "silu": silu(3 * normal()),
        "outlier": np.append(normal(), [60.0]),
    }[shape]
    lo, hi, amax = choose_limits(of(values), "mse")
    top = np.abs(values).max()
    candidates = top * np.linspace(0.02, 1, 200)
    best = min(harm(as_int8(values, c), values) for c in candidates)
    assert harm(as_int8(values, amax), values) <= 1.03 * best
    below, above = min(values.min(), 0), max(values.max(), 0)
    shrunk = [(below * a, above * b) for a in np.linspace(0.05, 1, 30) for b in np.linspace(0.05, 1, 30)]
    best = min(harm(as_uint8(values, a, b), values) for a, b in shrunk)
    assert harm(as_uint8(values, lo, hi), values) <= 1.03 * best


def harm(rounded: np.ndarray, values: np.ndarray) -> float:
    return float((np.abs(rounded - values) ** POWER).mean())


def test_a_range_before_silu_spends_nothing_on_the_flat_tail() -> None:
    values = np.random.default_rng(0).normal(-8, 8, 60_000)
    plain = choose_limits(of(values), "mse")
    lo, hi, _ = choose_limits(of(values), "mse", after=silu)
    assert lo > -8 > plain[0]
    aware = harm(silu(as_uint8(values, lo, hi)), silu(values))
    blind = harm(silu(as_uint8(values, *plain[:2])), silu(values))
    assert aware < 0.4 * blind


def test_entropy_cuts_off_a_lonely_outlier() -> None:
    values = np.append(normal(100_000), [50.0])
    lo, hi, amax = choose_limits(of(values), "entropy")
    assert 3 < amax < 10
    assert (lo, hi) == (max(float(np.float32(values.min())), -amax), amax)


def test_entropy_keeps_a_uniform_tensor_whole() -> None:
    values = np.random.default_rng(0).uniform(-1, 1, 300_000)
    assert entropy_threshold(of(values)) == pytest.approx(1.0, abs=0.02)


def test_entropy_is_close_to_the_best_of_all_thresholds() -> None:
    """Against the textbook loop over all 2048 bins, one threshold at a time."""
    values = np.abs(np.random.default_rng(3).laplace(0, 1, 200_000))
    bins, edges = np.histogram(values, 2048, (0, values.max()))

    def divergence(cut: int) -> float:
        p = bins[:cut].astype(float)
        q = np.zeros(cut)
        for level in range(128):
            begin, end = level * cut // 128, (level + 1) * cut // 128
            there = p[begin:end] > 0
            if there.any():
                q[begin:end][there] = p[begin:end].sum() / there.sum()
        p[-1] += bins[cut:].sum()
        p, q = p / p.sum(), q / q.sum()
        return float(np.sum(p[p > 0] * np.log(p[p > 0] / np.maximum(q[p > 0], 1e-9))))

    by_cut = {cut: divergence(cut) for cut in range(128, 2049, 4)}
    found = entropy_threshold(of(values))
    chosen = min(by_cut, key=lambda cut: abs(edges[cut] - found))
    assert by_cut[chosen] <= min(by_cut.values()) + 0.002  # the worst lose more than 1
