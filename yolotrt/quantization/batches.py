"""Feed images to calibration exactly as inference feeds them, read ahead by a thread of its own."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from yolotrt.arrays import F32, U8
from yolotrt.data.images import read_image
from yolotrt.errors import ImageError
from yolotrt.geometry.letterbox import Letterbox, network_input
from yolotrt.geometry.tiles import tile_grid


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes network input.

    Attributes:
        input_wh: Width and height of the network's input, px.
        tile_overlap: Overlap of the tiles that larger images are cut into besides being letterboxed
            as a whole; None feeds no tiles.
    """

    input_wh: tuple[int, int]
    tile_overlap: float | None = None

    def pictures(self, image: U8) -> list[U8]:
        """Return what inference would feed for this image: the whole, and its tiles if asked for."""
        height, width = image.shape[:2]
        whole = Letterbox.fit((width, height), self.input_wh).apply(image)
        larger = width > self.input_wh[0] or height > self.input_wh[1]
        if self.tile_overlap is None or not larger:
            return [whole]
        return [whole, *tile_grid((width, height), self.input_wh, self.tile_overlap).cut(image)]

    def as_json(self) -> dict[str, Any]:
        """Return plain values for a key or a document."""
        return {"input_wh": list(self.input_wh), "tile_overlap": self.tile_overlap}


FLAT = 2
"""Pixels of a blank image may differ by so much: JPEG rounds."""


def is_blank(image: U8) -> bool:
    """Return whether a picture shows nothing: all of its pixels have one colour.

    Args:
        image: (h, w, 3) uint8.
    """
    for part in (image[::16, ::16], image):  # few pixels tell of nearly every picture that it is not
        if int((part.max(axis=(0, 1)).astype(np.int16) - part.min(axis=(0, 1))).max()) > FLAT:
            return False
    return True


def brightness(image: U8) -> float:
    """Return the mean of a picture's values, in [0, 1], from every sixteenth row and column."""
    return float(image[::16, ::16].mean()) / 255


NOISE = 0.3
"""Correlation of neighbouring pixels below which a picture is noise: it is 0 there, and 0.6 or more in
photographs (all of 354 from COCO)."""


def is_noise(image: U8) -> bool:
    """Return whether a picture shows only noise: pixels that have nothing to do with their neighbours.

    Args:
        image: (h, w, 3) uint8.
    """
    rows = image[:: max(1, len(image) // 64)].mean(axis=2, dtype=np.float32)
    if rows.shape[1] < 2:
        return False
    power = np.square(rows - rows.mean(axis=1, keepdims=True)).mean(axis=1)
    step = np.square(np.diff(rows, axis=1)).mean(axis=1)
    alike = 1 - step / np.maximum(2 * power, 1e-9)  # 1 where a row has one colour
    return float(np.median(alike)) < NOISE


@dataclass
class ImageFeed:
    """Batches of network input from image files; may be iterated once.

    Unreadable images are skipped and remembered.

    Attributes:
        paths: The image files.
        preprocessing: How they become network input.
        batch: Pictures per batch; the last one may be smaller unless ``full``.
        full: Fill the last batch up with its last picture, for networks with a fixed batch size.
        read: Number of images read so far.
        skipped: Messages about images that could not be read, in order.
        blank: Number of images of one colour.
        noise: Number of images of nothing but noise.
        lights: Number of images, sum of their brightness and sum of its squares.
    """

    paths: Sequence[Path]
    preprocessing: Preprocessing
    batch: int = 2
    full: bool = False
    read: int = 0
    skipped: list[str] = field(default_factory=list)
    blank: int = 0
    noise: int = 0
    lights: tuple[int, float, float] = (0, 0.0, 0.0)

    def __iter__(self) -> Iterator[F32]:
        """Yield (n, 3, h, w) float32 batches.

        Raises:
            ImageError: None of the images could be read.
        """
        ahead: queue.Queue[F32 | BaseException | None] = queue.Queue(maxsize=2)
        stop = threading.Event()

        def put(item: F32 | BaseException | None) -> None:
            while not stop.is_set():
                with contextlib.suppress(queue.Full):
                    ahead.put(item, timeout=0.1)
                    return

        def produce() -> None:
            try:
                for pictures in self._batches():
                    put(network_input(pictures))
                    if stop.is_set():
                        return
                put(None)
            except BaseException as exc:  # handed over to the thread that iterates
                put(exc)

        reader = threading.Thread(target=produce, name="calibration-reader", daemon=True)
        reader.start()
        try:
            while (item := ahead.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stop.set()
            reader.join()

    def _batches(self) -> Iterator[list[U8]]:
        waiting: list[U8] = []
        for path in self.paths:
            try:
                image = read_image(path)
            except ImageError as exc:
                self.skipped.append(exc.message)
                continue
            self.read += 1
            blank = is_blank(image)
            self.blank += blank
            self.noise += not blank and is_noise(image)
            light, (count, total, squares) = brightness(image), self.lights
            self.lights = (count + 1, total + light, squares + light**2)
            waiting += self.preprocessing.pictures(image)
            while len(waiting) >= self.batch:
                yield waiting[: self.batch]
                del waiting[: self.batch]
        if self.read == 0:
            reason = f" The first: {self.skipped[0]}" if self.skipped else ""
            raise ImageError(
                f"None of {len(self.paths)} images can be read.{reason}", hint="Give readable images."
            )
        if waiting and self.full:
            waiting += [waiting[-1]] * (self.batch - len(waiting))
        if waiting:
            yield waiting


def spread(paths: Sequence[Path], limit: int | None) -> list[Path]:
    """Return at most ``limit`` of the paths, evenly spread over their order."""
    if limit is None or limit >= len(paths):
        return list(paths)
    return [paths[i * len(paths) // limit] for i in range(limit)]
