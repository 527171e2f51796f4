"""The CUDA seam over pycuda, for applications that already live in one of its contexts. Without graphs.

pycuda keeps a context for each thread and frees a resource when its last object goes, so objects are kept
here under the handles that the rest of the project knows.
"""

# ruff: noqa: D102 - the methods are described once, in yolotrt.cuda.driver.Driver

from __future__ import annotations

import atexit
import ctypes
import struct
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from yolotrt.cuda.driver import LOST, Argument, DeviceInfo, DeviceLost, Dim, OutOfDeviceMemory
from yolotrt.distribution import install_hint
from yolotrt.errors import DeviceError, MissingDependency, UsageError

_FORMATS = {"pointer": "P", "int": "i", "float": "f", "double": "d"}

_NO_GRAPHS = "CUDA graphs are not available through pycuda."

_NON_BLOCKING = 1
"""``CU_STREAM_NON_BLOCKING``, for which pycuda has no name."""


class PycudaDriver:
    """A GPU's primary context through pycuda: the one that inference libraries in the same process use too.

    Raises:
        MissingDependency: pycuda is not installed.
        DeviceError: There is no driver, or no GPU of this index.
    """

    name = "pycuda"
    captures = waits_across = False

    def __init__(self, index: int = 0) -> None:
        self._cuda = _pycuda()
        self._index = index
        self._objects: dict[int, Any] = {}
        self._pinned: dict[int, Any] = {}
        self._functions: dict[int, list[int]] = {}
        self._bound = threading.local()
        count = self.count()
        if index >= count:
            raise DeviceError(
                f"There is no GPU cuda:{index}: there are {count}.",
                hint="See: nvidia-smi, and the variable CUDA_VISIBLE_DEVICES",
            )
        with self._errors():
            self._device = self._cuda.Device(index)
            self._context = self._device.retain_primary_context()
        self.bind()
        atexit.register(self._leave)

    @staticmethod
    def count() -> int:
        cuda = _pycuda()
        try:
            cuda.init()
            return int(cuda.Device.count())
        except cuda.Error:  # no driver, or no GPU
            return 0

    def info(self) -> DeviceInfo:
        of = self._cuda.device_attribute
        with self._errors():
            major, minor = self._device.compute_capability()
            version = self._cuda.get_driver_version()
            return DeviceInfo(
                index=self._index,
                name=self._device.name(),
                arch=f"sm_{major}{minor}",
                multiprocessors=self._device.get_attribute(of.MULTIPROCESSOR_COUNT),
                memory_bytes=self._device.total_memory(),
                driver=f"{version // 1000}.{version % 1000 // 10}",
                pci_bus_id=self._device.pci_bus_id(),
            )

    def bind(self) -> None:
        if not hasattr(self._bound, "visit"):
            with self._errors():
                self._bound.visit = _Visit(self._context)

    def release(self) -> None:
        atexit.unregister(self._leave)
        with self._errors():
            self._leave()
            self._context.detach()

    def _leave(self) -> None:
        """Take the context from the calling thread."""
        if hasattr(self._bound, "visit"):
            del self._bound.visit

    def memory(self) -> tuple[int, int]:
        with self._errors():
            free, total = self._cuda.mem_get_info()
        return int(free), int(total)

    def reach(self, other: Any) -> bool:
        return False

    def allocate(self, nbytes: int) -> int:
        with self._errors(nbytes):
            return self._keep(self._cuda.mem_alloc(nbytes), int)

    def free(self, address: int) -> None:
        with self._errors():
            self._objects.pop(address).free()

    def allocate_host(self, nbytes: int) -> int:
        flags = self._cuda.host_alloc_flags.DEVICEMAP | self._cuda.host_alloc_flags.PORTABLE
        with self._errors(nbytes):
            array = self._cuda.pagelocked_empty((nbytes,), np.uint8, mem_flags=flags)
        address = int(array.ctypes.data)
        self._pinned[address] = array
        return address

    def free_host(self, address: int) -> None:
        with self._errors():
            self._pinned.pop(address).base.free()

    def lock_host(self, address: int, nbytes: int) -> int:
        flags = self._cuda.mem_host_register_flags.DEVICEMAP | self._cuda.mem_host_register_flags.PORTABLE
        with self._errors(nbytes):
            array = self._cuda.register_host_memory(_array(address, nbytes), flags)
            at = int(array.base.get_device_pointer())
        self._pinned[address] = array
        return at

    def unlock_host(self, address: int) -> None:
        with self._errors():
            self._pinned.pop(address).base.unregister()

    def copy(self, target: int, source: int, nbytes: int, stream: int) -> None:
        queue = self._objects[stream]
        with self._errors():
            if self._is_pinned(source):
                self._cuda.memcpy_htod_async(target, _array(source, nbytes), queue)
            elif self._is_pinned(target):
                self._cuda.memcpy_dtoh_async(_array(target, nbytes), source, queue)
            else:
                self._cuda.memcpy_dtod_async(target, source, nbytes, queue)

    def fill(self, address: int, byte: int, nbytes: int, stream: int) -> None:
        with self._errors():
            self._cuda.memset_d8_async(address, byte, nbytes, self._objects[stream])

    def new_stream(self) -> int:
        with self._errors():
            return self._keep(self._cuda.Stream(_NON_BLOCKING), lambda stream: stream.handle)

    def destroy_stream(self, stream: int) -> None:
        del self._objects[stream]

    def synchronize(self, stream: int) -> None:
        with self._errors():
            self._objects[stream].synchronize()

    def new_event(self, *, timing: bool) -> int:
        flags = self._cuda.event_flags
        with self._errors():
            return self._keep(self._cuda.Event(flags.DEFAULT if timing else flags.DISABLE_TIMING), id)

    def destroy_event(self, event: int) -> None:
        del self._objects[event]

    def record(self, event: int, stream: int, *, readable: bool = False) -> None:
        with self._errors():
            self._objects[event].record(self._objects[stream])

    def wait_event(self, stream: int, event: int) -> None:
        with self._errors():
            self._objects[stream].wait_for_event(self._objects[event])

    def synchronize_event(self, event: int) -> None:
        with self._errors():
            self._objects[event].synchronize()

    def elapsed(self, begin: int, end: int) -> float:
        with self._errors():
            return float(self._objects[end].time_since(self._objects[begin])) / 1e3

    def load(self, cubin: bytes) -> int:
        with self._errors():
            return self._keep(self._cuda.module_from_buffer(cubin), id)

    def unload(self, module: int) -> None:
        for handle in (module, *self._functions.pop(module, ())):  # a function holds on to its module
            del self._objects[handle]

    def function(self, module: int, name: str) -> int:
        with self._errors():
            handle = self._keep(self._objects[module].get_function(name), id)
        self._functions.setdefault(module, []).append(handle)
        return handle

    def allow_shared(self, function: int, nbytes: int) -> None:
        with self._errors():
            most = self._cuda.function_attribute.MAX_DYNAMIC_SHARED_SIZE_BYTES
            self._objects[function].set_attribute(most, nbytes)

    def pack(self, arguments: Sequence[Argument]) -> Any:
        return struct.pack("".join(_FORMATS[kind] for kind, _ in arguments), *(v for _, v in arguments))

    def launch(self, function: int, grid: Dim, block: Dim, shared: int, stream: int, packed: Any) -> None:
        with self._errors():
            self._objects[function]._launch_kernel(grid, block, packed, shared, self._objects[stream])

    def capturing(self, stream: int) -> bool:
        return False

    def begin_capture(self, stream: int) -> None:
        raise UsageError(_NO_GRAPHS)

    def end_capture(self, stream: int) -> int:
        raise UsageError(_NO_GRAPHS)

    def abandon_capture(self, stream: int) -> None:
        raise UsageError(_NO_GRAPHS)

    def launch_graph(self, graph: int, stream: int) -> None:
        raise UsageError(_NO_GRAPHS)

    def destroy_graph(self, graph: int) -> None:
        raise UsageError(_NO_GRAPHS)

    def _keep(self, thing: Any, handle_of: Any) -> int:
        handle = int(handle_of(thing))
        self._objects[handle] = thing
        return handle

    def _is_pinned(self, address: int) -> bool:
        begins = sorted(self._pinned)
        place = bisect_right(begins, address) - 1
        return place >= 0 and address < begins[place] + self._pinned[begins[place]].nbytes

    @contextmanager
    def _errors(self, nbytes: int | None = None) -> Iterator[None]:
        """Turn pycuda's exceptions into ours; the only place that meets them."""
        cuda, name = self._cuda, f"cuda:{self._index}"
        try:
            yield
        except cuda.MemoryError as exc:
            size = "" if nbytes is None else f" for {nbytes / 2**20:.0f} MiB"
            raise OutOfDeviceMemory(
                f"Not enough memory on {name}{size} ({exc}).",
                hint="Use fewer --groups, a smaller --tile, or end other programs on this GPU.",
            ) from exc
        except cuda.Error as exc:
            said = any(text and text in str(exc) for text in LOST.values())  # pycuda hides the numbers
            if isinstance(exc, cuda.LaunchError) or said:
                raise DeviceLost(
                    f"The GPU {name} failed ({exc}).",
                    hint="Start the program again; if it happens twice, look for Xid messages in dmesg.",
                ) from exc
            raise DeviceError(f"CUDA refused an operation on {name} ({exc}).") from exc


class _Visit:
    """A thread's stay in a context. pycuda ends the process if a thread goes without leaving its contexts."""

    def __init__(self, context: Any) -> None:
        self._context = context
        context.push()

    def __del__(self) -> None:
        self._context.pop()


def _array(address: int, nbytes: int) -> npt.NDArray[np.uint8]:
    return np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(address))


def _pycuda() -> Any:
    try:
        from pycuda import driver
    except ImportError as exc:
        raise MissingDependency(
            f"pycuda cannot be loaded ({exc}).", hint=f"{install_hint('pycuda')}  (it needs nvcc to build)"
        ) from exc
    return driver
