"""Running batches: one execution context per group of tiles, memory shared where it never overlaps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from yolotrt.arrays import F32
from yolotrt.backends.memory import FEWER_IMAGES, memory_for
from yolotrt.backends.tensorrt.library import Library
from yolotrt.cuda.device import Buffer, Device, Scope
from yolotrt.cuda.driver import OutOfDeviceMemory
from yolotrt.cuda.tensor import TensorType
from yolotrt.errors import ExecutionError, YoloTrtError

if TYPE_CHECKING:
    import tensorrt as trt


@dataclass(frozen=True)
class Staged:
    """A tensor on the device and the page-locked memory that it is copied from or to.

    Attributes:
        device: Its device memory.
        array: (largest batch, ...) page-locked memory.
        address: Where ``array`` begins.
    """

    device: Buffer
    array: npt.NDArray[Any]
    address: int

    @classmethod
    def make(cls, scope: Scope, tensor: TensorType) -> Staged:
        """Allocate both, owned by ``scope``."""
        pinned = scope.pinned(tensor.nbytes)
        array = pinned.array[: tensor.nbytes].view(tensor.dtype).reshape(tensor.shape)
        return cls(scope.buffer(tensor.nbytes), array, pinned.address)


class Lane:
    """A stream, TensorRT's scratch memory and the buffers of contexts that never run at the same time.

    Everything has the size of the largest context's need. Buffers are made when first asked for: a
    caller that brings its own device memory needs none.

    Attributes:
        device: The GPU.
        tensors: Input, head and prototypes by name, for one image.
        stream: Where its contexts run unless they are given another.
    """

    def __init__(self, device: Device, tensors: Mapping[str, TensorType]) -> None:
        self.device = device
        self.tensors = tensors
        self._scope = device.scope()
        self._buffer_scope = device.scope()
        self.stream = self._scope.stream()
        self._scratch, self._scratch_bytes = 0, 0
        self._batch = 0
        self._staged: dict[str, Staged] = {}

    def reserve(self, batch: int, scratch_bytes: int) -> int:
        """Make room for a context and return the address of its scratch memory, 0 where it needs none.

        Contexts that were made before keep the memory that they have: a graph may hold its address.

        Raises:
            OutOfDeviceMemory: The GPU's memory does not suffice.
        """
        self._batch = max(self._batch, batch)
        if scratch_bytes > self._scratch_bytes:
            with memory_for(self.device, f"a group of {batch} images", scratch_bytes):
                self._scratch = self._scope.buffer(scratch_bytes).address
            self._scratch_bytes = scratch_bytes
        return self._scratch

    def staged(self) -> dict[str, Staged]:
        """Return the buffers of input, head and prototypes by name, for the largest batch so far.

        Raises:
            OutOfDeviceMemory: The GPU's memory does not suffice.
        """
        if self._staged and len(next(iter(self._staged.values())).array) >= self._batch:
            return self._staged
        self.stream.synchronize()
        self._staged = {}
        self._buffer_scope.close()
        tensors = {name: tensor.with_batch(self._batch) for name, tensor in self.tensors.items()}
        nbytes = sum(tensor.nbytes for tensor in tensors.values())
        with memory_for(self.device, f"a group of {self._batch} images", nbytes):
            made = {name: Staged.make(self._buffer_scope, tensor) for name, tensor in tensors.items()}
        self._staged = made
        return made

    def close(self) -> None:
        """Free everything."""
        self.stream.synchronize()
        self._staged = {}
        for scope in (self._buffer_scope, self._scope):
            scope.close()


class TensorRtContext:
    """Runs batches of one size; see :class:`yolotrt.backends.base.DeviceContext`.

    Attributes:
        batch: Number of images in a batch.
        tensors: Type of the input and of each output, by name.
        profile: Index of the optimization profile it is bound to.
        native: TensorRT's own object.
    """

    def __init__(
        self,
        library: Library,
        native: trt.IExecutionContext,
        lane: Lane,
        batch: int,
        profile: int,
        scratch_bytes: int,
    ) -> None:
        self.batch = batch
        self.tensors: Mapping[str, TensorType] = {
            name: tensor.with_batch(batch) for name, tensor in lane.tensors.items()
        }
        self.profile = profile
        self.native = native
        self._library = library
        self._lane = lane
        self._input, *self._outputs = lane.tensors
        self._own: dict[str, int] = {}
        self._bound: dict[str, int] = {}
        self._closed = False
        scratch = lane.reserve(batch, scratch_bytes)
        chosen = native.set_optimization_profile_async(profile, lane.stream.handle)
        self._must(chosen, f"choose profile {profile} for")
        lane.stream.synchronize()
        native.set_device_memory(scratch, scratch_bytes)
        self._must(native.set_input_shape(self._input, self.tensors[self._input].shape), "take")
        missing = native.infer_shapes()
        if missing:
            raise ExecutionError(f"The engine wants more inputs than images: {', '.join(missing)}.")

    @property
    def takes_host_images(self) -> bool:
        """Whether the engine takes FP32 images, as all of ours do."""
        return self.tensors[self._input].dtype == np.float32

    @property
    def images(self) -> F32:
        """(batch, 3, height, width) float32 page-locked input; shared by the contexts of a lane."""
        array = self._lane.staged()[self._input].array[: self.batch]
        if array.dtype != np.float32:
            raise ExecutionError(
                f"This engine takes {array.dtype} images, which only the GPU pipeline makes.",
                hint="Build it with yolotrt: its engines take FP32 images in every precision.",
            )
        return cast(F32, array)

    @property
    def input_pointer(self) -> int:
        """Device address of the input; the lane's own until it is set."""
        return self._address(self._input)

    @input_pointer.setter
    def input_pointer(self, address: int) -> None:
        self._own[self._input] = address

    @property
    def output_pointers(self) -> Mapping[str, int]:
        """Device addresses by output name; the lane's own until they are set."""
        return {name: self._address(name) for name in self._outputs}

    @output_pointers.setter
    def output_pointers(self, addresses: Mapping[str, int]) -> None:
        self._own.update(addresses)

    def run(self) -> tuple[F32, F32]:
        """Run the batch and wait; see :meth:`yolotrt.backends.base.Context.run`."""
        lane = self._lane
        lane.device.bind()  # for this thread
        staged = lane.staged()
        image = staged[self._input]
        lane.stream.copy(image.device.address, image.address, self.tensors[self._input].nbytes)
        self.enqueue(lane.stream.handle)
        for name in self._outputs:
            output = staged[name]
            lane.stream.copy(output.address, output.device.address, self.tensors[name].nbytes)
        lane.stream.synchronize()
        head, prototypes = (
            staged[name].array[: self.batch].astype(np.float32, copy=False) for name in self._outputs
        )
        return head, prototypes

    def enqueue(self, stream_handle: int) -> None:
        """Start the batch on a stream and return; see :meth:`yolotrt.backends.base.DeviceContext.enqueue`."""
        self._bind()
        self._must(self.native.execute_async_v3(stream_handle), "run")

    def close(self) -> None:
        """Let go of TensorRT's object; the lane's memory is the engine's to free."""
        if not self._closed:
            self._closed = True
            del self.native

    def _bind(self) -> None:
        """Tell TensorRT the addresses that changed: the lane may have grown, or the caller set its own."""
        for name in self._lane.tensors:
            address = self._address(name)
            if self._bound.get(name) != address:
                self._must(self.native.set_tensor_address(name, address), f"bind {name} for")
                self._bound[name] = address

    def _address(self, name: str) -> int:
        own = self._own.get(name)
        return self._lane.staged()[name].device.address if own is None else own

    def _must(self, done: bool, purpose: str) -> None:
        if not done:
            raise failure(self._library, f"{purpose} a batch of {self.batch}")


def failure(library: Library, purpose: str) -> YoloTrtError:
    """Return the error for what TensorRT could not do, with its own reason: it gives no exception."""
    reason = library.log.last_error()
    message = f"{library.title} could not {purpose} ({reason})."
    if re.search(r"out ?of ?memory", reason, re.I):
        return OutOfDeviceMemory(message, hint=FEWER_IMAGES)
    return ExecutionError(
        message, hint="Start the program again; if it happens twice, build the engine again with --force."
    )
