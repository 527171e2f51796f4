"""Chosen tiles on every frame of a video, and all tiles on a part of them, where these take long.

All tiles run in every so many frames, which tell recall and time, and from the frame in which an object comes
into view until they have found it, which tells how much later chosen tiles do. In each of these frames both
run, one after the other, and each goes first in every second of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from yolotrt.arrays import Frame
from yolotrt.artifacts.documents import as_values
from yolotrt.backends.base import Engine
from yolotrt.bench.statistics import summarize
from yolotrt.data.formats.tracked import TrackedObjects
from yolotrt.evaluation.sequence import SequenceTally
from yolotrt.pipeline.frames import FrameResult
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.tiled import TiledPipeline
from yolotrt.workflow.tile_trial import SETTLED, Percentiles, Way

PATIENCE = 30
"""Frames for which all tiles are asked for an object that came; after that they may never find it."""

TOLD_EVERY = 100
"""Frames after which a result is told of those so far."""


@dataclass
class SampledTrial:
    """Counts what was found in a video.

    Attributes:
        every: All tiles, in the sample.
        chosen: Chosen tiles; what they found in the sample.
        all_frames: What chosen tiles found in all frames.
        came: What all tiles found in the sample, and of what came into view.
    """

    every: Way
    chosen: Way
    all_frames: SequenceTally
    came: SequenceTally
    _seconds: list[float] = field(default_factory=list)
    _frames: int = 0
    _both: int = 0

    @classmethod
    def of(cls, settings: PipelineSettings, truth: tuple[str, ...], names: tuple[str, ...]) -> SampledTrial:
        """Return one for a video with these class names, and a model with those."""
        a, b, c, d = (SequenceTally(truth, names) for _ in range(4))
        return cls(Way(settings, a), Way(settings, b), c, d)

    def wants(self, index: int, shown: TrackedObjects) -> bool:
        """Whether all tiles run in a frame that is not in the sample."""
        seen, born = self.came.seen, self.all_frames.born
        return any(
            track not in seen and 0 < born.get(track, index) > index - PATIENCE
            for track in shown.tracks.tolist()
        )

    def add(
        self,
        index: int,
        shown: TrackedObjects,
        chosen: FrameResult,
        every: FrameResult | None,
        *,
        sampled: bool,
    ) -> None:
        """Count a frame."""
        self._frames += 1
        self.all_frames.add(index, shown, chosen.detections, chosen.ids)
        timed = index >= SETTLED
        self.chosen.add(chosen, timed=timed and sampled)
        if timed:
            self._seconds.append(chosen.seconds)
        if every is None:
            return
        self._both += 1
        self.came.add(index, shown, every.detections, None)
        if sampled:
            self.every.add(every, timed=timed)
            for way, result in ((self.every, every), (self.chosen, chosen)):
                assert way.tally is not None
                way.tally.add(index, shown, result.detections, result.ids if way is self.every else None)

    def figures(self) -> dict[str, Any]:
        """Return everything so far."""
        mine = self.all_frames
        self.came.born = dict(mine.born)  # all tiles may not have run in the frame that showed it first
        chosen = replace(
            self.chosen.figures(self.every),
            delay=Percentiles.of(mine.delays()),
            later=Percentiles.of(mine.delays(self.came)),
            missed=mine.missed(self.came),
            identities=mine.identities(),
        )
        every = replace(
            self.every.figures(self.every), tiles="all", delay=Percentiles.of(self.came.delays()), later=None
        )
        return {
            "frames": self._frames,
            "sampled": len(self.every.seconds),
            "both_ran": self._both,
            "ways": as_values((every, chosen)),
            "chosen_in_all_frames": {
                "recall": mine.recall, "small_recall": mine.small_recall,
                "latency": as_values(summarize(self._seconds)),
            },
        }  # fmt: skip


def try_sampled(
    engine: Engine,
    frames: Iterable[tuple[Frame, TrackedObjects]],
    settings: PipelineSettings,
    truth: tuple[str, ...],
    *,
    sample: int,
) -> Iterator[dict[str, Any]]:
    """Run every frame with chosen tiles, and some with all.

    Args:
        engine: Runs both.
        frames: Of one camera, in their order, with what each shows.
        settings: With the choice of tiles.
        truth: Names of the classes of what is shown.
        sample: All tiles run in every so many frames, and are tracked if that is each. A number without a
            common factor with the frames after which tiles are looked at again meets other ones each time.

    Yields:
        What was measured so far.
    """
    trial = SampledTrial.of(settings, truth, tuple(engine.file.spec.names))
    whole = replace(settings.tiles, adaptive=None)
    every = replace(settings, tiles=whole, track=settings.track and sample == 1)
    count = 0
    with (
        TiledPipeline(engine, every, takes_turns=True) as all_tiles,
        TiledPipeline(engine, settings, takes_turns=True) as chosen,
    ):
        for index, (frame, shown) in enumerate(frames):
            sampled = index % sample == 0 or index <= SETTLED
            other: FrameResult | None = None
            if sampled or trial.wants(index, shown):
                first = (index // sample if index % sample == 0 else index) % 2 == 0
                other = all_tiles(frame) if first else None
                mine = chosen(frame)
                other = other or all_tiles(frame)
            else:
                mine = chosen(frame)
            trial.add(index, shown, mine, other, sampled=sampled)
            count += 1
            if count % TOLD_EVERY == 0:
                yield trial.figures()
    if count % TOLD_EVERY:
        yield trial.figures()
