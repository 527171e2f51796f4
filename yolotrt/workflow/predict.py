"""Run an engine over pictures and videos, and keep what it found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from yolotrt.artifacts.files import require_file, write_bytes
from yolotrt.data.film import new_film
from yolotrt.data.images import list_images, read_image
from yolotrt.data.sources import SCENE, read_frames
from yolotrt.errors import ImageError
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.rle import coco_rle
from yolotrt.pipeline.tiled import TiledPipeline
from yolotrt.progress import Progress, no_progress

Frame = npt.NDArray[np.uint8]
Draw = Callable[[Frame, Detections], Frame]
Write = Callable[[str, Frame], None]

VIDEOS = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v")


@dataclass(frozen=True)
class Found:
    """What was found in one frame.

    Attributes:
        name: The image's file name, or ``NAME#FRAME`` of a video.
        frame_wh: Width and height of the frame, px.
        detections: In px of the frame.
    """

    name: str
    frame_wh: tuple[int, int]
    detections: Detections


def predict(
    pipeline: TiledPipeline,
    source: str,
    draw: Draw,
    *,
    save: Path | None = None,
    progress: Progress = no_progress,
    say: Callable[[str], None] = print,
) -> list[Found]:
    """Detect objects in every frame of a source.

    Args:
        pipeline: Runs the engine.
        source: An image, a folder of images, a video file, or ``scene``.
        draw: Draws detections on a copy of a frame.
        save: Folder for the drawn pictures, or the drawn video; None draws nothing.
        progress: Told after each frame.
        say: Told about images of a folder that cannot be read; they are skipped.

    Returns:
        One entry per frame, in order.

    Raises:
        ImageError: The source does not exist, or nothing in it can be read.
        StorageError: A picture cannot be written.
    """
    found: list[Found] = []
    path = Path(source)
    video = _Video(path) if path.suffix.lower() in VIDEOS else None
    total, frames = (video.length, video.frames()) if video else _images(source, say)
    with ExitStack() as stack:
        write = stack.enter_context(video.writer(save)) if video and save else _picture_writer(save)
        for done, (name, frame) in enumerate(frames):
            progress("predict", done, total)
            detections = pipeline(frame).detections
            if save is not None:
                write(name, draw(frame, detections))
            found.append(Found(name, (frame.shape[1], frame.shape[0]), detections))
    progress("predict", len(found), len(found))
    if not found:
        raise ImageError(f"Nothing in {source} can be read.", hint="Give JPEG or PNG images, or a video.")
    return found


def coco_results(found: Sequence[Found], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return detections as COCO result records, with class names and run-length masks.

    ``category_id`` is the model's class index; boxes are x, y, width, height in px.
    """
    records = []
    for entry in found:
        detections = entry.detections
        for i in range(len(detections)):
            left, top, right, bottom = (float(v) for v in detections.boxes[i])
            record = {
                "image": entry.name,
                "category_id": int(detections.classes[i]),
                "category": names[int(detections.classes[i])],
                "bbox": [round(v, 2) for v in (left, top, right - left, bottom - top)],
                "score": round(float(detections.scores[i]), 5),
            }
            if detections.masks is not None:
                rle = coco_rle(detections.masks[i], entry.frame_wh)
                record["segmentation"] = {"size": rle["size"], "counts": rle["counts"].decode()}
            records.append(record)
    return records


def _images(source: str, say: Callable[[str], None]) -> tuple[int, Iterator[tuple[str, Frame]]]:
    if source == SCENE:
        return 1, iter([("scene.png", read_frames(source)[0])])
    paths = list_images(Path(source))

    def read() -> Iterator[tuple[str, Frame]]:
        for path in paths:
            try:
                frame = read_image(path)
            except ImageError as exc:
                if len(paths) == 1:
                    raise
                say(f"warning: skipped: {exc.message}")
                continue
            yield path.name, frame

    return len(paths), read()


def _picture_writer(folder: Path | None) -> Write:
    def write(name: str, picture: Frame) -> None:
        assert folder is not None
        suffix = Path(name).suffix.lower()
        suffix = suffix if suffix in (".jpg", ".jpeg", ".png", ".webp") else ".png"
        _, data = cv2.imencode(suffix, picture)
        write_bytes(folder / Path(name).with_suffix(suffix).name, data.tobytes())

    return write


class _Video:
    """A video file: its frames, and a writer of a video like it."""

    def __init__(self, path: Path) -> None:
        require_file(path, "a video")
        self._path = path
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise ImageError(f"{path} cannot be read as a video.", hint="Convert it: ffmpeg -i IN out.mp4")
        self.length = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def frames(self) -> Iterator[tuple[str, Frame]]:
        index = 0
        while True:
            good, frame = self._capture.read()
            if not good:
                self._capture.release()
                return
            yield f"{self._path.name}#{index}", cast(Frame, frame)
            index += 1

    @contextmanager
    def writer(self, folder: Path) -> Iterator[Write]:
        """Give a function that appends a frame to ``folder/NAME.mp4``, complete when the block ends."""
        width, height = (
            int(self._capture.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        fps = self._capture.get(cv2.CAP_PROP_FPS) or 30.0
        with new_film(folder / f"{self._path.stem}.mp4", fps, (width, height)) as append:
            yield lambda _name, picture: append(picture)
