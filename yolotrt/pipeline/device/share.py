"""What one GPU does of a frame, and everything it needs for that: buffers, contexts, kernels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, count, pairwise
from typing import ClassVar, cast
from weakref import WeakKeyDictionary

import numpy as np

from yolotrt.backends.base import DeviceContext, DeviceEngine, FrameOnDevice, FrameReader
from yolotrt.cuda.device import Buffer, Device, Launch, PinnedBuffer, Scope, Stream
from yolotrt.cuda.driver import Argument
from yolotrt.cuda.tensor import TensorType
from yolotrt.geometry.letterbox import Letterbox
from yolotrt.geometry.tiles import TileGrid
from yolotrt.pipeline.device.decode import THREADS, Outputs
from yolotrt.pipeline.device.sources import Source

PIXELS = 8
"""Pixels per thread of the tile kernel, as in prepare.cu."""

GLOBAL_TILES = 6  # that take about as long as the global pass beside them: 4 to 8 on an H200 (fused.json)
FRAME_SLACK = 16
"""Bytes behind a frame in device memory, which the tile kernel may read but does not use."""


@dataclass(frozen=True)
class Gpu:
    """One GPU and what runs on it.

    Attributes:
        device: The GPU.
        engine: Loaded there; runs the tiles, and the global pass unless ``global_engine`` does.
        global_engine: Loaded there too; runs the global pass instead.
    """

    device: Device
    engine: DeviceEngine
    global_engine: DeviceEngine | None = None

    @property
    def for_global(self) -> DeviceEngine:
        """The engine of the global pass."""
        return self.global_engine or self.engine

    def taking_turns(self) -> Gpu:
        """Return the same for a pipeline that never runs at the same time as others on these engines."""
        shared = TakingTurns(self.engine)
        same = self.for_global is self.engine
        return Gpu(self.device, shared, shared if same else TakingTurns(self.for_global))


class TakingTurns:
    """An engine for one of several pipelines that take turns on it.

    To :class:`Lanes` it is an engine of its own, so all the pipelines count their lanes from zero: contexts
    of one batch size and lane are then shared by them, where the engine shares at all.
    """

    def __init__(self, engine: DeviceEngine) -> None:
        self.file = engine.file
        self.device = engine.device
        self.new_context = engine.new_context
        self._engine = engine

    @property
    def capturable(self) -> bool:
        """Whether its contexts may be captured; asked only when a graph is wanted, since that can cost."""
        return self._engine.capturable

    @property
    def reads_frames(self) -> bool:
        """Whether its contexts read frames."""
        return self._engine.reads_frames

    @property
    def reads_yuv(self) -> bool:
        """Whether they read frames as decoders give them."""
        return self._engine.reads_yuv


@dataclass(frozen=True)
class Share:
    """One GPU's part of a frame.

    Attributes:
        groups: Indices of the tiles of each group; contiguous, together ``tiles``.
        runs_global: It also runs the global pass.
        first_group: Number of the first group, counted over all GPUs.
    """

    groups: tuple[range, ...]
    runs_global: bool
    first_group: int = 0

    @property
    def tiles(self) -> range:
        """Indices of all its tiles."""
        return range(self.groups[0].start, self.groups[-1].stop) if self.groups else range(0)


def deal(groups: Sequence[range], devices: int, *, runs_global: bool) -> list[Share]:
    """Deal groups out to GPUs, in order and as evenly as possible.

    The last GPU never has more than the others, so it runs the global pass too, and gets fewer tiles for that
    where groups are small enough. GPUs that would get nothing are left out.
    """
    fewer = range(len(groups) // devices + 1) if runs_global and devices > 1 else range(1)
    extra = GLOBAL_TILES if runs_global else 0
    dealt = [_dealt(groups, devices, n) for n in fewer]
    best = min(dealt, key=lambda parts: max(sum(map(len, p)) + extra * (p is parts[-1]) for p in parts))
    begins = accumulate((len(part) for part in best), initial=0)
    shares = [Share(tuple(part), False, begin) for part, begin in zip(best, begins, strict=False)]
    if runs_global:
        shares[-1] = replace(shares[-1], runs_global=True)
    return [share for share in shares if share.groups or share.runs_global]


def _dealt(groups: Sequence[range], devices: int, fewer: int) -> list[Sequence[range]]:
    """Return the groups of each GPU, so many fewer than even for the last."""
    first, others = len(groups) - len(groups) // devices + fewer, devices - 1
    bounds = [-(-first * d // others) for d in range(others + 1)] if others else [0]
    return [groups[a:b] for a, b in pairwise([*bounds, len(groups)])]


class Lanes:
    """Numbers of the lanes that nobody uses: contexts of one lane share scratch memory.

    Pipelines that use one engine at a time must not share lanes either: a graph holds the addresses of
    the scratch memory that its contexts had when it was captured.
    """

    _used: ClassVar[WeakKeyDictionary[DeviceEngine, set[int]]] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._mine: list[tuple[DeviceEngine, int]] = []

    def take(self, engine: DeviceEngine) -> int:
        """Return a free lane of an engine and keep it."""
        used = self._used.setdefault(engine, set())
        lane = next(n for n in count() if n not in used)
        used.add(lane)
        self._mine.append((engine, lane))
        return lane

    def give_back(self) -> None:
        """Let others have the lanes; their contexts must not run any more."""
        while self._mine:
            engine, lane = self._mine.pop()
            self._used[engine].discard(lane)


class PassBuffers:
    """Device memory of one pass: input and outputs of all its images, in their order.

    Groups are neighbouring parts of the same buffers, so one launch prepares or decodes all of them.
    """

    def __init__(
        self, scope: Scope, engine: DeviceEngine, tensors: Mapping[str, TensorType], images: int
    ) -> None:
        spec = engine.file.spec
        self._spec = spec
        self.types = {name: tensor.with_batch(images) for name, tensor in tensors.items()}
        self._scope = scope
        names = (spec.head_output, spec.proto_output)
        self._outputs = {name: scope.buffer(self.types[name].nbytes) for name in names if name in self.types}

    @property
    def input(self) -> TensorType:
        """Type of the input."""
        return self.types[self._spec.input_name]

    @cached_property
    def input_buffer(self) -> Buffer:
        """The input, made when it is first asked for: engines that read frames need none."""
        return self._scope.buffer(self.input.nbytes)

    @property
    def outputs(self) -> Outputs:
        """The outputs."""
        head, protos = self._spec.head_output, self._spec.proto_output
        return Outputs(
            self._outputs[head].address, self.types[head], self._outputs[protos].address, self.types[protos]
        )

    def run(self, context: DeviceContext, first: int, stream: Stream) -> None:
        """Start a context on the input's images from ``first`` on."""
        context.input_pointer = self.input_buffer.address + first * self.input.item_nbytes
        context.output_pointers = self._output_pointers(first)
        context.enqueue(stream.handle)

    @contextmanager
    def reading(self, context: DeviceContext, first: int, source: Source) -> Iterator[FrameReader]:
        """Let a context read its images, from ``first`` on, from a frame."""
        context.output_pointers = self._output_pointers(first)
        reader = cast(FrameReader, context)
        reader.source = source.images(first)
        try:
            yield reader
        finally:
            reader.source = None

    def _output_pointers(self, first: int) -> dict[str, int]:
        return {n: m.address + first * self.types[n].item_nbytes for n, m in self._outputs.items()}


class FrameBuffer:
    """One frame on the host, page-locked, and on the device."""

    def __init__(self, scope: Scope, frame_wh: tuple[int, int], pinned: PinnedBuffer | None = None) -> None:
        width, height = frame_wh
        self.nbytes = width * height * 3
        self.pinned = pinned or scope.pinned(self.nbytes)
        self.device = scope.buffer(self.nbytes + FRAME_SLACK)
        self.array = self.pinned.array[: self.nbytes].reshape(height, width, 3)

    def read_as(self, *, bgr: bool) -> FrameOnDevice:
        """Return it as engines read it."""
        height, width, _ = self.array.shape
        return FrameOnDevice(self.device.address, width, height, bgr)

    def upload(self, stream: Stream, first: int = 0, end: int | None = None) -> None:
        """Start the copy of the rows from ``first`` to ``end``, or of all, to the device."""
        row = self.array.strides[0]
        begin, stop = first * row, self.nbytes if end is None else end * row
        stream.copy(self.device.address + begin, self.pinned.address + begin, stop - begin)


def cut_tiles(
    device: Device,
    scope: Scope,
    frame: FrameBuffer,
    grid: TileGrid,
    tiles: range,
    into: PassBuffers,
    *,
    bgr: bool,
    first: int = 0,
    corners: Buffer | None = None,
) -> Launch:
    """Return the kernel that cuts tiles, or those at ``corners``, and writes them from an image on."""
    table = corners or scope.constant(np.array([grid.origins[t] for t in tiles], np.int32))
    (frame_w, frame_h), (width, height) = grid.frame_wh, grid.tile_wh
    arguments: list[Argument] = [
        ("pointer", frame.device.address),
        ("int", frame_w),
        ("int", frame_h),
        ("pointer", table.address),
        ("pointer", into.input_buffer.address + first * into.input.item_nbytes),
        ("int", width),
        ("int", height),
        ("int", int(bgr)),
    ]
    threads = height * width // PIXELS
    return device.launch(
        "prepare",
        "cut_tiles",
        grid=(-(-threads // THREADS), len(tiles), 1),
        block=(THREADS, 1, 1),
        arguments=arguments,
        defines={"HALF": int(into.input.half)},
    )


def letterbox(
    device: Device, frame: FrameBuffer, placement: Letterbox, into: PassBuffers, *, bgr: bool, first: int = 0
) -> Launch:
    """Return the kernel that letterboxes a frame and writes it as an image of the network input."""
    width, height = placement.model_wh
    arguments: list[Argument] = [
        ("pointer", frame.device.address),
        ("int", placement.image_wh[0]),
        ("int", placement.image_wh[1]),
        ("pointer", into.input_buffer.address + first * into.input.item_nbytes),
        ("int", width),
        ("int", height),
        ("int", placement.pad_xy[0]),
        ("int", placement.pad_xy[1]),
        ("int", placement.resized_wh[0]),
        ("int", placement.resized_wh[1]),
        ("double", placement.image_wh[0] / placement.resized_wh[0]),
        ("double", placement.image_wh[1] / placement.resized_wh[1]),
        ("int", int(bgr)),
    ]
    return device.launch(
        "prepare",
        "letterbox",
        grid=(-(-width * height // THREADS), 1, 1),
        block=(THREADS, 1, 1),
        arguments=arguments,
        defines={"HALF": int(into.input.half)},
    )
