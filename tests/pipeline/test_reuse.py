"""Memory of results comes back only when nobody can see it any more."""

from __future__ import annotations

import gc

import numpy as np

from yolotrt.pipeline.device.reuse import ReusedMemory


def address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def test_memory_is_used_again_when_it_is_free() -> None:
    memory = ReusedMemory()
    first = memory.take(1000)
    where = address(first)
    del first
    gc.collect()
    assert address(memory.take(900)) == where


def test_a_view_of_a_view_keeps_it() -> None:
    memory = ReusedMemory()
    first = memory.take(1000)
    first[:] = 7
    view = first[100:][:800].view(np.uint32).reshape(10, -1)[2:4]
    del first
    gc.collect()
    others = [memory.take(1000) for _ in range(5)]
    for other in others:
        other[:] = 9
    assert (view.view(np.uint8) == 7).all()


def test_it_keeps_a_few_blocks_and_gives_none_that_is_too_small() -> None:
    memory = ReusedMemory()
    arrays = [memory.take(100) for _ in range(20)]
    arrays.clear()
    gc.collect()
    assert 0 < len(memory._free) < 20
    assert len(memory.take(5000)) == 5000
    assert len(memory.take(0)) == 0
