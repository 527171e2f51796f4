"""Run an engine over pictures and videos, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolotrt.arrays import I64, Frame
from yolotrt.data.sources import Shot, Source
from yolotrt.errors import ImageError
from yolotrt.geometry.detections import Detections
from yolotrt.pipeline.tiled import TiledPipeline
from yolotrt.progress import Progress, no_progress

if TYPE_CHECKING:
    from yolotrt.data.video_file import Moment
    from yolotrt.pipeline.tile_use import FrameTiles


@dataclass(frozen=True)
class Found:
    """What was found in one frame.

    Attributes:
        name: The picture's path below the folder that was named, or ``NAME#FRAME`` of a video.
        frame_wh: Width and height of the frame, px.
        detections: In px of the frame.
        names: Class names of the model, by index.
        moment: When the frame is shown, in a video.
        seconds: From pixels to merged detections; reading and drawing are not in it.
        ids: (n,) number that each object keeps from frame to frame, or -1; None without tracking.
        looked: Which tiles were looked at, and what was carried; None where all were.
    """

    name: str
    frame_wh: tuple[int, int]
    detections: Detections
    names: tuple[str, ...]
    moment: Moment | None = None
    seconds: float = 0.0
    ids: I64 | None = None
    looked: FrameTiles | None = None

    @property
    def marks(self) -> dict[str, Any]:
        """What is drawn of objects besides what they are: arguments of :func:`yolotrt.report.draw.draw`."""
        return {"ids": self.ids, "carried": None if self.looked is None else self.looked.carried}


Draw = Callable[[Frame, Found], Frame]
"""Returns a copy of a frame with what was found in it."""


def predict(
    pipeline: TiledPipeline,
    source: Source,
    draw: Draw,
    *,
    save: Path | None = None,
    limit: int | None = None,
    progress: Progress = no_progress,
    say: Callable[[str], None] = print,
) -> Generator[Found, None, None]:
    """Detect objects in every frame of a source; nothing of a frame is kept after it was given.

    Args:
        pipeline: Runs the engine; stays open while the frames are taken.
        source: Where the frames come from.
        draw: Draws what was found.
        save: Folder for the drawn pictures, or the drawn video, which is complete after the last frame; None
            draws nothing.
        limit: At most so many frames, at least one; None takes all.
        progress: Told after each frame.
        say: Told about images of a folder that cannot be read, which are skipped, and about videos that are
            not what their headers say.

    Yields:
        One entry per frame, in order.

    Raises:
        ImageError: Nothing in the source can be read.
        StorageError: A picture or the video cannot be written.
    """
    done, names = 0, tuple(pipeline.names)
    with ExitStack() as stack:
        shots = stack.enter_context(closing(source.shots(say)))
        write: Callable[[Shot, Frame], None] | None = None
        if save is not None:
            from yolotrt.workflow.drawn import drawing  # whoever draws nothing needs no writer of videos

            write = stack.enter_context(drawing(source, save, say))
        total = min(limit or source.total, source.total) or limit or 0
        for shot in shots if limit is None else islice(shots, limit):
            progress("predict", done, total)
            result = pipeline(shot.image, stream=shot.video or shot.name)
            height, width = shot.image.shape[:2]
            found = Found(
                shot.name,
                (width, height),
                result.detections,
                names,
                shot.moment,
                result.seconds,
                result.ids,
                result.looked,
            )
            if write is not None:
                write(shot, draw(shot.image, found))
            yield found
            done += 1
        progress("predict", done, done)
        if not done:
            raise ImageError(
                f"Nothing in {source.label} can be read.", hint="Give JPEG or PNG images, or a video."
            )
