"""Weights as the kernels read them: FP16, by row, output channels filled up with zeros."""

from __future__ import annotations

import numpy as np

from yolotrt.backends.fused.parts import Dense, Taps, round_up
from yolotrt.backends.fused.plan_ops import ConvWeights, Op


def dense_of(rows: np.ndarray, weights: ConvWeights) -> Dense:
    """Return weights by row with the output channels filled up with zeros."""
    spare = round_up(rows.shape[1]) - rows.shape[1]
    return Dense(
        np.ascontiguousarray(np.pad(rows, ((0, 0), (0, spare))), np.float16),
        np.pad(weights.bias, (0, spare)).astype(np.float32),
        weights.act,
    )


def point_of(weights: ConvWeights) -> Dense:
    """Return a convolution of single pixels behind another, for all channels that the other stores."""
    rows = weights.weight[:, :, 0, 0].T
    return dense_of(np.pad(rows, ((0, round_up(len(rows)) - len(rows)), (0, 0))), weights)


def taps_of(op: Op) -> Taps:
    """Return a depthwise convolution by tap, the output channels filled up with zeros."""
    assert op.weights
    weight = op.weights.weight.reshape(len(op.weights.bias), -1).T
    spare = round_up(weight.shape[1]) - weight.shape[1]
    return Taps(
        np.ascontiguousarray(np.pad(weight, ((0, 0), (0, spare))), np.float16),
        np.pad(op.weights.bias, (0, spare)).astype(np.float32),
        op.weights.act, op.kernel, op.stride, op.pad,
    )  # fmt: skip
