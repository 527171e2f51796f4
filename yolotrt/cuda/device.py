"""A GPU whose memory, streams, events and graphs have owners.

A :class:`Device` lends resources through :class:`Scope` objects. Closing a scope frees what it made, last
first; closing the device closes all its scopes. Nothing else frees anything.
"""

from __future__ import annotations

import ctypes
import mmap
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from yolotrt.cuda.compile import compiled
from yolotrt.cuda.driver import Argument, DeviceInfo, DeviceLost, Dim, Driver
from yolotrt.cuda.resources import Buffer as Buffer
from yolotrt.cuda.resources import Event as Event
from yolotrt.cuda.resources import Graph as Graph
from yolotrt.cuda.resources import Kernel as Kernel
from yolotrt.cuda.resources import Launch as Launch
from yolotrt.cuda.resources import PinnedBuffer as PinnedBuffer
from yolotrt.cuda.resources import Stream as Stream
from yolotrt.errors import UsageError

_SHARED_AS_IT_IS = 48 * 1024
"""Bytes of dynamic shared memory that every kernel may have."""

Compiler = Callable[[str, str, Mapping[str, int], Path | None], bytes]


class Scope:
    """Owns what it makes. Close it, or use it as a context manager. For one thread at a time."""

    def __init__(self, driver: Driver, live: Counter[str], lock: threading.RLock) -> None:
        self._driver = driver
        self._live = live
        self._lock = lock
        self._made: list[tuple[str, Callable[[int], None], int]] = []
        self.closed = False

    def buffer(self, nbytes: int) -> Buffer:
        """Return new device memory, content undefined.

        Raises:
            OutOfDeviceMemory: There is not enough.
        """
        nbytes = max(nbytes, 1)
        return Buffer(self._own("buffer", self._driver.allocate(nbytes), self._driver.free), nbytes)

    def constant(self, array: npt.NDArray[Any]) -> Buffer:
        """Return new device memory that holds a contiguous array; waits until it is there.

        Raises:
            OutOfDeviceMemory: There is not enough.
        """
        target = self.buffer(array.nbytes)
        with Scope(self._driver, self._live, self._lock) as staging:
            source, stream = staging.pinned(array.nbytes), staging.stream()
            source.array[: array.nbytes] = array.reshape(-1).view(np.uint8)
            stream.copy(target.address, source.address, array.nbytes)
            stream.synchronize()
        return target

    def pinned(self, nbytes: int) -> PinnedBuffer:
        """Return new page-locked host memory, zeroed.

        Raises:
            OutOfDeviceMemory: There is not enough.
        """
        nbytes = max(nbytes, 1)
        address = self._own("pinned", self._driver.allocate_host(nbytes), self._driver.free_host)
        array = np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(address))
        array[:] = 0
        return PinnedBuffer(address, array)

    def lock(self, memory: mmap.mmap) -> int:
        """Page-lock memory that outlives this scope, and return its address for kernels.

        Raises:
            OutOfDeviceMemory: There is not enough that can be page-locked.
        """
        address = np.frombuffer(memory, np.uint8).ctypes.data
        at = self._driver.lock_host(address, len(memory))

        def unlock(begin: int, _held: mmap.mmap = memory) -> None:  # it may go only when it is unlocked
            self._driver.unlock_host(begin)

        self._own("locked", address, unlock)
        return at

    def stream(self) -> Stream:
        """Return a new stream that does not synchronise with the default stream."""
        return Stream(
            self._driver, self._own("stream", self._driver.new_stream(), self._driver.destroy_stream)
        )

    def kernel(self, cubin: bytes, name: str, *, threads: int, shared: int) -> Kernel:
        """Load machine code and return a kernel of it.

        Args:
            cubin: Machine code for this GPU.
            name: Name of the function in it.
            threads: Per block.
            shared: Bytes of dynamic shared memory per block.

        Raises:
            DeviceError: The code is not for this GPU, or needs more than it has.
        """
        module = self._own("module", self._driver.load(cubin), self._driver.unload)
        function = self._driver.function(module, name)
        if shared > _SHARED_AS_IT_IS:
            self._driver.allow_shared(function, shared)
        return Kernel(self._driver, function, threads, shared)

    def event(self, *, timing: bool = False) -> Event:
        """Return a new event."""
        handle = self._driver.new_event(timing=timing)
        return Event(self._own("event", handle, self._driver.destroy_event))

    def capture(self, stream: Stream, work: Callable[[], None]) -> Graph:
        """Return a graph of what ``work`` does in the stream and in streams that it ties to it.

        Args:
            stream: Where the graph begins and ends; nothing may be running in it.
            work: Enqueues everything, and has run once before outside a capture.

        Raises:
            UsageError: The binding cannot capture.
            DeviceError: Something in ``work`` cannot be captured.
        """
        if not self._driver.captures:
            raise UsageError(
                f"CUDA graphs are not available through {self._driver.name}.",
                hint="Use --dispatch streams, or pip install cuda-bindings.",
            )
        self._driver.begin_capture(stream.handle)
        try:
            work()
            handle = self._driver.end_capture(stream.handle)
        except BaseException:
            self._driver.abandon_capture(stream.handle)
            raise
        return Graph(self._driver, self._own("graph", handle, self._driver.destroy_graph))

    def close(self) -> None:
        """Free everything, last first. Does nothing the second time.

        After a failure of the GPU, freeing fails too; that is passed over, as the memory went with it.
        """
        self.closed = True
        while self._made:
            kind, free, handle = self._made.pop()
            with self._lock:
                self._live[kind] -= 1
            try:
                free(handle)
            except DeviceLost:
                continue

    def __enter__(self) -> Scope:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _own(self, kind: str, handle: int, free: Callable[[int], None]) -> int:
        self._made.append((kind, free, handle))
        with self._lock:
            self._live[kind] += 1
        return handle


class Device:
    """One GPU.

    Args:
        driver: Its primary context through some binding.
        compiler: Gives the machine code of a kernel file; see :func:`yolotrt.cuda.compile.compiled`.

    Attributes:
        captures, waits_across: As the driver's.
    """

    def __init__(self, driver: Driver, compiler: Compiler = compiled) -> None:
        self._driver = driver
        self._compiler = compiler
        self._lock = threading.RLock()
        self._live: Counter[str] = Counter()
        self._scopes: list[Scope] = []
        self._modules: dict[tuple[str, tuple[tuple[str, int], ...]], int] = {}
        self.info: DeviceInfo = driver.info()
        self.captures, self.waits_across = driver.captures, driver.waits_across

    @property
    def name(self) -> str:
        """What the command line calls it, such as ``cuda:0``."""
        return f"cuda:{self.info.index}"

    def reach(self, other: Device) -> bool:
        """Let kernels here read another GPU's memory, and return whether they can; binds this GPU."""
        return self._driver.reach(other._driver)

    @property
    def live(self) -> dict[str, int]:
        """Number of resources in use, by kind; what is all freed is left out."""
        return {kind: n for kind, n in self._live.items() if n}

    def bind(self) -> None:
        """Make the device current in the calling thread; every thread that uses it has to."""
        self._driver.bind()

    def memory(self) -> tuple[int, int]:
        """Return free and total memory, bytes, counting all processes on the GPU."""
        return self._driver.memory()

    def scope(self) -> Scope:
        """Return a new scope; it is closed with the device at the latest."""
        scope = Scope(self._driver, self._live, self._lock)
        with self._lock:
            self._scopes = [s for s in self._scopes if not s.closed]
            self._scopes.append(scope)
        return scope

    def foreign_stream(self, handle: int) -> Stream:
        """Return a stream that somebody else owns."""
        return Stream(self._driver, handle)

    def seconds(self, begin: Event, end: Event) -> float:
        """Return the time between two timing events that have been reached."""
        return self._driver.elapsed(begin.handle, end.handle)

    def wait(self, event: Event) -> None:
        """Wait on the host for an event."""
        self._driver.synchronize_event(event.handle)

    def launch(
        self,
        file: str,
        kernel: str,
        *,
        grid: Dim,
        block: Dim,
        arguments: Sequence[Argument],
        defines: Mapping[str, int],
        shared: int = 0,
    ) -> Launch:
        """Return a kernel that is ready to start.

        Args:
            file: Name of the kernel file, without ``.cu``.
            kernel: Name of the function.
            grid: Blocks.
            block: Threads per block.
            arguments: In the kernel's order.
            defines: Which variant of the file.
            shared: Bytes of dynamic shared memory.

        Raises:
            BuildError: The kernels do not compile for this GPU.
        """
        key = (file, tuple(sorted(defines.items())))
        if key not in self._modules:
            self._modules[key] = self._driver.load(self._compiler(file, self.info.arch, defines, None))
        function = self._driver.function(self._modules[key], kernel)
        return Launch(self._driver, function, grid, block, shared, arguments)

    def close(self) -> None:
        """Free everything and give the context back."""
        self.bind()
        while self._scopes:
            self._scopes.pop().close()
        try:
            while self._modules:
                self._driver.unload(self._modules.popitem()[1])
            self._driver.release()
        except DeviceLost:
            pass  # the context went with the device

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
