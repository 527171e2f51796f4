"""A pass over a frame on one GPU: its contexts, its memory, and its results."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from yolotrt.arrays import U8
from yolotrt.backends.base import DeviceContext, DeviceEngine
from yolotrt.cuda.device import Device, Scope, Stream
from yolotrt.cuda.driver import OutOfDeviceMemory
from yolotrt.geometry.letterbox import Letterbox
from yolotrt.pipeline.chunks import in_batches
from yolotrt.pipeline.decode import DecodeSettings, require_named
from yolotrt.pipeline.device.decode import DecodeWork, DeviceDecoder
from yolotrt.pipeline.device.pass_input import PassInput
from yolotrt.pipeline.device.results import WORD, PassFound, Results
from yolotrt.pipeline.device.share import Lanes, PassBuffers
from yolotrt.pipeline.device.sources import Source

_STARTERS = 8
"""Contexts that start side by side."""

_SPARE = 5 / 4
"""Room for masks is enlarged to what one frame needed times this."""


class DevicePass:
    """Contexts and memory for all images of a pass; frames take turns on them.

    Args:
        device: The GPU.
        scope: Owns the memory.
        engine: Gives the contexts.
        placement: How every image lies in the network's input.
        parts: The groups of images, contiguous. Each runs in batches, one after another.
        origins: Upper left corner (x, y) of each image in the frame, px.
        decode: Thresholds.
        lanes: Where contexts that run at the same time get lanes of their own.
        shared: Batches of one size share one context, because no groups run at the same time.

    Raises:
        ArtifactError: The engine has no profile for a batch size.
        OutOfDeviceMemory: The buffers do not fit.
    """

    def __init__(
        self,
        device: Device,
        scope: Scope,
        engine: DeviceEngine,
        placement: Letterbox,
        parts: Sequence[range],
        origins: list[tuple[int, int]],
        decode: DecodeSettings,
        lanes: Lanes,
        *,
        shared: bool,
    ) -> None:
        self.parts = [range(p.start - parts[0].start, p.stop - parts[0].start) for p in parts]
        self._batches = [in_batches(part, engine.file) for part in self.parts]
        self.images = len(origins)
        self.placement = placement
        self.origins = origins
        self.masks = decode.masks
        self._shared = shared
        sizes = [[len(batch) for batch in batches] for batches in self._batches]
        self._contexts = _contexts(engine, sizes, lanes, shared=shared)
        self.buffers = PassBuffers(scope, engine, self._contexts[0][0].tensors, self.images)
        self.spec = engine.file.spec
        self.decoder = DeviceDecoder(device, scope, self.buffers.outputs, self.spec, placement, decode)
        self._device = device

    def infer(self, part: int, stream: Stream, source: Source | None = None) -> None:
        """Start the batches of one group in a stream, one after another.

        Args:
            part: Which group.
            stream: Where.
            source: What the engine reads; None takes the pass's input.
        """
        for batch, context in zip(self._batches[part], self._contexts[part], strict=True):
            if source is None:
                self.buffers.run(context, batch.start, stream)
                continue
            with self.buffers.reading(context, batch.start, source) as reader:
                reader.begin(stream.handle, range(len(batch)))
                reader.resume(stream.handle)

    def infer_each(self, stream: Stream, inputs: Sequence[PassInput]) -> None:
        """Start the inference of a pass of one batch, each image of which gets its pixels from elsewhere."""
        if inputs[0].source is None:
            for given in inputs:
                for prepare in given.prepare:
                    prepare(stream)
            self.infer(0, stream)
            return
        for image, given in enumerate(inputs):
            assert given.source is not None
            self.begin(0, range(image, image + 1), stream, given.source)
        self.resume(0, stream, inputs[0].source)

    def one_batch(self, part: int) -> bool:
        """Whether a group runs at once, so that some of its images can begin before the others are there."""
        return len(self._batches[part]) == 1

    def begin(self, part: int, images: range, stream: Stream, source: Source) -> None:
        """Start what can be done for some images of a group that runs at once; counted in the pass."""
        (batch,), (context,) = self._batches[part], self._contexts[part]
        mine = range(images.start - batch.start, images.stop - batch.start)
        with self.buffers.reading(context, batch.start, source) as reader:
            reader.begin(stream.handle, mine)

    def resume(self, part: int, stream: Stream, source: Source) -> None:
        """Start the rest of a group's inference, when all its images have begun."""
        (batch,), (context,) = self._batches[part], self._contexts[part]
        with self.buffers.reading(context, batch.start, source) as reader:
            reader.resume(stream.handle)

    def warm_up(self, streams: Sequence[Stream], source: Source | None = None) -> int:
        """Run every group once, each in the stream that it will always have.

        Libraries choose kernels and take memory at a context's first run. That can take seconds, so all
        but the first run side by side; the first alone shows what a group's contexts take.

        Returns:
            Device memory that the first group's contexts took, bytes; other programs on the GPU blur it.

        Raises:
            OutOfDeviceMemory: A context does not fit; says how much each takes and how many fit.
        """
        if source is None:
            streams[0].clear(self.buffers.input_buffer)
            streams[0].synchronize()
        free, _ = self._device.memory()
        taken: int | None = None

        def run(part: int) -> None:
            self.infer(part, streams[part], source)
            streams[part].synchronize()

        try:
            run(0)
            taken = max(0, free - self._device.memory()[0])
            others = range(1, len(streams))
            if self._shared:  # contexts that are shared, as in serial dispatch, must take turns
                for part in others:
                    run(part)
            else:
                with ThreadPoolExecutor(_STARTERS, initializer=self._device.bind) as pool:
                    list(pool.map(run, others))
        except OutOfDeviceMemory as exc:
            raise _too_many_groups(self._device, taken, free, len(streams)) from exc
        return taken

    def slot(self, scope: Scope, given: PassInput) -> PassSlot:
        """Return this pass for one frame in flight, from which ``given`` gives it pixels."""
        width, height = self.placement.image_wh
        words = self.images * -(-width // WORD) * height  # as if masks covered every image once
        return self.slot_with_room(scope, given, words)

    def slot_with_room(self, scope: Scope, given: PassInput, words: int) -> PassSlot:
        """Return this pass for one frame in flight, with room for masks of so many words."""
        results = Results(scope, self.images, self.decoder.limit, words)
        return PassSlot(self, given, results, self.decoder.into(results, self.parts))

    def close(self) -> None:
        """Let the contexts go, before the memory that they use."""
        contexts = [context for group in self._contexts for context in group]
        self._contexts.clear()
        while contexts:
            context = contexts.pop()
            if context not in contexts:
                context.close()


@dataclass(frozen=True)
class PassSlot:
    """A pass for one frame in flight."""

    owner: DevicePass
    input: PassInput
    results: Results
    decode: DecodeWork

    @property
    def reads_frames(self) -> bool:
        """Whether the engine takes its images from the frame itself."""
        return self.input.source is not None

    def one_batch(self, part: int) -> bool:
        """Whether a group runs at once, so that some of its images can begin before the others are there."""
        return self.owner.one_batch(part)

    def prepare(self, part: int, stream: Stream) -> None:
        """Start writing one group's input; nothing where the engine reads the frame."""
        if self.input.prepare:
            self.input.prepare[part](stream)

    def infer(self, part: int, stream: Stream) -> None:
        """Start the inference of one group."""
        self.owner.infer(part, stream, self.input.source)

    def begin(self, part: int, images: range, stream: Stream) -> None:
        """Start what can be done for some images of a group, where the engine reads frames."""
        assert self.input.source is not None
        self.owner.begin(part, images, stream, self.input.source)

    def resume(self, part: int, stream: Stream) -> None:
        """Start the rest of a group's inference, when all its images have begun."""
        assert self.input.source is not None
        self.owner.resume(part, stream, self.input.source)

    def enlarged(self, scope: Scope) -> PassSlot:
        """Return the slot with room for all the masks that its last frame needed."""
        words = int((self.results.words + self.results.missing_words) * _SPARE)
        return self.owner.slot_with_room(scope, self.input, words)

    def read(self, bits: U8) -> PassFound:
        """Return what was found, with the bits of its masks.

        Raises:
            ExecutionError: An output of the engine is broken.
        """
        found = self.results.read(self.owner.origins, bits if self.owner.masks else None)
        require_named(found.records["label"], self.owner.spec)
        return found


def _contexts(
    engine: DeviceEngine, groups: Sequence[Sequence[int]], lanes: Lanes, *, shared: bool
) -> list[list[DeviceContext]]:
    """Return a context for every batch of every group, by their sizes.

    The batches of a group never run at the same time, so they are in one lane. They still have contexts of
    their own: a graph is captured of all of them, and each is bound to other parts of the buffers.
    """
    if not shared:
        by_lane = ((lanes.take(engine), sizes) for sizes in groups)
        return [[engine.new_context(size, lane=lane) for size in sizes] for lane, sizes in by_lane]
    lane = lanes.take(engine)
    distinct = dict.fromkeys(size for sizes in groups for size in sizes)
    by_size = {size: engine.new_context(size, lane=lane) for size in distinct}
    return [[by_size[size] for size in sizes] for sizes in groups]


def _too_many_groups(device: Device, taken: int | None, free: int, wanted: int) -> OutOfDeviceMemory:
    """Say what a group needs and how many fit into what was free."""
    room = f"the {free / 2**20:.0f} MiB that are free on {device.name}"
    if taken is None:
        return OutOfDeviceMemory(
            f"Not even one group fits into {room}.",
            hint="Use more --groups (smaller batches), or end other programs on this GPU.",
        )
    fit = max(1, min(free // max(taken, 1), wanted - 1))
    return OutOfDeviceMemory(
        f"Only {fit} of {wanted} groups fit into {room}: each takes about {taken / 2**20:.0f} MiB.",
        hint=f"Use --groups {fit}, or end other programs on this GPU.",
    )
