"""What a GPU tells of frames is what its references tell. Run under compute-sanitizer too."""

from __future__ import annotations

import numpy as np
import pytest

from tests.cuda.emulator import emulated
from tests.cuda.test_motion_kernels import scenes, watched
from yolotrt.cuda.device import Device
from yolotrt.pipeline.device.motion import Rows

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("rows", [Rows(2, 0, 1), Rows(6, 2, 2), Rows()], ids=str)
def test_motion(gpu: Device, rows: Rows) -> None:
    frames = scenes()
    motions, numbers = watched(gpu, rows, frames)
    expected, references = watched(emulated(), rows, frames)
    for ours, theirs, motion, other in zip(
        numbers[1:], references[1:], motions[1:], expected[1:], strict=True
    ):
        assert np.abs(ours[:, :2] - theirs[:, :2]).max() <= 1
        np.testing.assert_allclose(ours[:, 2], theirs[:, 2], rtol=1e-3, atol=0.02)
        np.testing.assert_array_equal(motion.changed, other.changed)
