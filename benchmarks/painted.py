"""Frames of drawn videos as fast as many processes draw them, uncompressed, with what they show."""

from __future__ import annotations

import mmap
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from typing import Protocol

import cv2
import numpy as np

from yolotrt.arrays import Frame
from yolotrt.data.formats.tracked import TrackedObjects
from yolotrt.data.scenes.footage import CameraScene
from yolotrt.data.scenes.instances import SceneInstance


class Clip(Protocol):
    """A video of which any moment can be drawn."""

    def at(self, ms: int) -> tuple[Frame, TrackedObjects]:
        """Return a frame, and what it shows."""
        ...


@dataclass(frozen=True)
class DrawnClip:
    """A video of the project's scenes."""

    scene: CameraScene

    def at(self, ms: int) -> tuple[Frame, TrackedObjects]:
        """Return a frame, and what it shows."""
        found = self.scene.at(ms)
        return found.image, shown_by(found.instances)


_RING: list[mmap.mmap] = []
"""Memory that the processes share: they are forked when it is there."""

_MAKERS: dict[str, Callable[[int], Clip]] = {}
"""What makes each video of a length, in milliseconds; theirs, too."""


class Painters:
    """Processes that draw frames; to be made before a GPU is used, which does not survive a fork.

    Args:
        wh: Width and height of the frames, px.
        processes: How many.
        ahead: How many frames are drawn before they are asked for.
        makers: What makes each video, by its name; gets its length in milliseconds.
    """

    def __init__(
        self, wh: tuple[int, int], processes: int, ahead: int, makers: Mapping[str, Callable[[int], Clip]]
    ) -> None:
        _MAKERS.update(makers)
        self._wh, self._ahead = wh, max(ahead, 2)
        _RING[:] = [mmap.mmap(-1, self._ahead * wh[0] * wh[1] * 3)]
        self._pool = ProcessPoolExecutor(
            processes, get_context("fork"), initializer=cv2.setNumThreads, initargs=(1,)
        )
        list(self._pool.map(abs, range(processes)))  # fork them all now

    def video(
        self, name: str, fps: int, count: int, *, length: int | None = None
    ) -> Iterator[tuple[Frame, TrackedObjects]]:
        """Draw the first frames of a video.

        Args:
            name: Which one.
            fps: Frames per second.
            count: How many.
            length: Of how many frames the whole video has; None for no more than are drawn.

        Yields:
            Each frame, valid until the next one is asked for, and what it shows.
        """
        length_ms = (length or count) * 1000 // fps
        going: deque[Future[TrackedObjects]] = deque()
        asked = 0
        for index in range(count):
            while asked < count and asked < index + self._ahead - 1:
                place = asked % self._ahead
                going.append(self._pool.submit(_paint, name, self._wh, length_ms, asked * 1000 // fps, place))
                asked += 1
            shown = going.popleft().result()
            yield _frame(self._wh, index % self._ahead), shown

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(cancel_futures=True)


@lru_cache(maxsize=1)
def _clip(name: str, length_ms: int) -> Clip:
    return _MAKERS[name](length_ms)


def _frame(wh: tuple[int, int], place: int) -> Frame:
    size = wh[0] * wh[1] * 3
    return np.frombuffer(_RING[0], np.uint8, size, place * size).reshape(wh[1], wh[0], 3)


def _paint(name: str, wh: tuple[int, int], length_ms: int, ms: int, place: int) -> TrackedObjects:
    image, shown = _clip(name, length_ms).at(ms)
    _frame(wh, place)[:] = image
    return shown


def shown_by(instances: tuple[SceneInstance, ...]) -> TrackedObjects:
    """Return the objects of a frame."""
    boxes = np.array([one.box for one in instances], np.float32).reshape(-1, 4)
    return TrackedObjects(
        boxes,
        np.array([one.class_id for one in instances], np.int64),
        np.array([one.track for one in instances], np.int64),
    )
