"""Where the masks of one frame in flight go: memory that leaves with its results, another for each frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from yolotrt.arrays import I64, U8
from yolotrt.geometry.packed import BIT
from yolotrt.pipeline.device.results import Results
from yolotrt.pipeline.device.reuse import LockedBlock, LockedMemory, ReusedMemory


@dataclass(frozen=True)
class Drawn:
    """The masks of all passes over a frame.

    Attributes:
        bits: All of them.
        begins: Where those of each pass begin in it, bytes.
        sizes: How many bytes they are.
    """

    bits: U8
    begins: Sequence[int]
    sizes: Sequence[int]

    def of(self, index: int) -> U8:
        """Return the masks of one pass."""
        return self.bits[self.begins[index] :][: self.sizes[index]]

    def placed(self, pieces: I64) -> I64:
        """Return pieces whose bits count as if the passes' masks lay one behind the other as they lie here.

        Args:
            pieces: See :attr:`yolotrt.geometry.packed.PackedMasks.pieces`.
        """
        found: I64 = pieces.copy()
        end = gap = 0
        for begin, size in zip(self.begins[1:], self.sizes, strict=False):
            end += size
            wider = begin - end - gap  # how much further off they lie than those before
            found[:, BIT] += (pieces[:, BIT] >= end * 8) * (wider * 8)
            gap += wider
        return found


class MaskMemory:
    """The memory of one frame in flight, to which the GPU writes masks.

    Args:
        locked: Gives blocks; one is taken from it for each frame whose masks leave.
        copies: Memory for masks that are copied, since too many blocks are held.
        results: The passes over the frame.
    """

    def __init__(self, locked: LockedMemory, copies: ReusedMemory, results: Sequence[Results]) -> None:
        self._locked, self._copies, self._results = locked, copies, results
        rooms = [4 * r.words for r in results]
        self._begins = [sum(rooms[:i]) for i in range(len(rooms))]
        self._nbytes = sum(rooms)
        self._block = self._draw_into(locked.take(self._nbytes) or locked.make(self._nbytes))

    def read(self) -> Drawn:
        """Return the masks of the frame that has been drawn; the next one is drawn elsewhere."""
        sizes = [r.mask_bytes for r in self._results]
        spare = self._locked.take(self._nbytes) if any(sizes) else None
        if spare is not None:
            whole, self._block = self._locked.lend(self._block), self._draw_into(spare)
            return Drawn(whole, self._begins, sizes)
        memory: U8 = np.frombuffer(self._block.memory, np.uint8)
        parts = [memory[begin : begin + size] for begin, size in zip(self._begins, sizes, strict=True)]
        bits = np.concatenate(parts, out=self._copies.take(sum(sizes)))
        return Drawn(bits, [sum(sizes[:i]) for i in range(len(sizes))], sizes)

    def close(self) -> None:
        """Give the block back."""
        self._locked.give_back(self._block)

    def _draw_into(self, block: LockedBlock) -> LockedBlock:
        for results, begin in zip(self._results, self._begins, strict=True):
            results.draw_into(block.address + begin)
        return block
