"""Memory of results that comes back while other memory is taken."""

from __future__ import annotations

import gc
from typing import ClassVar

import numpy as np

from yolotrt.geometry.packed import BIT
from yolotrt.pipeline.device.mask_memory import Drawn
from yolotrt.pipeline.device.reuse import ReusedMemory


class Returning(bytearray):
    """A free block; asking for its size lets results of others go at that very moment."""

    held: ClassVar[list[np.ndarray]] = []

    def __len__(self) -> int:
        self.held.clear()
        gc.collect()
        return super().__len__()


def test_what_comes_back_while_memory_is_taken_is_not_mistaken_for_it() -> None:
    memory = ReusedMemory()
    Returning.held.extend(memory.take(10) for _ in range(6))
    memory._free += [bytearray(16), Returning(4096)]
    taken = memory.take(4096)
    assert taken.shape == (4096,)
    assert len(memory._free) <= 6


def test_a_result_keeps_its_memory_as_long_as_it_is_held() -> None:
    memory = ReusedMemory()
    first = memory.take(100)
    first[:] = 7
    second = memory.take(100)
    second[:] = 9
    assert (first == 7).all()
    del first
    again = memory.take(100)
    assert again.base is not second.base
    assert (second == 9).all()


def test_masks_of_several_passes_are_found_where_each_begins() -> None:
    begins, sizes = [0, 100, 164, 300], [7, 0, 5, 9]
    drawn = Drawn(np.zeros(400, np.uint8), begins, sizes)
    pieces = np.zeros((21 * 8, 6), np.int64)
    pieces[:, BIT] = np.arange(len(pieces))
    places = [begin * 8 + bit for begin, size in zip(begins, sizes, strict=True) for bit in range(size * 8)]
    assert drawn.placed(pieces)[:, BIT].tolist() == places
    assert pieces[-1, BIT] == len(pieces) - 1, "what is given stays as it is"
