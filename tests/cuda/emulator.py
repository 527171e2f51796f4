"""A GPU made of host memory: kernels run in NumPy, and every operation is remembered with its order.

It runs work at once, in the order in which it is issued. That hides mistakes in the ordering, so each
operation also remembers what it comes after (its stream, events, the host's waiting) and what it read
and wrote: :meth:`HostDriver.races` finds operations that touch the same memory in no order.
"""

from __future__ import annotations

import ctypes
import json
import threading
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.cuda.reference import KERNELS
from yolotrt.cuda.device import Device
from yolotrt.cuda.driver import Argument, DeviceInfo, DeviceLost, Dim, OutOfDeviceMemory

HOST = 0
"""The host, as a stream: what one of its threads waits for comes before whatever that thread issues later."""


@dataclass
class Operation:
    """Something that was issued to a stream."""

    name: str
    stream: int
    after: set[int]
    reads: list[tuple[int, int]] = field(default_factory=list)
    writes: list[tuple[int, int]] = field(default_factory=list)

    def read(self, address: int, dtype: Any, *shape: int) -> npt.NDArray[Any]:
        view = _view(address, dtype, shape)
        self.reads.append((address, address + view.nbytes))
        return view.copy()

    def write(self, address: int, dtype: Any, *shape: int) -> npt.NDArray[Any]:
        view = _view(address, dtype, shape)
        self.writes.append((address, address + view.nbytes))
        return view


Work = Callable[[Operation], None]


@dataclass
class Captured:
    """A graph: operations with what they come after, by their place in it."""

    nodes: list[tuple[str, set[int], Work]] = field(default_factory=list)
    last: dict[int, int] = field(default_factory=dict)
    events: dict[int, int] = field(default_factory=dict)
    streams: set[int] = field(default_factory=set)


class HostDriver:
    """See :class:`yolotrt.cuda.driver.Driver`.

    Attributes:
        operations: Everything that ran, in the order in which it was issued.
        memory_limit: Bytes of device memory.
        fails_at: Name of an operation that finds the GPU lost; empty for none.
        reached: GPUs whose memory it reads.

    Args:
        index: Its number.
        memory_limit: As above.
        captures: Whether it captures graphs.
        beside: Another GPU of the same machine: operations of both are in one record, and in one order.
        peers: Whether it can read the memory of others.
        locked: Host memory of others that is page-locked: address and size.
    """

    name = "the emulator"

    @staticmethod
    def count() -> int:
        return 1

    waits_across = True

    def __init__(
        self, index: int = 0, *, memory_limit: int = 1 << 34, captures: bool = True,
        beside: HostDriver | None = None, peers: bool = True,
    ) -> None:  # fmt: skip
        self.index, self.memory_limit, self.captures = index, memory_limit, captures
        self.operations: list[Operation] = []
        self.fails_at = ""
        self.reached: list[int] = []
        self._peers = peers
        self._current: dict[int, HostDriver] = {}
        self.calls: list[str] = []
        self._handles = count(1000 * (index + 1))
        self._clock = count()
        self._marks: dict[int, int] = {}
        self._memory: dict[int, npt.NDArray[np.uint8]] = {}
        self._host: dict[int, npt.NDArray[np.uint8]] = {}
        self.locked: dict[int, int] = {}
        self._last: dict[int, int] = {}
        self._waited: dict[int | None, int] = {}
        self._events: dict[int, int | None] = {}
        self._modules: dict[int, tuple[str, dict[str, int]]] = {}
        self._functions: dict[int, tuple[str, dict[str, int]]] = {}
        self._capture: Captured | None = None
        self._graphs: dict[int, Captured] = {}
        self._lock = threading.RLock()
        if beside is not None:
            order = ("operations", "_clock", "_marks", "_last", "_waited", "_events")
            for name in (*order, "_current", "_handles", "_lock"):
                setattr(self, name, getattr(beside, name))

    # -- the driver ----------------------------------------------------------------------------------------

    def info(self) -> DeviceInfo:
        place = f"0000:{self.index + 1:02x}:00.0"
        return DeviceInfo(self.index, "Emulator", "sm_90", 4, self.memory_limit, "13.0", place)

    def bind(self) -> None:
        self._current[threading.get_ident()] = self

    def reach(self, other: HostDriver) -> bool:
        self.bind()
        if self._peers:
            self.reached.append(other.index)
        return self._peers

    def release(self) -> None:
        self.calls.append("release")

    def memory(self) -> tuple[int, int]:
        return self.memory_limit - sum(a.nbytes for a in self._memory.values()), self.memory_limit

    def allocate(self, nbytes: int) -> int:
        self._require_current("allocate")
        if nbytes > self.memory()[0]:
            raise OutOfDeviceMemory(f"Not enough memory on cuda:{self.index}.")
        address, array = _aligned(nbytes)
        self._memory[address] = array
        return address

    def free(self, address: int) -> None:
        self._require_alive("free")
        del self._memory[address]

    def allocate_host(self, nbytes: int) -> int:
        address, array = _aligned(nbytes)
        self._host[address] = array
        return address

    def free_host(self, address: int) -> None:
        del self._host[address]

    def lock_host(self, address: int, nbytes: int) -> int:
        assert address % 4096 == nbytes % 4096 == 0
        assert address not in self.locked
        self.locked[address] = nbytes
        return address

    def unlock_host(self, address: int) -> None:
        del self.locked[address]

    def copy(self, target: int, source: int, nbytes: int, stream: int) -> None:
        def work(op: Operation) -> None:
            data = op.read(source, np.uint8, nbytes)
            op.write(target, np.uint8, nbytes)[:] = data

        self.submit("copy", stream, work)

    def fill(self, address: int, byte: int, nbytes: int, stream: int) -> None:
        self.submit("fill", stream, lambda op: op.write(address, np.uint8, nbytes).fill(byte))

    def new_stream(self) -> int:
        return next(self._handles)

    def destroy_stream(self, stream: int) -> None:
        self.calls.append("destroy_stream")

    def synchronize(self, stream: int) -> None:
        self._require_alive("synchronize")
        with self._lock:
            assert self._capture is None or stream not in self._capture.streams, "waiting inside a capture"
            self._host_waits_for(self._last.get(stream))

    def new_event(self, *, timing: bool) -> int:
        event = next(self._handles)
        self._events[event] = None
        return event

    def destroy_event(self, event: int) -> None:
        del self._events[event]

    def record(self, event: int, stream: int, *, readable: bool = False) -> None:
        with self._lock:
            self._marks[event] = next(self._clock)
            if self._captures(stream):
                assert self._capture is not None
                self._capture.events[event] = self._capture.last.get(stream, -1)
            else:
                self._events[event] = self._last.get(stream, -1)

    def wait_event(self, stream: int, event: int) -> None:
        with self._lock:
            if self._capture is not None and event in self._capture.events:
                self._capture.streams.add(stream)
                before = {self._capture.events[event], self._capture.last.get(stream, -1)}
                self._submit_captured("wait", stream, lambda op: None, before)
                return
            recorded = self._events[event]
            self._submit("wait", stream, lambda op: None, {-1 if recorded is None else recorded})

    def synchronize_event(self, event: int) -> None:
        self._require_alive("synchronize_event")
        with self._lock:
            self._host_waits_for(self._events[event])

    def elapsed(self, begin: int, end: int) -> float:
        return (self._marks[end] - self._marks[begin]) * 1e-6

    def load(self, cubin: bytes) -> int:
        handle = next(self._handles)
        file, defines = json.loads(cubin)
        self._modules[handle] = (file, defines)
        return handle

    def unload(self, module: int) -> None:
        del self._modules[module]

    def function(self, module: int, name: str) -> int:
        handle = next(self._handles)
        self._functions[handle] = (name, self._modules[module][1])
        return handle

    def pack(self, arguments: Sequence[Argument]) -> Any:
        return [value for _, value in arguments]

    def launch(self, function: int, grid: Dim, block: Dim, shared: int, stream: int, packed: Any) -> None:
        name, defines = self._functions[function]
        self.submit(name, stream, lambda op: KERNELS[name](op, defines, packed, grid))

    def capturing(self, stream: int) -> bool:
        return self._captures(stream)

    def begin_capture(self, stream: int) -> None:
        assert self._capture is None
        self._capture = Captured(streams={stream})

    def end_capture(self, stream: int) -> int:
        graph, self._capture = self._capture, None
        assert graph is not None
        leaves = set(range(len(graph.nodes))) - {a for _, after, _ in graph.nodes for a in after}
        assert leaves <= {graph.last[stream]}, "a forked stream was not joined before the capture ended"
        handle = next(self._handles)
        self._graphs[handle] = graph
        return handle

    def abandon_capture(self, stream: int) -> None:
        self._capture = None

    def launch_graph(self, graph: int, stream: int) -> None:
        self.calls.append("launch_graph")
        with self._lock:
            before = {self._last.get(stream, -1), *self._host_waited_for()}
            placed: list[int] = []
            for name, after, work in self._graphs[graph].nodes:
                inner = {placed[a] for a in after if a >= 0}
                self._run(name, stream, work, inner or before)
                placed.append(len(self.operations) - 1)
            self._last[stream] = placed[-1]

    def destroy_graph(self, graph: int) -> None:
        del self._graphs[graph]

    # -- what runs -----------------------------------------------------------------------------------------

    def submit(self, name: str, stream: int, work: Work) -> None:
        """Run work in a stream's order, or capture it."""
        self._require_alive(name)
        self._require_current(name)
        with self._lock:
            if self._captures(stream):
                assert self._capture is not None
                self._submit_captured(name, stream, work, {self._capture.last.get(stream, -1)})
            else:
                self._submit(name, stream, work, set())

    def forget(self) -> None:
        """Start a new record; all streams are idle."""
        self.operations.clear()
        self._last.clear()
        self._waited.clear()
        self._events.update(dict.fromkeys(self._events))

    def names(self) -> list[str]:
        """Names of all operations that ran."""
        return [op.name for op in self.operations]

    def races(self) -> list[tuple[str, str]]:
        """Return pairs of operations that touch the same memory, one writing, in no defined order."""
        comes_after = self._ancestors()
        accesses = sorted(
            (begin, end, i, writes)
            for i, op in enumerate(self.operations)
            for ranges, writes in ((op.reads, False), (op.writes, True))
            for begin, end in ranges
        )
        starts = [a[0] for a in accesses]
        found = set()
        for place, (_, end, i, writes) in enumerate(accesses):
            for _, _, j, also_writes in accesses[place + 1 : bisect_right(starts, end - 1)]:
                first, second = min(i, j), max(i, j)
                ordered = first == second or comes_after[second] >> first & 1
                if (writes or also_writes) and not ordered:
                    found.add((self.operations[first].name, self.operations[second].name))
        return sorted(found)

    def comes_after(self, later: int, earlier: int) -> bool:
        """Whether an operation is certain to begin when another one has ended."""
        return bool(self._ancestors()[later] >> earlier & 1)

    def _ancestors(self) -> list[int]:
        """Return for each operation a bit set of all that come before it."""
        sets: list[int] = []
        for op in self.operations:
            bits = 0
            for a in op.after:
                if a >= 0:
                    bits |= sets[a] | 1 << a
            sets.append(bits)
        return sets

    def _captures(self, stream: int) -> bool:
        return self._capture is not None and stream in self._capture.streams

    def _submit(self, name: str, stream: int, work: Work, after: set[int]) -> None:
        self._run(name, stream, work, after | {self._last.get(stream, -1), *self._host_waited_for()})
        self._last[stream] = len(self.operations) - 1

    def _submit_captured(self, name: str, stream: int, work: Work, after: set[int]) -> None:
        assert self._capture is not None
        self._capture.nodes.append((name, after, work))
        self._capture.last[stream] = len(self._capture.nodes) - 1

    def _run(self, name: str, stream: int, work: Work, after: set[int]) -> None:
        operation = Operation(name, stream, after)
        work(operation)
        self.operations.append(operation)

    def _host_waits_for(self, operation: int | None) -> None:
        after = {*self._host_waited_for(), -1 if operation is None else operation}
        self._run("host waits", HOST, lambda op: None, after)
        self._waited[threading.get_ident()] = len(self.operations) - 1

    def _host_waited_for(self) -> set[int]:
        """Return the last waits that come before what this thread issues.

        The main thread hands out work and waits for it, so it knows of all waits; another one knows of its
        own and of the main one's, since it may run before or after the rest.
        """
        main, this = threading.main_thread().ident, threading.get_ident()
        known = self._waited if this == main else {main, this} & self._waited.keys()
        return {self._waited[thread] for thread in known} | {-1}

    def _require_current(self, name: str) -> None:
        assert self._current.get(threading.get_ident()) is self, f"{name} from a thread without the device"

    def _require_alive(self, name: str) -> None:
        if self.fails_at and name == self.fails_at:
            raise DeviceLost(f"The GPU cuda:{self.index} failed.")


def emulated(driver: HostDriver | None = None) -> Device:
    """Return a device that runs in host memory."""
    device = Device(driver or HostDriver(), _describe)
    device.bind()
    return device


def _describe(file: str, arch: str, defines: Mapping[str, int], folder: Path | None) -> bytes:
    """What the emulator loads as machine code: the name of the file and its variant."""
    return json.dumps([file, dict(defines)]).encode()


def _aligned(nbytes: int) -> tuple[int, npt.NDArray[np.uint8]]:
    array = np.full(nbytes + 512, 0xA5, np.uint8)  # anything but zeros
    return array.ctypes.data + -array.ctypes.data % 256, array


def _view(address: int, dtype: Any, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    nbytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    raw = np.ctypeslib.as_array((ctypes.c_uint8 * max(nbytes, 1)).from_address(address))
    return raw[:nbytes].view(dtype).reshape(shape)
