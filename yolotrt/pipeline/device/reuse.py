"""Host memory for results that leave the pipeline, used again when nobody holds them any more."""

from __future__ import annotations

import mmap
import weakref
from dataclasses import dataclass

import numpy as np

from yolotrt.arrays import U8
from yolotrt.cuda.device import Device, Scope
from yolotrt.cuda.driver import OutOfDeviceMemory

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


@dataclass(frozen=True, eq=False)
class LockedBlock:
    """Page-locked memory.

    Attributes:
        memory: On the host.
        address: Where kernels find it.
        scope: Unlocks it.
    """

    memory: mmap.mmap
    address: int
    scope: Scope


class LockedMemory:
    """Page-locked blocks that kernels write and that leave the pipeline as they are.

    A block comes back when its array and all views of it are gone. What is still held when this closes stays
    valid: it is ordinary memory then.

    Args:
        device: The GPU that writes there.
        most: Blocks at once. Page-locked memory is the whole machine's, and results may be kept for long.
    """

    def __init__(self, device: Device, most: int) -> None:
        self._device, self._most = device, most
        self._free: list[LockedBlock] = []
        self._blocks: set[LockedBlock] = set()

    def take(self, nbytes: int) -> LockedBlock | None:
        """Return a block of at least so many bytes that nobody holds, or None if there may be no more.

        Raises:
            OutOfDeviceMemory: Not even one can be page-locked.
        """
        free = list(self._free)  # others may come back meanwhile: they are only ever appended
        for block in free:
            self._free.remove(block)
            if len(block.memory) >= nbytes:
                return block
            self._drop(block)
        if len(self._blocks) >= self._most:
            return None
        try:
            return self.make(nbytes)
        except OutOfDeviceMemory:
            if not self._blocks:
                raise
            self._most = len(self._blocks)  # the machine locks no more: results are copied from now on
            return None

    def make(self, nbytes: int) -> LockedBlock:
        """Return a new block, however many there are; see :meth:`take`."""
        memory = mmap.mmap(-1, -(-max(nbytes, 1) // mmap.PAGESIZE) * mmap.PAGESIZE)
        scope = self._device.scope()
        try:
            block = LockedBlock(memory, scope.lock(memory), scope)
        except BaseException:
            scope.close()
            raise
        self._blocks.add(block)
        return block

    def lend(self, block: LockedBlock) -> U8:
        """Return a block's bytes as an array; the block comes back when that is gone."""
        array: U8 = np.frombuffer(block.memory, np.uint8)
        # Views of the array keep it alive, and not the block alone: the block is no array.
        weakref.finalize(array, self._free.append, block).atexit = False
        return array

    def give_back(self, block: LockedBlock) -> None:
        """Return a block that was not lent."""
        self._free.append(block)

    def close(self) -> None:
        """Unlock all blocks, those that are held, too."""
        while self._blocks:
            self._drop(next(iter(self._blocks)))

    def _drop(self, block: LockedBlock) -> None:
        self._blocks.discard(block)
        block.scope.close()
