"""The same seam over pycuda on a real GPU: memory, streams, events and kernels; no graphs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.cuda.emulator import emulated
from tests.cuda.gpu_work import cut, decoded, random_heads
from yolotrt.cuda.device import Device
from yolotrt.cuda.driver import OutOfDeviceMemory
from yolotrt.cuda.pycuda_driver import PycudaDriver
from yolotrt.errors import EnvironmentFault, UsageError
from yolotrt.geometry.letterbox import Letterbox
from yolotrt.geometry.tiles import tile_grid
from yolotrt.pipeline.decode import DecodeSettings

pytestmark = pytest.mark.gpu


@pytest.fixture
def device() -> Iterator[Device]:
    try:
        device = Device(PycudaDriver(0))
    except EnvironmentFault as exc:
        pytest.skip(exc.message)
    yield device
    assert device.live == {}
    device.close()


def test_kernels_compute_the_same(device: Device) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (150, 200, 3), np.uint8)
    grid = tile_grid((200, 150), (64, 64))
    tiles = range(len(grid.origins))
    np.testing.assert_array_equal(cut(device, frame, grid, tiles), cut(emulated(), frame, grid, tiles))
    spec, head, prototypes = random_heads("raw", images=3, seed=1)
    placement, settings = Letterbox.fit((200, 150), (64, 64)), DecodeSettings(conf=0.3)
    expected = decoded(emulated(), head, prototypes, spec, placement, settings)
    for ours, theirs in zip(
        decoded(device, head, prototypes, spec, placement, settings), expected, strict=True
    ):
        np.testing.assert_array_equal(ours.boxes, theirs.boxes)


def test_graphs_are_refused_and_memory_faults_are_clear(device: Device) -> None:
    with device.scope() as scope:
        with pytest.raises(UsageError, match="not available through pycuda"):
            scope.capture(scope.stream(), lambda: None)
        with pytest.raises(OutOfDeviceMemory):
            scope.buffer(1 << 46)
