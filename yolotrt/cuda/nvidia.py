"""The CUDA seam over NVIDIA's cuda-bindings: the default, with graphs.

Only the driver API is used. It lives in the installed driver, so a binding that is newer than the driver
does no harm as long as it calls nothing newer.
"""

# ruff: noqa: D102 - the methods are described once, in yolotrt.cuda.driver.Driver

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from yolotrt.cuda.driver import LOST, Argument, DeviceInfo, DeviceLost, Dim, OutOfDeviceMemory
from yolotrt.cuda.probe import has_driver, no_driver
from yolotrt.distribution import install_hint
from yolotrt.errors import DeviceError, MissingDependency

_TYPES: dict[str, Any] = {
    "pointer": ctypes.c_void_p,
    "int": ctypes.c_int,
    "float": ctypes.c_float,
    "double": ctypes.c_double,
}


_REACHED_BEFORE = 704
_UNREACHED = (217, 711)
"""``CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED``; ``..._UNSUPPORTED`` and ``TOO_MANY_PEERS``."""


class NvidiaDriver:
    """A GPU's primary context: the one that inference libraries in the same process use too.

    Raises:
        MissingDependency: cuda-bindings is not installed.
        DeviceError: There is no driver, or no GPU of this index.
    """

    name = "cuda-bindings"
    captures = waits_across = True

    def __init__(self, index: int = 0) -> None:
        self._cuda = _bindings()
        count = self.count()
        if index >= count:
            found = f"there are {count}" if count else "no NVIDIA GPU or driver was found"
            raise DeviceError(
                f"There is no GPU cuda:{index}: {found}.",
                hint="See: nvidia-smi, and the variable CUDA_VISIBLE_DEVICES"
                + ("" if count else "; without a GPU leave out --device"),
            )
        self._device = self._do(self._cuda.cuDeviceGet(index))
        self._context = self._do(self._cuda.cuDevicePrimaryCtxRetain(self._device))
        self._index = index
        self.bind()

    @staticmethod
    def count() -> int:
        try:
            cuda = _bindings()
        except DeviceError:  # no driver
            return 0
        try:
            if int(cuda.cuInit(0)[0]):
                return 0
            return int(cuda.cuDeviceGetCount()[1])
        except RuntimeError:  # no libcuda
            return 0

    def info(self) -> DeviceInfo:
        cuda = self._cuda
        of = cuda.CUdevice_attribute
        major = self._attribute(of.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)
        minor = self._attribute(of.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)
        version = self._do(cuda.cuDriverGetVersion())
        return DeviceInfo(
            index=self._index,
            name=_text(self._do(cuda.cuDeviceGetName(96, self._device))),
            arch=f"sm_{major}{minor}",
            multiprocessors=self._attribute(of.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
            memory_bytes=self._do(cuda.cuDeviceTotalMem(self._device)),
            driver=f"{version // 1000}.{version % 1000 // 10}",
            pci_bus_id=_text(self._do(cuda.cuDeviceGetPCIBusId(32, self._device))),
        )

    def bind(self) -> None:
        self._do(self._cuda.cuCtxSetCurrent(self._context))

    def release(self) -> None:
        self._do(self._cuda.cuDevicePrimaryCtxRelease(self._device))

    def memory(self) -> tuple[int, int]:
        free, total = self._all(self._cuda.cuMemGetInfo())
        return free, total

    def reach(self, other: NvidiaDriver) -> bool:
        if other._index == self._index:  # which CUDA does not call a peer
            return True
        self.bind()
        if not self._do(self._cuda.cuDeviceCanAccessPeer(self._device, other._device)):
            return False
        result = self._cuda.cuCtxEnablePeerAccess(other._context, 0)
        if int(result[0]) in _UNREACHED:
            return False
        if int(result[0]) != _REACHED_BEFORE:
            self._do(result)
        return True

    def allocate(self, nbytes: int) -> int:
        return int(self._do(self._cuda.cuMemAlloc(nbytes), nbytes))

    def free(self, address: int) -> None:
        self._do(self._cuda.cuMemFree(address))

    def allocate_host(self, nbytes: int) -> int:
        # Mapped and portable: kernels of any GPU may write to it.
        flags = self._cuda.CU_MEMHOSTALLOC_DEVICEMAP | self._cuda.CU_MEMHOSTALLOC_PORTABLE
        return int(self._do(self._cuda.cuMemHostAlloc(nbytes, flags), nbytes))

    def free_host(self, address: int) -> None:
        self._do(self._cuda.cuMemFreeHost(address))

    def lock_host(self, address: int, nbytes: int) -> int:
        flags = self._cuda.CU_MEMHOSTREGISTER_DEVICEMAP | self._cuda.CU_MEMHOSTREGISTER_PORTABLE
        self._do(self._cuda.cuMemHostRegister(address, nbytes, flags), nbytes)
        try:
            return int(self._do(self._cuda.cuMemHostGetDevicePointer(address, 0)))
        except BaseException:
            self.unlock_host(address)
            raise

    def unlock_host(self, address: int) -> None:
        self._do(self._cuda.cuMemHostUnregister(address))

    def copy(self, target: int, source: int, nbytes: int, stream: int) -> None:
        self._do(self._cuda.cuMemcpyAsync(target, source, nbytes, stream))

    def fill(self, address: int, byte: int, nbytes: int, stream: int) -> None:
        self._do(self._cuda.cuMemsetD8Async(address, byte, nbytes, stream))

    def new_stream(self) -> int:
        return int(self._do(self._cuda.cuStreamCreate(self._cuda.CUstream_flags.CU_STREAM_NON_BLOCKING)))

    def destroy_stream(self, stream: int) -> None:
        self._do(self._cuda.cuStreamDestroy(stream))

    def synchronize(self, stream: int) -> None:
        self._do(self._cuda.cuStreamSynchronize(stream))

    def new_event(self, *, timing: bool) -> int:
        flags = self._cuda.CUevent_flags
        chosen = flags.CU_EVENT_DEFAULT if timing else flags.CU_EVENT_DISABLE_TIMING
        return int(self._do(self._cuda.cuEventCreate(chosen)))

    def destroy_event(self, event: int) -> None:
        self._do(self._cuda.cuEventDestroy(event))

    def record(self, event: int, stream: int, *, readable: bool = False) -> None:
        # Outside a capture CUDA refuses the flag that inside makes a node of the record.
        flags = self._cuda.CUevent_record_flags
        external = readable and self.capturing(stream)
        chosen = flags.CU_EVENT_RECORD_EXTERNAL if external else flags.CU_EVENT_RECORD_DEFAULT
        self._do(self._cuda.cuEventRecordWithFlags(event, stream, chosen))

    def wait_event(self, stream: int, event: int) -> None:
        self._do(self._cuda.cuStreamWaitEvent(stream, event, 0))

    def synchronize_event(self, event: int) -> None:
        self._do(self._cuda.cuEventSynchronize(event))

    def elapsed(self, begin: int, end: int) -> float:
        return float(self._do(self._cuda.cuEventElapsedTime(begin, end))) / 1e3

    def load(self, cubin: bytes) -> int:
        return int(self._do(self._cuda.cuModuleLoadData(cubin)))

    def unload(self, module: int) -> None:
        self._do(self._cuda.cuModuleUnload(module))

    def function(self, module: int, name: str) -> int:
        return int(self._do(self._cuda.cuModuleGetFunction(module, name.encode())))

    def allow_shared(self, function: int, nbytes: int) -> None:
        most = self._cuda.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        self._do(self._cuda.cuFuncSetAttribute(function, most, nbytes))

    def pack(self, arguments: Sequence[Argument]) -> Any:
        values = [_TYPES[kind](value) for kind, value in arguments]
        addresses = (ctypes.c_void_p * len(values))(*(ctypes.addressof(v) for v in values))
        return addresses, values  # the second keeps the memory behind the first

    def launch(self, function: int, grid: Dim, block: Dim, shared: int, stream: int, packed: Any) -> None:
        address = ctypes.addressof(packed[0])
        self._do(self._cuda.cuLaunchKernel(function, *grid, *block, shared, stream, address, 0))

    def capturing(self, stream: int) -> bool:
        return bool(int(self._do(self._cuda.cuStreamIsCapturing(stream))))

    def begin_capture(self, stream: int) -> None:
        # Relaxed: other threads, and libraries inside the capture, may allocate meanwhile. In the other
        # modes an allocation anywhere in the process invalidates the capture.
        mode = self._cuda.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
        self._do(self._cuda.cuStreamBeginCapture(stream, mode))

    def end_capture(self, stream: int) -> int:
        graph = self._do(self._cuda.cuStreamEndCapture(stream))
        try:
            self._drop_host_nodes(graph)
            return int(self._do(self._cuda.cuGraphInstantiate(graph, 0)))
        finally:
            self._cuda.cuGraphDestroy(graph)

    def abandon_capture(self, stream: int) -> None:
        status = self._cuda.cuStreamIsCapturing(stream)
        if not int(status[0]) and int(status[1]):
            code, graph = self._cuda.cuStreamEndCapture(stream)
            if not int(code) and int(graph):
                self._cuda.cuGraphDestroy(graph)

    def launch_graph(self, graph: int, stream: int) -> None:
        self._do(self._cuda.cuGraphLaunch(graph, stream))

    def destroy_graph(self, graph: int) -> None:
        self._do(self._cuda.cuGraphExecDestroy(graph))

    def _drop_host_nodes(self, graph: Any) -> None:
        """Take host callbacks out of a captured graph and tie their neighbours together.

        ONNX Runtime frees the staging buffers of a run in a callback. Replayed, it would free them again
        each time; left out, the buffers stay as the graph's copies need them.
        """
        cuda = self._cuda
        host = cuda.CUgraphNodeType.CU_GRAPH_NODE_TYPE_HOST
        # CUDA 12's bindings have the form with edge data under a name of its own.
        add = getattr(cuda, "cuGraphAddDependencies_v2", None) or cuda.cuGraphAddDependencies
        for node in self._nodes(cuda.cuGraphGetNodes, graph):
            if self._do(cuda.cuGraphNodeGetType(node)) != host:
                continue
            before = self._nodes(cuda.cuGraphNodeGetDependencies, node)
            after = self._nodes(cuda.cuGraphNodeGetDependentNodes, node)
            for first in before:
                tied = {int(n) for n in self._nodes(cuda.cuGraphNodeGetDependentNodes, first)}
                for second in after:
                    if int(second) not in tied:
                        self._do(add(graph, [first], [second], None, 1))
            self._do(cuda.cuGraphDestroyNode(node))

    def _nodes(self, query: Any, of: Any) -> list[Any]:
        count = self._all(query(of))[-1]
        return list(self._all(query(of, count))[0]) if count else []

    def _attribute(self, attribute: Any) -> int:
        return int(self._do(self._cuda.cuDeviceGetAttribute(attribute, self._device)))

    def _do(self, result: tuple[Any, ...], nbytes: int | None = None) -> Any:
        """Return the first value of a call's result."""
        values = self._all(result, nbytes)
        return values[0] if values else None

    def _all(self, result: tuple[Any, ...], nbytes: int | None = None) -> tuple[Any, ...]:
        """Return a call's values, or raise; the only place that meets CUDA's error codes."""
        code = int(result[0])
        if not code:
            return result[1:]
        text = self._cuda.cuGetErrorString(result[0])[1]
        reason = f"{text.decode() if text else 'unknown error'}, CUDA error {code}"
        if code == 2:
            size = "" if nbytes is None else f" for {nbytes / 2**20:.0f} MiB"
            raise OutOfDeviceMemory(
                f"Not enough memory on cuda:{self._index}{size} ({reason}).",
                hint="Use more --groups (smaller batches), or end other programs on this GPU.",
            )
        if code in LOST:
            raise DeviceLost(
                f"The GPU cuda:{self._index} failed ({reason}).",
                hint="Start the program again; if it happens twice, look for Xid messages in dmesg.",
            )
        raise DeviceError(f"CUDA refused an operation on cuda:{self._index} ({reason}).")


def _text(padded: bytes) -> str:
    return padded.split(b"\0")[0].decode()


def _bindings() -> Any:
    try:
        from cuda.bindings import driver
    except ImportError as exc:
        if not has_driver():
            raise no_driver() from exc
        raise MissingDependency(
            "GPU pipelines need the package cuda-bindings.", hint=install_hint("cuda")
        ) from exc
    return driver
