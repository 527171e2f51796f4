"""A pipeline that looks at tiles where something may have changed, and carries what it knows of the others.

What the tiles that do not run showed when they were last looked at takes its place beside those that do,
and all is merged as ever: an object on a border between a tile that ran and one that did not is one object.

On a processor the global pass runs first, then the chosen tiles as a montage. One GPU does it for the first
camera by itself (``pipeline/device/camera.py``). For further cameras, and with several GPUs, the choice is
made on the host, and the montage is uploaded: what runs is a plain pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from yolotrt.arrays import Frame
from yolotrt.backends.files import EngineFile
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.thumbnail import brightness
from yolotrt.geometry.tiles import TileGrid, split_groups
from yolotrt.pipeline.choosing import Chooser, Chosen, Finds
from yolotrt.pipeline.chunks import in_batches
from yolotrt.pipeline.flights import Pending, Waiting
from yolotrt.pipeline.frames import FrameResult, Passes, Unmerged, as_frame
from yolotrt.pipeline.merge import merge_frame
from yolotrt.pipeline.montage import Montage
from yolotrt.pipeline.motion import MotionWatch
from yolotrt.pipeline.runners import NewCamera, OneCamera, Runner
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.streams import Streams
from yolotrt.pipeline.tile_choice import ALL_TILES, Adaptive
from yolotrt.pipeline.tile_use import FrameTiles, carried_of
from yolotrt.pipeline.wanted import wanted
from yolotrt.timing.clock import Clock, now
from yolotrt.timing.trace import FrameTrace, Span

_ON_GPU = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""Numbers of tiles that run together on a GPU where the engine takes any: each has buffers of its own."""

_MORE_BATCHES = 1
"""Batches more than the largest profile would make of them, in which chosen tiles may run. Nine are eight and
one: half the work of sixteen where the network fills the GPU. Three batches of few tiles leave one half
empty; then the next larger number is better, as tiles that are looked at before their turn are no waste."""

_NOBODY = object()
"""Stands for a camera that is not known yet."""

_KEPT = ("merge", "end_to_end")
"""Spans of the pipelines inside that are not this one's."""


class AdaptivePipeline:
    """Runs frames of one or several cameras. For one thread at a time.

    Args:
        make: Makes a plain pipeline on the engines.
        file: The engine of the tiles.
        settings: How frames are cut, run and decoded; with an adaptive choice of tiles.
        on_gpu: Whether the engine runs on a GPU, where each number of tiles costs memory.
        camera: Makes what serves one camera on the GPU; None where there is no such thing.
        clock: What the traces read.
    """

    def __init__(
        self,
        make: Callable[[PipelineSettings], Runner],
        file: EngineFile,
        settings: PipelineSettings,
        *,
        on_gpu: bool,
        camera: NewCamera | None = None,
        clock: Clock = now,
    ) -> None:
        assert settings.tiles.adaptive is not None
        self._adaptive: Adaptive = settings.tiles.adaptive
        self._make, self._file, self._settings = make, file, settings
        self._on_gpu, self._clock = on_gpu, clock
        self._streams: Streams[_Stream] = Streams()
        self._runners: dict[tuple[str, int], Runner] = {}
        self._new_camera = camera
        self._served: Hashable = None
        self._camera: OneCamera | None = None

    def submit(self, frame: Any, stream: Hashable = None) -> Pending:
        """Take a frame of a camera; it is processed when its result is asked for.

        One that :meth:`frame_buffer` gave is processed at once: the next one is written there.

        Args:
            frame: See :func:`yolotrt.pipeline.frames.as_frame`.
            stream: Which camera it is of; any value that is the same for all its frames.
        """
        given = as_frame(frame)
        if self._camera is not None and np.may_share_memory(given, self._camera.frame_buffer):
            result = self._run(given, stream)
            return Waiting(lambda: result)
        return Waiting(lambda: self._run(given, stream))

    def prepare(self, frame_wh: tuple[int, int]) -> None:
        """Make contexts and buffers for whole frames of this size; those of montages are made when needed."""
        if self._new_camera is not None:
            self._serving(_NOBODY, self._stream(_NOBODY, frame_wh))
            return
        self._runner("tiles").prepare(frame_wh)
        if "global" in self._settings.mode:
            self._runner("global").prepare(frame_wh)

    def frame_buffer(self, frame_wh: tuple[int, int], stream: Hashable) -> Frame:
        """Return (h, w, 3) uint8 memory from which a camera's next frame of this size is uploaded."""
        known = self._stream(stream, frame_wh)
        camera = self._serving(stream, known)
        return np.empty((frame_wh[1], frame_wh[0], 3), np.uint8) if camera is None else camera.frame_buffer

    def close(self) -> None:
        """Free what was made, and forget all cameras."""
        self._streams.clear()
        self._leave()
        while self._runners:
            self._runners.popitem()[1].close()

    def _run(self, frame: Frame, name: Hashable) -> FrameResult:
        stream = self._stream(name, (frame.shape[1], frame.shape[0]))
        trace = FrameTrace(clock=self._clock)
        with trace.span("end_to_end"):
            if stream.chooser is None:  # tiles larger than the frame: there is nothing to choose
                result = self._runner("plain").submit(frame).result()
                _take(trace, result.trace)
                count = len(stream.grid.origins)
                chosen = Chosen(dict.fromkeys(range(count), "all"), count)
                tiles: list[Detections] = list(result.tiles)
                global_pass = result.global_pass
            elif (camera := self._serving(name, stream)) is not None:
                return self._by_camera(camera, frame, stream.grid, trace)
            else:
                chosen, tiles, global_pass = self._look(frame, stream, stream.chooser, trace)
            with trace.span("merge"):
                conf = self._settings.decode.conf
                merged = merge_frame(tiles, stream.grid, global_pass, self._settings.merge, conf=conf)
                merged = wanted(merged, self._settings)
        return self._result(merged, trace, Passes(tiles, global_pass), stream.grid, chosen)

    def _by_camera(self, camera: OneCamera, frame: Frame, grid: TileGrid, trace: FrameTrace) -> FrameResult:
        begin = self._clock()
        try:
            chosen, found, merged = camera.run(frame, trace)
        except BaseException:  # a frame may still be running
            self._leave()
            raise
        merged = wanted(merged, self._settings)
        trace.spans.append(Span("end_to_end", None, begin, self._clock()))
        return self._result(merged, trace, found, grid, chosen)

    def _result(
        self, merged: Detections, trace: FrameTrace, seen: Unmerged, grid: TileGrid, chosen: Chosen
    ) -> FrameResult:
        looked = FrameTiles(
            chosen, lambda: carried_of(merged, grid, chosen, seen.global_pass), self._adaptive.refresh
        )
        return FrameResult(merged, trace, seen, grid.frame_wh, self._file.spec.names, looked)

    def _serving(self, name: Hashable, stream: _Stream) -> OneCamera | None:
        """Return what serves a camera on the GPU: the first one, as long as its frames keep their size."""
        if self._new_camera is None or stream.chooser is None:
            return None
        if self._camera is None:
            self._camera, self._served = self._new_camera(stream.grid, stream.chooser, self._plain), name
        return self._camera if name == self._served else None

    def _leave(self) -> None:
        """Forget the camera that is served on the GPU."""
        if self._camera is not None:
            camera, self._camera = self._camera, None
            self._streams.drop(self._served)
            camera.close()

    def _look(
        self, frame: Frame, stream: _Stream, chooser: Chooser, trace: FrameTrace
    ) -> tuple[Chosen, list[Detections], Detections | None]:
        """Return what was looked at, and what is known of all tiles and of the global pass."""
        global_pass = None
        if "global" in self._settings.mode:
            result = self._runner("global").submit(frame).result()
            global_pass = result.global_pass
            _take(trace, result.trace)
        with trace.span("decide"):
            if global_pass is not None:
                chooser.global_found(Finds.of([0], [global_pass]))
            chosen = chooser.choose(stream.watch.look(brightness(frame)))
        chosen_tiles = list(chosen.reasons)
        if chosen.all:
            result = self._runner("tiles").submit(frame).result()
            found: list[Detections] = list(result.tiles)
        else:
            with trace.span("prepare_batch", scope="tiles"):
                montage = stream.montage.of(frame, chosen_tiles)
            count = len(chosen_tiles)
            result = self._runner("montage", count).submit(montage).result()
            found = stream.montage.back(chosen_tiles, result.tiles)
        _take(trace, result.trace)
        with trace.span("decide"):
            stream.watch.looked_at(chosen_tiles)
            chooser.looked(chosen_tiles, Finds.of(chosen_tiles, found))
        for tile, seen in zip(chosen_tiles, found, strict=True):
            stream.known[tile] = seen
        return chosen, list(stream.known), global_pass

    def _stream(self, name: Hashable, frame_wh: tuple[int, int]) -> _Stream:
        known = self._streams.get(name)
        if known is None and self._served is _NOBODY and self._camera is not None:
            known, self._served = self._streams.get(_NOBODY), name  # what was prepared is for who comes first
            self._streams.drop(_NOBODY)
        if known is None or known.grid.frame_wh != frame_wh:
            if name == self._served:  # its frames have another size, or it was forgotten among many
                self._leave()
            known = self._new_stream(frame_wh)
        self._streams.put(name, known)
        return known

    def _new_stream(self, frame_wh: tuple[int, int]) -> _Stream:
        grid = self._settings.grid(frame_wh, self._file.spec.input_wh)
        count = len(grid.origins)
        chooser = None
        if grid.content_wh == grid.tile_wh:
            chooser = Chooser(grid, self._adaptive, self._runnable(count).__getitem__)
        return _Stream(grid, Montage(grid), chooser, MotionWatch(grid), [Detections.empty()] * count)

    def _runnable(self, most: int) -> list[int]:
        """Return for each number of tiles the least from there on that run well together; ``most`` do."""
        found = [most] * (most + 1)
        for count in range(most - 1, 0, -1):
            found[count] = count if self._runs_well(count) else found[count + 1]
        found[0] = found[min(1, most)]
        return found

    def _runs_well(self, count: int) -> bool:
        """Whether so many tiles run in batches of profiles that there are, and in few of them."""
        accepted = self._file.takes
        if not accepted:
            return not self._on_gpu or count in _ON_GPU
        groups = 1 if self._new_camera is not None else self._settings.groups
        for part in split_groups(count, min(groups, count)):
            batches = in_batches(part, self._file)
            fewest = -(-len(part) // max(accepted))
            if len(batches) > fewest + _MORE_BATCHES or not {len(batch) for batch in batches} <= set(
                accepted
            ):
                return False
        return True

    @property
    def _plain(self) -> PipelineSettings:
        """The same without what is done with merged detections here."""
        whole = replace(self._settings.tiles, adaptive=None)
        return replace(self._settings, tiles=whole, track=False, classes=None, agnostic=False)

    def _runner(self, what: str, count: int = 0) -> Runner:
        """Return the pipeline for a part of the work.

        Args:
            what: ``global``; ``tiles``, all of them; ``montage``, of some; or ``plain``, the whole frame.
            count: How many tiles a montage has.
        """
        # On a GPU buffers belong to one size of frames, so that every number of tiles has its own.
        groups = min(self._settings.groups, count) if what == "montage" else self._settings.groups
        key = (what, count if self._on_gpu else groups)
        if key not in self._runners:
            plain = replace(self._plain, groups=groups)
            if what == "montage":
                plain = replace(plain, mode="tiled", tiles=ALL_TILES, overlap=0.0)
            elif what == "tiles":
                plain = replace(plain, mode="tiled")
            elif what == "global":
                plain = replace(plain, mode="global", tiles=ALL_TILES)
            self._runners[key] = self._make(plain)
        return self._runners[key]


@dataclass
class _Stream:
    """What is known of one camera."""

    grid: TileGrid
    montage: Montage
    chooser: Chooser | None
    watch: MotionWatch
    known: list[Detections]
    """What each tile showed when it was last looked at."""


def _take(trace: FrameTrace, inner: FrameTrace) -> None:
    """Add the spans of a pass to those of its frame."""
    trace.spans.extend(span for span in inner.spans if span.stage not in _KEPT)
