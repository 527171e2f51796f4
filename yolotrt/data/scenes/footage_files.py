"""Videos as files: a video, and what every frame of it shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yolotrt.artifacts.files import write_text
from yolotrt.artifacts.folders import owning_file
from yolotrt.artifacts.kinds import Kind, json_with
from yolotrt.data.scenes.files import categories, instance_record, require_size
from yolotrt.data.scenes.footage import camera_scene
from yolotrt.data.scenes.footage_kinds import FootageKind
from yolotrt.data.scenes.scene import WH, Scene, moving_scene
from yolotrt.data.video_writer import CODECS, new_video
from yolotrt.errors import UsageError
from yolotrt.progress import Progress, no_progress

VIDEO_MAKER = "yolotrt scenes --video"

TRUTH: Kind = json_with("what a video of yolotrt scenes shows", ("videos", "images", "annotations"))


def video_frames(
    footage: FootageKind, seed: int, wh: tuple[int, int], *, fps: int, count: int
) -> Iterator[tuple[int, Scene]]:
    """Draw the frames of a video.

    Args:
        footage: Which one.
        seed: Its seed.
        wh: Width and height, px.
        fps: Frames per second.
        count: How many.

    Yields:
        Each frame's time in milliseconds, and the frame.
    """
    moving = (
        moving_scene(seed, wh) if footage == "drift" else camera_scene(footage, seed, wh, count * 1000 // fps)
    )
    for index in range(count):
        ms = index * 1000 // fps
        yield ms, moving.at(ms)


def write_video(
    target: Path,
    seed: int = 0,
    wh: tuple[int, int] = WH,
    *,
    footage: FootageKind = "drift",
    truth: Path | None = None,
    fps: int = 30,
    seconds: float = 5.0,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Path:
    """Write a video.

    Args:
        target: The video; its ending chooses the format, one of :data:`CODECS`.
        seed: Seed of the video.
        wh: Width and height, px; even numbers.
        footage: Which one.
        truth: Also write what every frame shows; see :class:`VideoTruth`.
        fps: Frames per second.
        seconds: Length; at least one frame is written.
        overwrite: Replace also a file that is no video of scenes.
        progress: Told about each frame.

    Raises:
        UsageError: The size is out of range or odd, or the ending is unknown.
        EnvironmentFault: This FFmpeg cannot write such a video.
        StorageError: The file cannot be written.
    """
    require_size(wh)
    if wh[0] % 2 or wh[1] % 2:
        raise UsageError(f"A video of {wh[0]}x{wh[1]} px has an odd side.", hint="Choose even numbers.")
    ending = target.suffix.lower()
    if ending not in CODECS:
        raise UsageError(
            f"{target.name}: the ending {ending!r} names no video format.", hint=f"Use {' or '.join(CODECS)}."
        )
    count = max(1, round(fps * seconds))
    shown = VideoTruth(target.name, wh, fps)
    with ExitStack() as stack:
        stack.enter_context(owning_file(target, VIDEO_MAKER, option="--video", overwrite=overwrite))
        append = stack.enter_context(new_video(target, float(fps), wh))
        for index, (_, scene) in enumerate(video_frames(footage, seed, wh, fps=fps, count=count)):
            progress("draw frames", index, count)
            append(scene.image)
            if truth is not None:
                shown.add(scene)
        progress("draw frames", count, count)
    if truth is not None:
        write_text(truth, json.dumps(shown.document(), allow_nan=False) + "\n")
    return target


@dataclass
class VideoTruth:
    """What the frames of a video show, in COCO's format with a track for every object.

    An image for each frame, with ``video_id`` and ``frame_index`` as in YouTube-VIS; an annotation for each
    object in a frame, whose ``track_id`` is the same in all frames.

    Attributes:
        name: File name of the video.
        wh: Width and height, px.
        fps: Frames per second.
    """

    name: str
    wh: tuple[int, int]
    fps: int
    _images: list[dict[str, Any]] = field(default_factory=list)
    _annotations: list[dict[str, Any]] = field(default_factory=list)

    def add(self, scene: Scene) -> None:
        """Append a frame."""
        index, (width, height) = len(self._images), self.wh
        size = {"width": width, "height": height}
        self._images.append(
            {
                "id": index + 1,
                "file_name": f"{self.name}#{index}",
                "video_id": 1,
                "frame_index": index,
                **size,
            }
        )
        for instance in scene.instances:
            about = {"id": len(self._annotations) + 1, "image_id": index + 1, "track_id": instance.track}
            self._annotations.append({**about, **instance_record(instance, self.wh)})

    def document(self) -> dict[str, Any]:
        """Return all frames as a JSON document."""
        width, height = self.wh
        video = {"id": 1, "file_name": self.name, "width": width, "height": height, "fps": self.fps}
        return {
            "info": {"description": "A synthetic video made by yolotrt"},
            "videos": [{**video, "length": len(self._images)}],
            "images": self._images,
            "annotations": self._annotations,
            "categories": categories(),
        }
