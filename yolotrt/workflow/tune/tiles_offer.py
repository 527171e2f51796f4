"""Whether chosen tiles find what all tiles find on the user's own clip: without annotations."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from yolotrt.arrays import Frame
from yolotrt.artifacts.fields import Count, Seconds, Share
from yolotrt.backends.base import EngineFile
from yolotrt.backends.loading import load_engine
from yolotrt.bench.case import Case
from yolotrt.data.named import VideoPath, named
from yolotrt.data.sources import open_source
from yolotrt.errors import UsageError
from yolotrt.evaluation.recall import are_found
from yolotrt.geometry.detections import CONFIDENT
from yolotrt.pipeline.frames import FrameResult
from yolotrt.pipeline.settings import DISPATCHES, PipelineSettings
from yolotrt.pipeline.tile_choice import Adaptive, TileChoice
from yolotrt.workflow.tile_trial import try_tiles

SAMPLE = 96
"""Frames of the clip that both ways look at, from its first on: a choice lives on the frame before."""

LEAST_OBJECTS = 100
"""Objects in all frames together below which nothing can be said of a per cent of them."""


@dataclass(frozen=True)
class TilesOffer:
    """What choosing tiles would find and save.

    Attributes:
        tiles: The choice, as ``--tiles`` names it.
        clip: The video that it was tried on.
        frames: How many of its frames.
        objects: What all tiles found in them, from a score of 0.25 on.
        recall: Part of those that the choice found, too; None if there were none.
        wanted: The part that the user asks for.
        tiles_run: Tiles that a frame ran on average.
        of_tiles: Tiles of a frame.
        all_part: Part of the frames in which all ran.
        all_s: Median of a frame with all tiles, seconds.
        chosen_s: Median of a frame with chosen ones.
    """

    tiles: str
    clip: str
    frames: Count
    objects: Count
    recall: Share | None
    wanted: Share
    tiles_run: float
    of_tiles: Count
    all_part: Share
    all_s: Seconds
    chosen_s: Seconds

    @property
    def refusal(self) -> str | None:
        """Why the choice is not offered; None if it is."""
        if self.recall is None or self.objects < LEAST_OBJECTS:
            return f"{self.objects} objects in {self.frames} frames cannot tell: {LEAST_OBJECTS} are needed"
        if self.recall < self.wanted:
            return f"it finds {self.recall:.2%} of what all tiles find, less than {self.wanted:.2%}"
        if self.chosen_s >= self.all_s:
            return "it is not faster"
        return None

    @property
    def words(self) -> str:
        """The whole finding, in a line."""
        what = f"--tiles {self.tiles} on {self.frames} frames of {self.clip}"
        ran = (
            f"{self.tiles_run:.1f} of {self.of_tiles} tiles, all of them in {self.all_part:.0%} of the frames"
        )
        if (refusal := self.refusal) is not None:
            return f"not offered: {what}: {refusal} ({ran})"
        return (
            f"offered: {what}: it finds {self.recall:.2%} of the {self.objects} objects that all tiles find, "
            f"with {ran}, in {self.chosen_s / max(self.all_s, 1e-9):.2f}x the time"
        )


def the_clip(sources: Iterable[str]) -> Path:
    """Return the one video among what the user named.

    Raises:
        UsageError: There is none, or more than one.
    """
    videos = [found.path for found in named(list(sources)) if isinstance(found, VideoPath)]
    if len(videos) != 1:
        raise UsageError(
            f"--min-recall is judged on one video of yours; {len(videos)} were named.",
            hint="Add --source clip.mp4: a few seconds of the camera.",
        )
    return videos[0]


def offer_tiles(
    file: EngineFile, device: str, clip: Path, case: Case, wanted: float, *, overlap: float, threads: int
) -> TilesOffer:
    """Try the choice on a clip, in the way that was recommended.

    Args:
        file: The engine that was recommended.
        device: Where to run.
        clip: The video.
        case: How it was recommended to run.
        wanted: The part of what all tiles find that must be found.
        overlap: Of the tiles.
        threads: CPU threads.

    Raises:
        UsageError: The recommended way has no tiles.
        InputError: The clip cannot be read.
        ExecutionError: The engine failed.
    """
    dispatch = next(way for way in DISPATCHES if way == case.dispatch)
    settings = PipelineSettings(
        case.mode, case.groups, dispatch, overlap, threads, tiles=TileChoice(adaptive=Adaptive())
    )
    frames = objects = found = 0

    def each(all_tiles: FrameResult, chosen: FrameResult) -> None:
        nonlocal frames, objects, found
        sure = all_tiles.detections.take(all_tiles.detections.scores >= CONFIDENT)
        frames += 1
        objects += len(sure)
        found += int(are_found(sure.boxes, sure.classes, chosen.detections).sum())

    with closing(open_source(str(clip))) as source, closing(source.shots(lambda _said: None)) as shots:
        pictures: Iterable[Frame] = (shot.image for shot in islice(shots, SAMPLE))
        engine = load_engine(file, device)
        try:
            every, chosen = try_tiles(engine, pictures, settings, each=each)
        finally:
            engine.close()
    use = chosen.use
    assert use is not None, "tiles were chosen"
    return TilesOffer(
        settings.tiles.words,
        clip.name,
        frames,
        objects,
        found / objects if objects else None,
        wanted,
        use.on_average,
        use.tiles,
        use.all / use.frames,
        every.latency.p50 if every.latency else 0.0,
        chosen.latency.p50 if chosen.latency else 0.0,
    )
