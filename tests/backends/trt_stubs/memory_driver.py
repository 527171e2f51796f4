"""A CUDA driver whose device is the host's memory, so that copies really copy.

It counts what is allocated, refuses to free twice, and can be made to run out of memory.
"""

from __future__ import annotations

import ctypes

from yolotrt.cuda.driver import DeviceInfo, OutOfDeviceMemory


class MemoryDriver:
    name = "memory"
    captures = False
    waits_across = False

    def __init__(self, total: int = 1 << 30) -> None:
        self.total = total
        self.blocks: dict[int, tuple[object, int]] = {}
        self.streams: set[int] = set()
        self.released = 0
        self._next = 1

    def info(self) -> DeviceInfo:
        return DeviceInfo(0, "Test GPU", "sm_120", 36, self.total, "13.0", "0000:01:00.0")

    def bind(self) -> None:
        pass

    def release(self) -> None:
        self.released += 1

    def memory(self) -> tuple[int, int]:
        return self.total - sum(n for _, n in self.blocks.values()), self.total

    def allocate(self, nbytes: int) -> int:
        if nbytes > self.memory()[0]:
            raise OutOfDeviceMemory(f"no {nbytes} bytes")
        block = ctypes.create_string_buffer(nbytes + 256)
        address = -(-ctypes.addressof(block) // 256) * 256
        self.blocks[address] = (block, nbytes)
        return address

    def free(self, address: int) -> None:
        del self.blocks[address]

    allocate_host = allocate
    free_host = free

    def copy(self, target: int, source: int, nbytes: int, stream: int) -> None:
        assert stream in self.streams
        assert nbytes <= min(self.blocks[target][1], self.blocks[source][1])
        ctypes.memmove(target, source, nbytes)

    def new_stream(self) -> int:
        self._next += 1
        self.streams.add(self._next)
        return self._next

    def destroy_stream(self, stream: int) -> None:
        self.streams.remove(stream)

    def synchronize(self, stream: int) -> None:
        assert stream in self.streams
