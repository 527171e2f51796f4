"""What a GPU tells of frames is what its references tell. Run under compute-sanitizer too."""

from __future__ import annotations

import numpy as np
import pytest

from tests.cuda.emulator import emulated
from tests.cuda.test_motion_kernels import LIMIT, check_what_travels, scenes, told_by, two_looks, watched
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


def test_only_what_is_looked_at_travels(gpu: Device) -> None:
    check_what_travels(gpu)


def test_what_came_went_or_moved(gpu: Device) -> None:
    for looks in two_looks():
        assert told_by(gpu, looks, LIMIT) == told_by(emulated(), looks, LIMIT) != []
