"""What an inference library's input or output looks like in device memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class TensorType:
    """Type and shape of one tensor, dense and in C order.

    Attributes:
        dtype: float32 or float16.
        shape: With the batch first.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def half(self) -> bool:
        """Whether the values are FP16."""
        return self.dtype == np.float16

    @property
    def nbytes(self) -> int:
        """Size of the whole tensor."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def item_nbytes(self) -> int:
        """Size of one item of the batch."""
        return self.nbytes // self.shape[0]

    def with_batch(self, batch: int) -> TensorType:
        """Return the same tensor for another batch size."""
        return TensorType(self.dtype, (batch, *self.shape[1:]))
