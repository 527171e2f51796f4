"""How well the objects of an annotated video are found: what ``yolotrt eval --video --json`` writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from yolotrt.arrays import Frame
from yolotrt.artifacts.documents import Document
from yolotrt.artifacts.fields import Count, Sha256
from yolotrt.backends.base import EngineFile
from yolotrt.backends.loading import load_engine
from yolotrt.data.formats.tracked import TrackedVideo, read_tracked
from yolotrt.data.sources import open_source
from yolotrt.errors import InputError
from yolotrt.machine.environment import packages
from yolotrt.pipeline.settings import PassMode, PipelineSettings
from yolotrt.progress import Progress, no_progress
from yolotrt.workflow.tile_trial import WayFigures, try_tiles


@dataclass(frozen=True)
class VideoAccuracy:
    """An engine on one annotated video, with all tiles and with chosen ones.

    Attributes:
        engine: Its file name.
        sha256: Hash of its bytes.
        video: File name of the video.
        frames: How many frames of it were looked at.
        frame_wh: Their width and height, px.
        mode: Which passes looked at a frame.
        ways: All tiles, and the chosen ones.
        packages: Versions of the libraries that the figures depend on.
    """

    engine: str
    sha256: Sha256
    video: str
    frames: Count
    frame_wh: tuple[int, int]
    mode: PassMode
    ways: tuple[WayFigures, ...]
    packages: Mapping[str, str | None] = field(default_factory=dict)


DOCUMENT = Document(
    "yolotrt.video-accuracy",
    1,
    VideoAccuracy,
    "what yolotrt eval --video --json wrote",
    again="Write it again with: yolotrt eval ENGINE --video ... --json FILE",
)


def evaluate_video(
    file: EngineFile,
    video: Path,
    annotations: Path,
    settings: PipelineSettings,
    *,
    device: str = "auto",
    limit: int | None = None,
    progress: Progress = no_progress,
) -> VideoAccuracy:
    """Find the objects of a video with all tiles and with chosen ones.

    Args:
        file: The engine.
        video: The video.
        annotations: What its frames show; see :func:`yolotrt.data.formats.tracked.read_tracked`.
        settings: With the choice of tiles.
        device: Where to run.
        limit: Only so many frames.
        progress: Told after each frame.

    Raises:
        InputError: A file cannot be read, or the annotations are of another video.
        ExecutionError: The engine failed.
    """
    truth = read_tracked(annotations)
    count = 0

    def frames() -> Iterator[Frame]:
        nonlocal count
        with closing(open_source(str(video))) as source, closing(source.shots(lambda _said: None)) as shots:
            for shot in shots:
                progress("evaluate", count, min(limit or source.total, source.total))
                if limit is not None and count == limit:
                    break
                _require_same(truth, shot.image, video, annotations)
                yield shot.image
                count += 1
        progress("evaluate", count, count)

    engine = load_engine(file, device)
    try:
        ways = try_tiles(engine, frames(), settings, truth=truth)
    finally:
        engine.close()
    known = {**packages(), "trackeval": _version("trackeval"), "trackers": _version("trackers")}
    about = file.name, file.sha256, video.name, count
    return VideoAccuracy(*about, truth.size_wh, settings.mode, ways, known)


def _require_same(truth: TrackedVideo, frame: Frame, video: Path, annotations: Path) -> None:
    if truth.size_wh != (frame.shape[1], frame.shape[0]):
        raise InputError(
            "{} is of a video of {}x{} px, and {} has {}x{}.".format(
                annotations, *truth.size_wh, video, frame.shape[1], frame.shape[0]
            ),
            hint="Name the annotations of this video.",
        )


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None
