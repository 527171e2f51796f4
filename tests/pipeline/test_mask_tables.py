"""The mask kernel's shared memory: enough for every unit, and never more than a block is given."""

from __future__ import annotations

import pytest

from yolotrt.geometry.letterbox import Letterbox
from yolotrt.pipeline.device.masks import MaskTables

GIVEN = 48 * 1024
"""Bytes of shared memory that a block has without being asked specially: CUDA C++ Programming Guide."""

OF_THE_KERNEL = 64 * 4 + 64
"""Bytes that masks.cu declares: coefficients and a record."""


@pytest.mark.parametrize(
    ("image_wh", "side"),
    [((139, 139), 1280), ((640, 640), 640), ((3840, 2160), 640), ((184, 184), 1024), ((33, 1500), 640),
     ((11580, 6514), 640), ((60000, 8), 640), ((1, 1), 640)],
)  # fmt: skip
def test_shared_memory_holds_every_unit(image_wh: tuple[int, int], side: int) -> None:
    tables = MaskTables.of(Letterbox.fit(image_wh, (side, side)), (side // 4, side // 4))
    width, height = image_wh
    across = int(tables.columns["first"][-1]) + 3 - int(tables.columns["first"][0])
    needed = 0
    for begin in range(height):
        last = min(begin + tables.unit_rows, height) - 1
        down = int(tables.rows["first"][last]) + 3 - int(tables.rows["first"][begin])
        needed = max(needed, 4 * (across * down + -(-width // 32) * (last + 1 - begin)))
    assert needed <= tables.shared
    assert tables.unit_rows == 1 or tables.shared + OF_THE_KERNEL <= GIVEN
