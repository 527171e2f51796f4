"""What a scope makes on a GPU: memory, streams, events, launches and graphs. The scope frees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yolotrt.cuda.driver import Argument, Dim, Driver


@dataclass(frozen=True)
class Buffer:
    """Device memory.

    Attributes:
        address: Where it begins, a multiple of 256.
        nbytes: Its size.
    """

    address: int
    nbytes: int


@dataclass(frozen=True)
class PinnedBuffer:
    """Page-locked host memory that kernels can write to.

    Attributes:
        address: Where it begins, on the host and on the device.
        array: The same memory as (nbytes,) uint8. Gone when the scope that made it closes.
    """

    address: int
    array: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Event:
    """A point in a stream."""

    handle: int


class Stream:
    """Work in order.

    Attributes:
        handle: The ``cudaStream_t`` as a number, for inference libraries.
    """

    def __init__(self, driver: Driver, handle: int) -> None:
        self._driver = driver
        self.handle = handle

    def copy(self, target: int, source: int, nbytes: int) -> None:
        """Copy between device and page-locked memory."""
        self._driver.copy(target, source, nbytes, self.handle)

    def clear(self, buffer: Buffer) -> None:
        """Set a buffer to zero."""
        self._driver.fill(buffer.address, 0, buffer.nbytes, self.handle)

    def record(self, event: Event, *, readable: bool = False) -> None:
        """Mark this point; see :meth:`yolotrt.cuda.driver.Driver.record`."""
        self._driver.record(event.handle, self.handle, readable=readable)

    def wait(self, event: Event) -> None:
        """Let what comes next wait for an event, perhaps of another stream."""
        self._driver.wait_event(self.handle, event.handle)

    def synchronize(self) -> None:
        """Wait on the host until all is done."""
        self._driver.synchronize(self.handle)

    @property
    def capturing(self) -> bool:
        """Whether what is enqueued here is being captured."""
        return self._driver.captures and self._driver.capturing(self.handle)


class Launch:
    """A kernel with everything that it needs to start, packed once and started many times."""

    def __init__(
        self, driver: Driver, function: int, grid: Dim, block: Dim, shared: int, arguments: Sequence[Argument]
    ) -> None:
        self._driver = driver
        self._what = (function, grid, block, shared)
        self._packed = driver.pack(arguments)

    def __call__(self, stream: Stream) -> None:
        """Start the kernel in a stream."""
        function, grid, block, shared = self._what
        self._driver.launch(function, grid, block, shared, stream.handle, self._packed)


class Kernel:
    """A kernel that was compiled elsewhere."""

    def __init__(self, driver: Driver, function: int, threads: int, shared: int) -> None:
        self._driver = driver
        self._function, self._threads, self._shared = function, threads, shared

    def launch(self, programs: int, arguments: Sequence[Argument]) -> Launch:
        """Return it with its arguments, ready to start on so many blocks."""
        grid, block = (programs, 1, 1), (self._threads, 1, 1)
        return Launch(self._driver, self._function, grid, block, self._shared, arguments)


class Graph:
    """Work that was captured and can be started as a whole."""

    def __init__(self, driver: Driver, handle: int) -> None:
        self._driver = driver
        self._handle = handle

    def launch(self, stream: Stream) -> None:
        """Start it in a stream."""
        self._driver.launch_graph(self._handle, stream.handle)
