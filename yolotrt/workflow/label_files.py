"""What was found, as labels in YOLO format: a text file for each picture, a polygon a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from yolotrt.artifacts.files import write_text
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.mask import Mask
from yolotrt.workflow.predict import Found

FOLDER = "labels"
"""Below the folder for drawn pictures, as Ultralytics has it."""

Points = npt.NDArray[np.int64]


@contextmanager
def label_files(folder: Path) -> Iterator[Callable[[Found], None]]:
    """Give a function that writes the labels of a frame.

    ``a/1.jpg`` becomes ``labels/a/1.txt``, frame 7 of ``clip.mp4`` ``labels/clip_7.txt``. Pictures without
    objects get an empty file: Ultralytics takes that for background.

    Args:
        folder: Where drawn pictures go, or would.
    """

    def take(found: Found) -> None:
        write_text(folder / FOLDER / label_name(found), "".join(map("{}\n".format, label_lines(found))))

    yield take


def label_name(found: Found) -> str:
    """Return the name of a frame's file, with ``/``."""
    if found.moment is None:
        path = PurePosixPath(found.name)
        return str(path.with_name(f"{path.stem}.txt"))
    path = PurePosixPath(found.name.rpartition("#")[0])
    return str(path.with_name(f"{path.stem}_{found.moment.index}.txt"))


def label_lines(found: Found) -> list[str]:
    """Return ``class x y x y ...`` of each object, coordinates from 0 to 1; its box where there is no mask.

    An object of several parts is one polygon: its parts are joined by lines without width.
    """
    detections, lines = found.detections, []
    for i in range(len(detections)):
        points = outline(detections, i)
        if len(points) < 3:
            continue
        shares = points / np.array(found.frame_wh, np.float64)
        coordinates = " ".join(f"{v:.6g}" for v in np.clip(shares, 0, 1).ravel())
        lines.append(f"{int(detections.classes[i])} {coordinates}")
    return lines


def outline(found: Detections, index: int) -> npt.NDArray[Any]:
    """Return (n, 2) corners of the polygon around an object, px of the frame; its box without a mask."""
    if found.masks is None:
        left, top, right, bottom = found.boxes[index]
        return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    return joined_parts(mask_parts(found.masks[index]))


def mask_parts(mask: Mask) -> list[Points]:
    """Return the outer outlines of a mask's parts, px of its frame, the largest first.

    Corners lie on the pixels' outer edges, so that a polygon has the mask's area, but for half a pixel where
    an edge climbs in steps.
    """
    if not mask.bits.size:
        return []
    # Twice as large, the last pixel of a side tells a right edge (odd) from a left one (even).
    large = mask.bits.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    parts, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    corners = [(part.reshape(-1, 2) + 1) // 2 + np.array([mask.x, mask.y]) for part in parts]
    return sorted(corners, key=lambda part: -len(part))


def joined_parts(parts: list[Points]) -> Points:
    """Return one polygon of several: out to each part and back, along the same line."""
    if not parts:
        return np.zeros((0, 2), np.int64)
    starts = [part[:1] for part in parts]
    out = [piece for part, start in zip(parts, starts, strict=True) for piece in (part, start)]
    back = starts[-2:0:-1]
    return np.concatenate([*out[:-1], *back] if len(parts) == 1 else [*out, *back])
