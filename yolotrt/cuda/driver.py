"""The CUDA seam: the operations that a driver binding has to offer, on plain numbers.

Handles and addresses are integers, so that they can be given to any inference library. Ownership is
none of a driver's business: :mod:`yolotrt.cuda.device` builds objects with owners on top of it, once for
all bindings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from yolotrt.errors import DeviceError

ArgumentKind = Literal["pointer", "int", "float", "double"]
"""C type of a kernel argument: 8, 4, 4 and 8 bytes."""

Argument = tuple[ArgumentKind, int | float]

Dim = tuple[int, int, int]

LOST = {
    46: "busy or unavailable",
    201: "invalid device context",
    214: "uncorrectable ECC error",
    220: "uncorrectable NVLink error",
    226: "",  # CONTAINED
    700: "illegal memory access",
    702: "the launch timed out",
    709: "context is destroyed",
    710: "device-side assert",
    714: "hardware stack error",
    715: "illegal instruction",
    716: "misaligned address",
    717: "operation not supported on global/shared address space",
    718: "invalid program counter",
    719: "unspecified launch failure",
    721: "",  # TENSOR_MEMORY_LEAK
    810: "",  # MPS_CLIENT_TERMINATED
    911: "",  # EXTERNAL_DEVICE
    999: "unknown error",
}
"""CUDA's error codes after which a process can use the GPU no more, with a part of CUDA's words for those who
are given only words; the driver and the runtime number them alike. They are those that end a process by the
CUDA Driver API's documentation (``CUresult``), and those that leave no context or device to work with."""


class OutOfDeviceMemory(DeviceError):
    """The GPU's memory (or pinned host memory) does not suffice for what was asked for."""


class DeviceLost(DeviceError):
    """The GPU failed while it ran; nothing works in this process until it is started anew."""


@dataclass(frozen=True)
class DeviceInfo:
    """What a GPU is.

    Attributes:
        index: Its number in CUDA's order.
        name: Marketing name.
        arch: Compute capability as NVRTC wants it, such as ``sm_90``.
        multiprocessors: Number of streaming multiprocessors.
        memory_bytes: Size of its memory.
        driver: Newest CUDA version that the driver supports, such as ``13.0``.
        pci_bus_id: Where it sits, such as ``0000:17:00.0``. Unlike the index it is the same for every
            program, whatever ``CUDA_VISIBLE_DEVICES`` hides.
    """

    index: int
    name: str
    arch: str
    multiprocessors: int
    memory_bytes: int
    driver: str
    pci_bus_id: str


class Driver(Protocol):
    """One GPU's primary context, seen through a binding of CUDA's driver API.

    Every method raises :class:`~yolotrt.errors.DeviceError` (or one of its subclasses here) when CUDA
    refuses. Streams, events, modules, functions and graphs are handles; addresses are unified, so pinned
    host memory can be given to kernels.

    Attributes:
        name: Name of the binding.
        captures: It can capture graphs; the graph operations below are only called if so.
        waits_across: A stream of one GPU can wait for an event of another.
    """

    name: str
    captures: bool
    waits_across: bool

    @staticmethod
    def count() -> int:
        """Return the number of visible GPUs; 0 without a driver.

        Raises:
            MissingDependency: The binding is not installed.
        """
        ...

    def info(self) -> DeviceInfo:
        """Describe the GPU."""
        ...

    def bind(self) -> None:
        """Make the GPU's context current in the calling thread."""
        ...

    def release(self) -> None:
        """Give the primary context back."""
        ...

    def memory(self) -> tuple[int, int]:
        """Return free and total memory, bytes."""
        ...

    def reach(self, other: Any) -> bool:
        """Make this GPU's context current and let its kernels read another's memory; return whether they can.

        Args:
            other: The other GPU's driver, of the same binding.
        """
        ...

    def allocate(self, nbytes: int) -> int:
        """Return the address of new device memory, aligned to 256 bytes, content undefined."""
        ...

    def free(self, address: int) -> None:
        """Free device memory."""
        ...

    def allocate_host(self, nbytes: int) -> int:
        """Return the address of new page-locked host memory that kernels can write to."""
        ...

    def free_host(self, address: int) -> None:
        """Free page-locked host memory."""
        ...

    def lock_host(self, address: int, nbytes: int) -> int:
        """Page-lock host memory that is somebody else's, and return its address for kernels.

        Args:
            address: Where it begins: the first byte of a page.
            nbytes: Its size, whole pages.
        """
        ...

    def unlock_host(self, address: int) -> None:
        """Let host memory be ordinary again; it is as before."""
        ...

    def copy(self, target: int, source: int, nbytes: int, stream: int) -> None:
        """Copy between any two of device and page-locked memory, in the stream's order."""
        ...

    def fill(self, address: int, byte: int, nbytes: int, stream: int) -> None:
        """Set bytes of device memory, in the stream's order."""
        ...

    def new_stream(self) -> int:
        """Return a stream that does not synchronise with the default stream."""
        ...

    def destroy_stream(self, stream: int) -> None:
        """Destroy a stream."""
        ...

    def synchronize(self, stream: int) -> None:
        """Wait on the host until everything in the stream has ended."""
        ...

    def new_event(self, *, timing: bool) -> int:
        """Return an event; only one with ``timing`` can be read by :meth:`elapsed`."""
        ...

    def destroy_event(self, event: int) -> None:
        """Destroy an event."""
        ...

    def record(self, event: int, stream: int, *, readable: bool = False) -> None:
        """Mark the end of what is in the stream so far.

        While a graph is captured an event only ties streams together, unless it is ``readable``: then
        each launch of the graph records it.
        """
        ...

    def wait_event(self, stream: int, event: int) -> None:
        """Let what comes next in the stream wait for the event."""
        ...

    def synchronize_event(self, event: int) -> None:
        """Wait on the host for the event."""
        ...

    def elapsed(self, begin: int, end: int) -> float:
        """Return the seconds between two recorded timing events."""
        ...

    def load(self, cubin: bytes) -> int:
        """Load machine code and return the module."""
        ...

    def unload(self, module: int) -> None:
        """Unload a module."""
        ...

    def function(self, module: int, name: str) -> int:
        """Return a kernel of a module."""
        ...

    def allow_shared(self, function: int, nbytes: int) -> None:
        """Let a kernel be launched with this much dynamic shared memory; asked for beyond 48 KiB."""
        ...

    def pack(self, arguments: Sequence[Argument]) -> Any:
        """Return kernel arguments in the binding's own form, to be launched many times."""
        ...

    def launch(self, function: int, grid: Dim, block: Dim, shared: int, stream: int, packed: Any) -> None:
        """Start a kernel with ``shared`` bytes of dynamic shared memory and packed arguments."""
        ...

    def capturing(self, stream: int) -> bool:
        """Whether what is enqueued in the stream is being captured."""
        ...

    def begin_capture(self, stream: int) -> None:
        """Record what follows in the stream, and in streams that wait for it, instead of running it."""
        ...

    def end_capture(self, stream: int) -> int:
        """Return an executable graph of what was captured.

        Host callbacks are left out: they belong to the run that was captured and not to its replays.
        """
        ...

    def abandon_capture(self, stream: int) -> None:
        """End a capture that failed and throw away what it holds."""
        ...

    def launch_graph(self, graph: int, stream: int) -> None:
        """Start a graph in a stream."""
        ...

    def destroy_graph(self, graph: int) -> None:
        """Destroy an executable graph."""
        ...
