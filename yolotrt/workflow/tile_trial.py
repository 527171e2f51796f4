"""Chosen tiles against all of them, on the same frames in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from yolotrt.arrays import Frame
from yolotrt.artifacts.fields import Count, Seconds, Share
from yolotrt.backends.base import Engine
from yolotrt.bench.statistics import Summary, summarize
from yolotrt.data.formats.tracked import TrackedVideo
from yolotrt.errors import InputError
from yolotrt.evaluation.sequence import Identities, SequenceTally
from yolotrt.pipeline.frames import FrameResult
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.tile_choice import ALL_TILES
from yolotrt.pipeline.tile_use import TileUse, UseTally
from yolotrt.pipeline.tiled import TiledPipeline
from yolotrt.timing.trace import DECIDE

SETTLED = 2
"""Frames that are not timed: contexts are made and kernels warm up in them."""


@dataclass(frozen=True)
class WayFigures:
    """One way to choose tiles on one video.

    Attributes:
        tiles: The choice, as ``--tiles`` names it.
        recall: Part of the objects of all frames that is found; None without annotations.
        small_recall: The same of small objects.
        delay: Frames from the first that shows an object until it is found, of objects that come into view.
        later: Frames by which it is found later than with all tiles.
        missed: Objects that all tiles find some time, and this way never.
        use: Which tiles ran; None where all do.
        latency: Seconds of a frame.
        decide: Seconds of choosing; None where nothing is chosen.
        identities: How well objects keep their numbers; None without tracking, or without TrackEval.
    """

    tiles: str
    recall: Share | None
    small_recall: Share | None
    delay: Percentiles | None
    later: Percentiles | None
    missed: Count
    use: TileUse | None
    latency: Summary | None
    decide: Seconds | None
    identities: Identities | None


@dataclass(frozen=True)
class Percentiles:
    """Whole numbers of frames.

    Attributes:
        count: How many there are.
        p50: Their median.
        p95: 95 % are at most this.
        most: The largest.
    """

    count: Count
    p50: float
    p95: float
    most: float

    @classmethod
    def of(cls, values: list[int]) -> Percentiles | None:
        """Return those of some values; None without any."""
        if not values:
            return None
        ordered = np.sort(np.array(values, np.float64))
        p50, p95 = np.percentile(ordered, (50, 95), method="inverted_cdf").tolist()
        return cls(len(values), p50, p95, float(ordered[-1]))


@dataclass
class Way:
    """A pipeline and what is counted of it."""

    settings: PipelineSettings
    tally: SequenceTally | None
    use: UseTally = field(default_factory=UseTally)
    seconds: list[float] = field(default_factory=list)
    decide: list[float] = field(default_factory=list)

    def add(self, result: FrameResult, *, timed: bool) -> None:
        """Count one frame, but for what was found."""
        if result.looked is not None:
            self.use.add(result.looked)
        if timed:
            self.seconds.append(result.seconds)
            deciding = result.trace.seconds(DECIDE)
            if deciding is not None:
                self.decide.append(deciding)

    def figures(self, all_tiles: Way) -> WayFigures:
        """Return everything, against the way that runs all tiles."""
        mine, other = self.tally, all_tiles.tally
        return WayFigures(
            self.settings.tiles.words,
            None if mine is None else mine.recall,
            None if mine is None else mine.small_recall,
            None if mine is None else Percentiles.of(mine.delays()),
            None if mine is None or other is None else Percentiles.of(mine.delays(other)),
            0 if mine is None or other is None else mine.missed(other),
            self.use.report(),
            summarize(self.seconds),
            float(np.median(self.decide)) if self.decide else None,
            None if mine is None else mine.identities(),
        )


EachPair = Callable[[FrameResult, FrameResult], object]
"""Called with what all tiles found in a frame, and what the chosen ones did."""


def try_tiles(
    engine: Engine,
    frames: Iterable[Frame],
    settings: PipelineSettings,
    *,
    truth: TrackedVideo | None = None,
    each: EachPair = lambda _all, _chosen: None,
) -> tuple[WayFigures, WayFigures]:
    """Run every frame with all tiles and with chosen ones, in turn, and compare.

    Args:
        engine: Runs both.
        frames: (h, w, 3) uint8 BGR each, of one camera, in their order.
        settings: With the choice of tiles that is tried.
        truth: What the frames show; frames that it does not know do not count.
        each: Called for every frame.

    Returns:
        All tiles, and the chosen ones.

    Raises:
        InputError: There is no frame.
        ExecutionError: The engine failed.
    """
    every = replace(settings, tiles=replace(settings.tiles, adaptive=None, regions=None))
    assert every.tiles == ALL_TILES
    ways = [Way(one, None) for one in (every, settings)]
    if truth is not None:
        for way in ways:
            way.tally = SequenceTally(truth.names, engine.file.spec.names)
    count = 0
    with (
        TiledPipeline(engine, every, takes_turns=True) as all_tiles,
        TiledPipeline(engine, settings, takes_turns=True) as chosen,
    ):
        for index, frame in enumerate(frames):
            # Each goes first in every second frame, so that neither always finds the caches warm.
            order = (0, 1) if index % 2 else (1, 0)
            results = {way: (all_tiles, chosen)[way](frame) for way in order}
            for number, way in enumerate(ways):
                way.add(results[number], timed=index >= SETTLED)
                shown = None if truth is None else truth.frames.get(index)
                if way.tally is not None and shown is not None:
                    way.tally.add(index, shown, results[number].detections, results[number].ids)
            each(results[0], results[1])
            count += 1
    if not count:
        raise InputError("The video gave no frame.", hint="Try it with ffprobe.")
    return ways[0].figures(ways[0]), ways[1].figures(ways[0])
