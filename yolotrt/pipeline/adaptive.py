"""A pipeline that looks at tiles where something may have changed, and carries what it knows of the others.

The global pass runs first, then the chosen tiles as a montage. What the other tiles showed when they were
last looked at takes its place beside them, and all is merged as ever: an object on a border between a tile
that ran and one that did not is one object. It works alike on processors and GPUs, since what runs is a plain
pipeline; on a GPU the choice is made on the host, from the frame in its memory, and the montage is uploaded.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from yolotrt.arrays import Bits, Frame
from yolotrt.backends.files import EngineFile
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.thumbnail import brightness
from yolotrt.geometry.tiles import TileGrid, split_groups
from yolotrt.pipeline.choosing import Chooser, Chosen
from yolotrt.pipeline.chunks import in_batches
from yolotrt.pipeline.flights import Pending, Waiting
from yolotrt.pipeline.frames import FrameResult, Passes, as_frame
from yolotrt.pipeline.merge import merge_frame
from yolotrt.pipeline.montage import Montage
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.streams import Streams
from yolotrt.pipeline.tile_choice import ALL_TILES, Adaptive
from yolotrt.pipeline.tile_use import FrameTiles
from yolotrt.pipeline.wanted import wanted
from yolotrt.timing.clock import Clock, now
from yolotrt.timing.trace import FrameTrace

_ON_GPU = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""Numbers of tiles that run together on a GPU where the engine takes any: each has buffers of its own."""

_KEPT = ("merge", "end_to_end")
"""Spans of the pipelines inside that are not this one's."""


class Runner(Protocol):
    """A plain pipeline."""

    def submit(self, frame: Any) -> Pending:
        """Take a frame."""
        ...

    def prepare(self, frame_wh: tuple[int, int]) -> None:
        """Make what frames of a size need."""
        ...

    def close(self) -> None:
        """Free what was made."""
        ...


class AdaptivePipeline:
    """Runs frames of one or several cameras. For one thread at a time.

    Args:
        make: Makes a plain pipeline on the engines.
        file: The engine of the tiles.
        settings: How frames are cut, run and decoded; with an adaptive choice of tiles.
        on_gpu: Whether the engine runs on a GPU, where each number of tiles costs memory.
        clock: What the traces read.
    """

    def __init__(
        self,
        make: Callable[[PipelineSettings], Runner],
        file: EngineFile,
        settings: PipelineSettings,
        *,
        on_gpu: bool,
        clock: Clock = now,
    ) -> None:
        assert settings.tiles.adaptive is not None
        self._adaptive: Adaptive = settings.tiles.adaptive
        self._make, self._file, self._settings = make, file, settings
        self._on_gpu, self._clock = on_gpu, clock
        self._streams: Streams[_Stream] = Streams()
        self._runners: dict[tuple[str, int], Runner] = {}

    def submit(self, frame: Any, stream: Hashable = None) -> Pending:
        """Take a frame of a camera; it is processed when its result is asked for.

        Args:
            frame: See :func:`yolotrt.pipeline.frames.as_frame`.
            stream: Which camera it is of; any value that is the same for all its frames.
        """
        given = as_frame(frame)
        return Waiting(lambda: self._run(given, stream))

    def prepare(self, frame_wh: tuple[int, int]) -> None:
        """Make contexts and buffers for whole frames of this size; those of montages are made when needed."""
        self._runner("tiles").prepare(frame_wh)
        if "global" in self._settings.mode:
            self._runner("global").prepare(frame_wh)

    def close(self) -> None:
        """Free what was made, and forget all cameras."""
        self._streams.clear()
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
            else:
                chosen, tiles, global_pass = self._look(frame, stream, stream.chooser, trace)
            with trace.span("merge"):
                conf = self._settings.decode.conf
                merged = merge_frame(tiles, stream.grid, global_pass, self._settings.merge, conf=conf)
                merged = wanted(merged, self._settings)
        carried = _carried(merged, stream.grid, chosen, global_pass)
        passes, names = Passes(tiles, global_pass), self._file.spec.names
        looked = FrameTiles(chosen, carried, self._adaptive.refresh)
        return FrameResult(merged, trace, passes, stream.grid.frame_wh, names, looked)

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
            chosen = chooser.choose(brightness(frame), global_pass)
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
            return chosen, chooser.looked(chosen_tiles, found), global_pass

    def _stream(self, name: Hashable, frame_wh: tuple[int, int]) -> _Stream:
        known = self._streams.get(name)
        if known is None or known.grid.frame_wh != frame_wh:
            known = self._new_stream(frame_wh)
        self._streams.put(name, known)
        return known

    def _new_stream(self, frame_wh: tuple[int, int]) -> _Stream:
        grid = self._settings.grid(frame_wh, self._file.spec.input_wh)
        count = len(grid.origins)
        chooser = None
        if grid.content_wh == grid.tile_wh:
            chooser = Chooser(grid, self._adaptive, lambda wish: self._runnable(wish, count))
        return _Stream(grid, Montage(grid), chooser)

    def _runnable(self, wish: int, most: int) -> int:
        """Return the least number of tiles from ``wish`` on that the engine runs together."""
        accepted = self._file.batches if self._file.spec.batch is None else (self._file.spec.batch,)
        for count in range(wish, most):
            parts = split_groups(count, min(self._settings.groups, count))
            sizes = {len(batch) for part in parts for batch in in_batches(part, self._file)}
            if sizes <= set(accepted) if accepted else not self._on_gpu or count in _ON_GPU:
                return count
        return most

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
            whole = replace(self._settings.tiles, adaptive=None)
            plain = replace(
                self._settings, tiles=whole, track=False, classes=None, agnostic=False, groups=groups
            )
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


def _take(trace: FrameTrace, inner: FrameTrace) -> None:
    """Add the spans of a pass to those of its frame."""
    trace.spans.extend(span for span in inner.spans if span.stage not in _KEPT)


def _carried(found: Detections, grid: TileGrid, chosen: Chosen, global_pass: Detections | None) -> Bits:
    """Return which detections (n,) nothing looked at in this frame.

    Those whose centre no tile shows that ran, unless they are the global pass's own.
    """
    if chosen.all or not len(found):
        return np.zeros(len(found), np.bool_)
    low = np.array([grid.origins[tile] for tile in chosen.reasons], np.float32).reshape(-1, 1, 2)
    centre = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    inside = (low <= centre) & (centre <= low + np.array(grid.content_wh, np.float32))
    carried: Bits = np.logical_not(np.all(inside, axis=2).any(axis=0))
    if global_pass is not None and len(global_pass):
        own: Bits = np.all(found.boxes[:, None] == global_pass.boxes[None], axis=2)
        own &= found.classes[:, None] == global_pass.classes[None]
        carried &= np.logical_not(own.any(axis=1))
    return carried
