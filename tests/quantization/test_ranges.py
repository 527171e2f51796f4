"""Ranges of tensors by what reads them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.quantization.graphs import Net
from tests.quantization.test_algorithms import of
from yolotrt.quantization.algorithms import BY_HISTOGRAM, ByHistogram
from yolotrt.quantization.graph import GraphView
from yolotrt.quantization.ranges import OFF, find_ranges


@pytest.mark.parametrize("algorithm", BY_HISTOGRAM)
def test_units_that_are_off_stay_off_behind_a_silu(algorithm: ByHistogram) -> None:
    """Whatever the method: a lower end of -4 would let each of them leak 0.07."""
    net = Net()
    net.conv_silu("x", "unit", 3, 4)
    view = GraphView(net.model(["unit"]))
    values = np.random.default_rng(0).normal(-2, 3, 20_000)
    far, near = (find_ranges(view, {"unit.conv": of(v)}, algorithm) for v in (values, values.clip(-3)))
    assert values.min() * 1.001 <= far["unit.conv"].lo <= OFF
    assert near["unit.conv"].lo == pytest.approx(-3)


def test_what_no_silu_reads_is_cut_where_it_is_best() -> None:
    net = Net()
    net.conv("x", "plain", 3, 4)
    view = GraphView(net.model(["plain"]))
    values = np.append(np.random.default_rng(0).normal(0, 0.5, 20_000), -9.0)
    assert find_ranges(view, {"plain": of(values)}, "percentile")["plain"].lo > OFF
