"""Loading and running engines: an NVIDIA driver and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from yolotrt.arrays import F32
from yolotrt.backends.base import EngineFile, FrameSource
from yolotrt.backends.fused.arguments import Address, Given, Space
from yolotrt.backends.fused.file import Damaged, FusedFile, Program, Start, read
from yolotrt.backends.fused.frame_source import given_by, kind_of
from yolotrt.backends.fused.lane import FusedLane
from yolotrt.backends.rebuild import rebuild_command
from yolotrt.backends.sidecar import require_unchanged
from yolotrt.cuda.device import Device, Kernel, Launch
from yolotrt.cuda.driver import Argument
from yolotrt.cuda.tensor import TensorType
from yolotrt.errors import ArtifactError, ExecutionError

_ALIGNED = 16
"""Bytes that the caller's addresses must be multiples of: the widest store of a thread."""


def load(file: EngineFile, device: Device) -> FusedEngine:
    """Load an engine on a GPU.

    Raises:
        ArtifactError: It is damaged, or holds no code for this GPU.
        OutOfDeviceMemory: Its weights do not fit into the GPU's memory.
    """
    data = require_unchanged(file, file.path.read_bytes())
    try:
        content = read(data)
    except Damaged as exc:
        raise ArtifactError(
            f"{file.path} is no engine of the fused backend ({exc}).", hint=rebuild_command(file)
        ) from exc
    arch = device.info.arch
    if arch not in content.targets:
        raise ArtifactError(
            f"{file.path} was built for {', '.join(content.targets)}, and {device.name} "
            f"({device.info.name}) is {arch}.",
            hint=f"Build it for this GPU: {rebuild_command(file, here=True)}",
        )
    return FusedEngine(file, content, device)


class FusedEngine:
    """One loaded engine and what its contexts share.

    Attributes:
        file: The engine on disk.
        device: The GPU.
        capturable: Contexts may be captured in a CUDA graph.
    """

    capturable = True

    def __init__(self, file: EngineFile, content: FusedFile, device: Device) -> None:
        self.file, self.device, self.content = file, device, content
        device.bind()
        self._scope = device.scope()
        self._lanes: dict[int, FusedLane] = {}
        self._kernels: dict[int, Kernel] = {}
        try:
            self.weights = self._scope.constant(np.frombuffer(content.weights, np.uint8)).address
        except BaseException:
            self._scope.close()
            raise

    @property
    def reads_frames(self) -> bool:
        """Whether its first convolution was also built to read frames."""
        mine = [p for p in self.content.programs if p.target == self.device.info.arch]
        return all(p.frames for p in mine)

    @property
    def reads_yuv(self) -> bool:
        """Whether also frames as decoders give them."""
        mine = [p for p in self.content.programs if p.target == self.device.info.arch]
        return all("tiles_yuv" in p.frames for p in mine)

    @property
    def parts(self) -> tuple[FusedEngine]:
        """Itself: it is on one GPU."""
        return (self,)

    def new_context(self, batch: int, *, lane: int = 0, threads: int = 1) -> FusedContext:
        """Return a context; see :meth:`yolotrt.backends.base.Engine.new_context`.

        Raises:
            ArtifactError: The engine has no profile for this batch size.
            OutOfDeviceMemory: The GPU's memory does not suffice.
        """
        program = self._program(batch)
        self.device.bind()
        if lane not in self._lanes:
            self._lanes[lane] = FusedLane(self.device)
        return FusedContext(self, self._lanes[lane], program, batch)

    def kernel(self, index: int) -> Kernel:
        """Return a kernel of the file, loaded when it is first asked for."""
        if index not in self._kernels:
            code = self.content.kernels[index]
            self._kernels[index] = self._scope.kernel(
                code.cubin, code.name, threads=code.threads, shared=code.shared
            )
        return self._kernels[index]

    def close(self) -> None:
        """Free code, weights and buffers; no context may be used afterwards."""
        self.device.bind()
        while self._lanes:
            self._lanes.popitem()[1].close()
        self._kernels.clear()
        self._scope.close()

    def _program(self, batch: int) -> Program:
        """Return the narrowest program for a batch size."""
        mine = [p for p in self.content.programs if p.target == self.device.info.arch]
        fitting = [p for p in mine if p.smallest <= batch <= p.largest]
        if not fitting:
            have = ", ".join(
                str(p.smallest) if p.smallest == p.largest else f"{p.smallest}-{p.largest}" for p in mine
            )
            wanted = ",".join(map(str, sorted({*self.file.batches, batch})))
            raise ArtifactError(
                f"{self.file.path} has no profile for batches of {batch} (it has {have}).",
                hint=f"Build one with it: {rebuild_command(self.file, batches=wanted)}",
            )
        return min(fitting, key=lambda p: p.largest - p.smallest)


class FusedContext:
    """Runs batches of one size; see :class:`yolotrt.backends.base.DeviceContext`.

    Attributes:
        batch: Number of images in a batch.
        tensors: Type of the input and of each output, by name.
        input_pointer: Device address of the input, to be set before :meth:`enqueue`.
        output_pointers: Device addresses by output name, to be set before :meth:`enqueue`.
        source: A frame to read instead of the input.
    """

    takes_host_images = True

    def __init__(self, engine: FusedEngine, lane: FusedLane, program: Program, batch: int) -> None:
        spec, content = engine.file.spec, engine.content
        half, single = np.dtype(np.float16), np.dtype(np.float32)
        self.batch = batch
        self.tensors: Mapping[str, TensorType] = {
            spec.input_name: TensorType(half, (batch, 3, *content.input_hw)),
            spec.head_output: TensorType(single, (batch, *content.head)),
            spec.proto_output: TensorType(half, (batch, *content.protos)),
        }
        self.input_pointer = 0
        self.output_pointers: Mapping[str, int] = {}
        self.source: FrameSource | None = None
        self.program = program
        self._engine, self._lane, self._spec = engine, lane, spec
        self._arena = lane.arena(content.arena_nbytes * batch)
        self._launches: dict[tuple[Any, ...], list[Launch]] = {}
        self._side = lane.streams(max(s.stream for s in program.starts))
        awaited = sorted({j for s in program.starts for j in s.waits} | set(self._ends()))
        events = lane.events(len(awaited))
        self._event = dict(zip(awaited, events, strict=True))

    def enqueue(self, stream_handle: int) -> None:
        """Start the batch in a stream; see :meth:`yolotrt.backends.base.DeviceContext.enqueue`.

        Raises:
            ExecutionError: An address is not a multiple of 16.
        """
        self._enqueue(stream_handle, 0)

    def begin(self, stream_handle: int, images: range) -> None:
        """Start the first steps for some images; see :meth:`yolotrt.backends.base.FrameReader.begin`."""
        caller = self._engine.device.foreign_stream(stream_handle)
        for launch in self._bound(images)[: self._engine.content.ahead]:
            launch(caller)

    def resume(self, stream_handle: int) -> None:
        """Start the other steps; see :meth:`yolotrt.backends.base.FrameReader.resume`."""
        self._enqueue(stream_handle, self._engine.content.ahead)

    def _enqueue(self, stream_handle: int, first: int) -> None:
        """Start all steps from ``first`` on."""
        caller = self._engine.device.foreign_stream(stream_handle)
        streams = [caller, *self._side]
        begun = {0}
        if self._side:
            caller.record(self._lane.begin)
        for i, (start, launch) in enumerate(zip(self.program.starts, self._bound(), strict=True)):
            if i < first:
                continue
            stream = streams[start.stream]
            if start.stream not in begun:
                stream.wait(self._lane.begin)
                begun.add(start.stream)
            for j in (j for j in start.waits if j >= first):
                stream.wait(self._event[j])
            launch(stream)
            if i in self._event:
                stream.record(self._event[i])
        for i in self._ends():
            caller.wait(self._event[i])

    def launches_on_host_buffers(self) -> list[tuple[str, Launch]]:
        """Return each step's name and its kernel on the memory of :meth:`run`, to be timed one by one."""
        before = self.input_pointer, self.output_pointers, self.source
        host = self._lane.host(self.batch, self.tensors)
        self.input_pointer, self.output_pointers = host.addresses()
        self.source = None
        bound = self._bound()
        self.input_pointer, self.output_pointers, self.source = before
        return [(s.step, launch) for s, launch in zip(self.program.starts, bound, strict=True)]

    @property
    def images(self) -> F32:
        """(batch, 3, height, width) float32 input on the host, for :meth:`run`."""
        return self._lane.host(self.batch, self.tensors).images

    def run(self) -> tuple[F32, F32]:
        """Run the batch in :attr:`images` and wait; see :meth:`yolotrt.backends.base.Context.run`.

        The copies over PCIe make this the slow way; it is there for calibration and evaluation.
        """
        self._engine.device.bind()
        host = self._lane.host(self.batch, self.tensors)
        before = self.input_pointer, self.output_pointers, self.source
        host.upload()
        self.input_pointer, self.output_pointers = host.addresses()
        self.source = None
        try:
            self.enqueue(host.stream.handle)
        finally:
            self.input_pointer, self.output_pointers, self.source = before
        return host.download()

    def close(self) -> None:
        """Let go of the arguments; the lane's memory is the engine's to free."""
        self._launches.clear()

    def _ends(self) -> list[int]:
        """Return the last start of each side stream."""
        last = {s.stream: i for i, s in enumerate(self.program.starts)}
        return [i for stream, i in last.items() if stream]

    def _bound(self, images: range | None = None) -> list[Launch]:
        """Return all kernels with their arguments for the addresses that are set, for all images or some."""
        spec = self._spec
        outputs = (self.output_pointers[spec.head_output], self.output_pointers[spec.proto_output])
        source = self.source
        addresses = (0 if source else self.input_pointer, *outputs)
        images = images or range(self.batch)
        key = (source, images, *addresses)
        if key not in self._launches:
            if any(a % _ALIGNED for a in addresses):
                raise ExecutionError(
                    f"Addresses of images and results must be multiples of {_ALIGNED} bytes."
                )
            spaces: dict[Space, int] = {
                "arena": self._arena, "weights": self._engine.weights, "input": addresses[0],
                "head": addresses[1], "protos": addresses[2],
            }  # fmt: skip
            starts = list(self.program.starts)
            if source:
                index, start = self.program.frames[kind_of(source)]
                starts[index] = start
            given = given_by(source, spaces)
            self._launches[key] = [self._bind(start, spaces, given, images) for start in starts]
        return self._launches[key]

    def _bind(
        self, start: Start, spaces: Mapping[Space, int], given: Mapping[str, int], images: range
    ) -> Launch:
        arguments: list[Argument] = []
        for arg in start.args:
            if isinstance(arg, Given):
                arguments.append(("int", given[arg.name]))
                continue
            assert arg is not None  # the compiler has left those out
            if isinstance(arg, Address):
                at = arg.per_image * self.batch + arg.fixed + arg.item * images.start
                arguments.append(("pointer", spaces[arg.space] + at))
            else:
                arguments.append(("int", arg.per_image * len(images) + arg.fixed))
        arguments += [("pointer", 0), ("pointer", 0)]  # scratch memory of Triton's, which no kernel has
        return self._engine.kernel(start.kernel).launch(start.programs(len(images)), arguments)
