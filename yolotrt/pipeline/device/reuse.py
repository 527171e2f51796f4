"""Host memory for results that leave the pipeline, used again when nobody holds them any more."""

from __future__ import annotations

import weakref

import numpy as np

from yolotrt.arrays import U8

_KEPT = 4
"""Blocks that wait for the next results."""


class ReusedMemory:
    """Gives arrays whose memory comes back when they and all views of them are gone.

    Memory that is new to a process costs a page fault for each 4 KiB: longer than copying into it takes.
    """

    def __init__(self) -> None:
        self._free: list[bytearray] = []

    def take(self, nbytes: int) -> U8:
        """Return an array of (nbytes,), content undefined."""
        fitting = next((i for i, b in enumerate(self._free) if len(b) >= nbytes), None)
        # A quarter more than is needed, since frames differ.
        block = bytearray(nbytes + nbytes // 4 + 1) if fitting is None else self._free.pop(fitting)
        del self._free[:-_KEPT]
        array: U8 = np.frombuffer(block, np.uint8, nbytes)
        # Views of the array keep it alive, and not the block alone: the block is no array.
        weakref.finalize(array, self._give_back, block).atexit = False
        return array

    def _give_back(self, block: bytearray) -> None:
        """Keep a block for the next results; called wherever the last of its arrays goes.

        That can be in the middle of :meth:`take`, so it only appends: what was found there stays where it is.
        """
        self._free.append(block)
