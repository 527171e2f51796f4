"""Names of array types that are used everywhere; shapes stand where they are used."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
Bits = npt.NDArray[np.bool_]

Frame = U8
"""A picture, (height, width, 3), BGR unless something else is said."""
