"""What other GPUs found, brought to one that merges it; see kernels/gather.cu."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from yolotrt.cuda.device import Buffer, Device, Launch, Scope
from yolotrt.pipeline.device.decode import THREADS, DeviceDecoder
from yolotrt.pipeline.device.results import HEADER, RECORD, Results

FAR = np.dtype([(name, "<u8") for name in ("header", "records", "bits", "place")])
"""``Far`` of passes.cuh."""

_BLOCKS = 2
"""Blocks per multiprocessor for each pass: enough to keep a link between GPUs busy."""


@dataclass(frozen=True)
class FoundCopy:
    """Room here for what a pass of another GPU finds."""

    images: int
    limit: int
    header: Buffer
    records: Buffer

    @classmethod
    def of(cls, scope: Scope, decoder: DeviceDecoder) -> FoundCopy:
        """Return room for what a decoder can find."""
        rows = decoder.images * decoder.limit
        return cls(
            decoder.images, decoder.limit, scope.buffer(HEADER.itemsize), scope.buffer(rows * RECORD.itemsize)
        )


@dataclass(frozen=True)
class DrawnCopy:
    """Room here for the masks that a pass of another GPU draws."""

    drawn: Buffer
    words: int

    @classmethod
    def of(cls, scope: Scope, results: Results) -> DrawnCopy:
        """Return room for as many as there is room for there."""
        return cls(scope.buffer(results.words * 4), results.words)


@dataclass(frozen=True)
class FarPass:
    """A pass of another GPU.

    Attributes:
        decoder: Finds there.
        results: Of one frame in flight.
        reached: Whether kernels here can read that GPU's memory; they read what the host gets otherwise.
    """

    decoder: DeviceDecoder
    results: Results
    reached: bool

    @property
    def row(self) -> tuple[int, int, int, int]:
        """Where its results lie, as one of :data:`FAR`."""
        results = self.results
        if self.reached:
            return self.decoder.header.address, self.decoder.records.address, results.drawn.address, 0
        return results.header.address, results.records.address, 0, results.place.address


def gathering(
    device: Device, scope: Scope, passes: np.ndarray[tuple[int], np.dtype[np.void]], far: Sequence[FarPass]
) -> Launch:
    """Return the kernel that copies other GPUs' passes.

    Args:
        device: Where to.
        scope: Owns tables.
        passes: Where the copies go, (passes,) of ``PASS`` of merge.py.
        far: Where they come from.
    """
    tables = (passes, np.array([one.row for one in far], FAR))
    return device.launch(
        "gather",
        "gather",
        grid=(device.info.multiprocessors * _BLOCKS, len(far), 1),
        block=(THREADS, 1, 1),
        arguments=[("pointer", scope.constant(table).address) for table in tables],
        defines={},
    )
