"""Memory and streams that contexts share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from yolotrt.arrays import F32
from yolotrt.backends.memory import memory_for
from yolotrt.cuda.device import Device, Event, Scope, Stream
from yolotrt.cuda.tensor import TensorType


class FusedLane:
    """Memory and streams of contexts that never run at the same time."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._scope = device.scope()
        self._arena, self._arena_nbytes = 0, 0
        self._streams: list[Stream] = []
        self._events: list[Event] = []
        self._hosts: dict[int, HostBuffers] = {}
        self.begin = self._scope.event()

    def arena(self, nbytes: int) -> int:
        """Return the address of scratch memory.

        A context that was made before keeps the memory that it has: a graph may hold its address.

        Raises:
            OutOfDeviceMemory: There is not enough; says how much was needed.
        """
        if nbytes > self._arena_nbytes:
            with memory_for(self._device, "a group", nbytes):
                self._arena = self._scope.buffer(nbytes).address
            self._arena_nbytes = nbytes
        return self._arena

    def streams(self, count: int) -> list[Stream]:
        """Return streams beside the caller's."""
        while len(self._streams) < count:
            self._streams.append(self._scope.stream())
        return self._streams[:count]

    def events(self, count: int) -> list[Event]:
        """Return events that tie streams together."""
        while len(self._events) < count:
            self._events.append(self._scope.event())
        return self._events[:count]

    def host(self, batch: int, tensors: Mapping[str, TensorType]) -> HostBuffers:
        """Return buffers for running from and to host memory, shared by the contexts of a batch size."""
        if batch not in self._hosts:
            self._hosts[batch] = HostBuffers(self._scope, tensors)
        return self._hosts[batch]

    def close(self) -> None:
        """Free everything."""
        self._hosts.clear()
        self._scope.close()


class HostBuffers:
    """Device and page-locked memory of one batch size, and a stream between them.

    Attributes:
        images: (batch, 3, height, width) float32 input, to be filled.
        stream: Where everything runs.
    """

    def __init__(self, scope: Scope, tensors: Mapping[str, TensorType]) -> None:
        self._tensors = tensors
        self._input, *self._outputs = tensors
        self._device = {name: scope.buffer(t.nbytes).address for name, t in tensors.items()}
        self._pinned = {name: scope.pinned(t.nbytes) for name, t in tensors.items()}
        self.stream = scope.stream()
        self.images: F32 = np.zeros(tensors[self._input].shape, np.float32)

    def addresses(self) -> tuple[int, dict[str, int]]:
        """Return the device addresses of the input, and of the outputs by name."""
        return self._device[self._input], {name: self._device[name] for name in self._outputs}

    def upload(self) -> None:
        """Start the upload of :attr:`images`."""
        self._array(self._input)[:] = self.images
        pinned, nbytes = self._pinned[self._input].address, self._tensors[self._input].nbytes
        self.stream.copy(self._device[self._input], pinned, nbytes)

    def download(self) -> tuple[F32, F32]:
        """Return the outputs behind everything that is in the stream."""
        for name in self._outputs:
            self.stream.copy(self._pinned[name].address, self._device[name], self._tensors[name].nbytes)
        self.stream.synchronize()
        head, protos = (self._array(name).astype(np.float32) for name in self._outputs)
        return head, protos

    def _array(self, name: str) -> npt.NDArray[Any]:
        tensor = self._tensors[name]
        return self._pinned[name].array[: tensor.nbytes].view(tensor.dtype).reshape(tensor.shape)
