"""Compares what a GPU's passes found with what they found before, there: the host waits for flags alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from yolotrt.arrays import I32
from yolotrt.cuda.device import Buffer, Device, Launch, PinnedBuffer, Scope, Stream
from yolotrt.cuda.driver import Argument
from yolotrt.geometry.tiles import TileGrid
from yolotrt.pipeline.choosing import SAME_PLACE, TOLD, UNSURE
from yolotrt.pipeline.device.decode import DeviceDecoder
from yolotrt.pipeline.device.results import CANDIDATE

_THREADS = 64


@dataclass(frozen=True)
class _Before:
    """What a pass found in the frame before."""

    decoder: DeviceDecoder
    kept: Buffer
    counts: Buffer

    @classmethod
    def of(cls, scope: Scope, decoder: DeviceDecoder) -> _Before:
        counts = scope.constant(np.zeros(decoder.images, np.int32))
        return cls(decoder, scope.buffer(decoder.images * decoder.limit * CANDIDATE.itemsize), counts)

    @property
    def arguments(self) -> list[Argument]:
        return [
            ("pointer", self.decoder.kept.address), ("pointer", self.decoder.counts.address),
            ("pointer", self.kept.address), ("pointer", self.counts.address),
        ]  # fmt: skip

    def remember(self, stream: Stream) -> None:
        stream.copy(self.kept.address, self.decoder.kept.address, self.kept.nbytes)
        stream.copy(self.counts.address, self.decoder.counts.address, self.counts.nbytes)


class DeviceSettling:
    """Says where something came, went or moved between two looks, and where the global pass has news.

    Args:
        device: The GPU.
        scope: Owns the memory.
        grid: The tiles.
        corners: Upper left corners of all of them, on the GPU.
        tiles: Decodes them.
        whole: Decodes the global pass, if there is one.
    """

    def __init__(
        self,
        device: Device,
        scope: Scope,
        grid: TileGrid,
        corners: Buffer,
        tiles: DeviceDecoder,
        whole: DeviceDecoder | None,
    ) -> None:
        count = len(grid.origins)
        self._device, self._done = device, scope.event()
        self._unsettled, self._news = (scope.pinned(4 * count) for _ in range(2))
        before = [_Before.of(scope, decoder) for decoder in (tiles, whole) if decoder is not None]
        self._remember = [one.remember for one in before]
        self._launches: list[Launch] = [
            device.launch(
                "chosen", "settle", grid=(count, 1, 1), block=(_THREADS, 1, 1), defines={},
                arguments=[
                    *before[0].arguments, ("int", tiles.limit), ("float", TOLD), ("float", SAME_PLACE),
                    ("pointer", self._unsettled.address),
                ],
            )
        ]  # fmt: skip
        if whole is not None:
            wide, high = grid.content_wh
            self._launches.append(
                device.launch(
                    "chosen", "news_of", grid=(count, 1, 1), block=(_THREADS, 1, 1), defines={},
                    arguments=[
                        *before[1].arguments, ("pointer", corners.address), ("int", wide), ("int", high),
                        ("float", UNSURE), ("float", SAME_PLACE), ("pointer", self._news.address),
                    ],
                )
            )  # fmt: skip

    def start(self, stream: Stream) -> None:
        """Start comparing, behind the passes' detections."""
        for launch in self._launches:
            launch(stream)
        for remember in self._remember:
            remember(stream)
        stream.record(self._done)

    def wait(self) -> tuple[list[int], list[int]]:
        """Wait, and return the tiles that are unsettled, and those with news."""
        self._device.wait(self._done)
        return _flagged(self._unsettled), _flagged(self._news)


def _flagged(memory: PinnedBuffer) -> list[int]:
    flags: I32 = memory.array.view(np.int32)
    found: list[int] = flags.nonzero()[0].tolist()
    return found
