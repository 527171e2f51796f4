"""Weights as the kernels read them: FP16 or INT8, by row, output channels filled up with zeros."""

from __future__ import annotations

import numpy as np

from yolotrt.backends.fused.convolutions import Conv
from yolotrt.backends.fused.parts import Dense, Kept, Rounding, Taps, round_up
from yolotrt.backends.fused.plan_ops import ConvWeights, Op


def dense_of(rows: np.ndarray, weights: ConvWeights) -> Dense:
    """Return weights by row with the output channels filled up with zeros; INT8 rows stay that."""
    spare = round_up(rows.shape[1]) - rows.shape[1]
    stored: type[np.int8] | type[np.float16] = np.int8 if rows.dtype == np.int8 else np.float16
    return Dense(
        np.ascontiguousarray(np.pad(rows, ((0, 0), (0, spare))).astype(stored)),
        np.pad(weights.bias, (0, spare)).astype(np.float32),
        weights.act,
        None if weights.gain is None else np.pad(weights.gain, (0, spare)),
    )


def counts_of(weights: ConvWeights, scale: float) -> np.ndarray:
    """Return what 1 counts for in sums of INT8 products, channels filled up with zeros."""
    assert weights.integers
    counts = weights.integers.scales * np.float32(scale)
    return np.pad(counts, (0, round_up(len(counts)) - len(counts))).astype(np.float32)


def rounding_of(op: Op, kept: Kept | None, *, behind: bool, residual: bool) -> Rounding:
    """Return what is INT8 in a convolution.

    Args:
        op: The convolution.
        kept: How its result is.
        behind: Whether the convolution of single pixels behind it is.
        residual: Whether its residual is.
    """
    return Rounding(
        products=counts_of(op.weights, op.scale) if op.int8 and op.weights else None,
        point=counts_of(op.point, op.point_scale) if behind and op.point else None,
        inner=op.point_scale if behind else 0.0,
        residual=op.residual_scale if residual else 0.0,
        store=kept,
    )


def point_of(weights: ConvWeights, *, int8: bool = False) -> Dense:
    """Return a convolution of single pixels behind another, for all channels that the other stores."""
    values = weights.integers.values if int8 and weights.integers else weights.weight
    rows = values[:, :, 0, 0].T
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


def packed(step: Conv, pack: int) -> Dense:
    """Return a convolution's weights for ``pack`` neighbouring pixels of the result as one.

    Rows are the taps that any of them has, columns the channels of the first pixel, then of the second, and
    so on: each pixel's weights stand where its taps are, with zeros around them.
    """
    dense, kernel = step.dense, step.kernel
    if pack == 1:
        return dense
    across = step.stride * (pack - 1) + kernel
    weight = dense.weight.reshape(kernel, kernel, -1, dense.outputs)
    wide = np.zeros((kernel, across, weight.shape[2], pack, dense.outputs), weight.dtype)
    for i in range(pack):
        wide[:, i * step.stride : i * step.stride + kernel, :, i] = weight
    return Dense(wide.reshape(-1, pack * dense.outputs), np.tile(dense.bias, pack), dense.act)
