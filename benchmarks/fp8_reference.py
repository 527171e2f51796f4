"""What a convolution of a fused network gives in FP16, INT8 or FP8, added up exactly: NumPy, one image."""

from __future__ import annotations

from typing import Any, cast

import ml_dtypes
import numpy as np

from yolotrt.backends.fused.steps import Conv

E4M3 = ml_dtypes.float8_e4m3fn
MOST = {E4M3: 448.0}
"""What larger numbers are stored as."""


def as_fp8(values: np.ndarray) -> np.ndarray:
    """Return integers as e4m3, to be taken for INT8; what is FP16 stays that."""
    if values.dtype != np.int8:
        return values
    return values.astype(np.float32).astype(E4M3).view(np.int8)


def stored_as(values: np.ndarray, dtype: Any) -> np.ndarray:
    """Return what is left of values when they are stored as FP16, INT8 or FP8."""
    if dtype is np.int8:
        kept = np.clip(np.rint(values), -128, 127)
    else:
        most = MOST.get(dtype, np.inf)
        kept = np.clip(values, -most, most).astype(np.float32).astype(dtype).astype(np.float64)
    return cast("np.ndarray", kept)


def convolved(step: Conv, image: np.ndarray, dtype: Any) -> np.ndarray:
    """Return a convolution with what is behind it, before it is stored.

    Args:
        step: One without residual; of FP8, its weights are called INT8.
        image: (height, width, channels), as it is stored.
        dtype: That the products are of.

    Returns:
        (height, width, channels); of INT8 and FP8, in units of what is stored.
    """
    rounding = step.rounding
    image = np.pad(image.astype(np.float64), ((step.pad, step.pad), (step.pad, step.pad), (0, 0)))
    (width, height), k, s = step.out_wh, step.kernel, step.stride
    taps = [image[y : y + s * height : s, x : x + s * width : s] for y in range(k) for x in range(k)]
    sums = np.concatenate(taps, axis=-1).reshape(height * width, -1) @ _numbers(step.dense.weight, dtype)
    counts = 1.0 if rounding.products is None else rounding.products
    v = _activated(sums * counts + step.dense.bias, step.dense.act)
    if step.point:
        if rounding.point is None:
            v = stored_as(v, np.float16) @ _numbers(step.point.weight, np.float16)
        else:
            between = stored_as(v / rounding.inner, dtype)
            v = between @ _numbers(step.point.weight, dtype) * rounding.point
        v = _activated(v + step.point.bias, step.point.act)
    if dtype is not np.float16 and rounding.store:
        v = v / rounding.store.steps
    return v.reshape(height, width, -1)


def _numbers(weight: np.ndarray, dtype: Any) -> np.ndarray:
    of_fp8 = dtype is E4M3 and weight.dtype == np.int8
    return (weight.view(E4M3) if of_fp8 else weight).astype(np.float64)


def _activated(v: np.ndarray, act: str) -> np.ndarray:
    return v / (1 + np.exp(-np.clip(v, -80, 80))) if act == "silu" else v
