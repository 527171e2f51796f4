"""Before and after in one picture: the same part of a frame twice, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from yolotrt.arrays import Frame
from yolotrt.pipeline.tiled import PassMode
from yolotrt.workflow.demo import DemoOutcome, are_found, small_objects

PART_WH = (1344, 1080)
"""Width and height of the part that is shown, px of the frame; shown at half the size."""

_GAP, _BAR = 8, 32


def before_and_after(outcome: DemoOutcome, pictures: Mapping[PassMode, Frame]) -> Frame:
    """Show where in the demo's scene tiles find most small objects that the global pass misses.

    Args:
        outcome: The demo.
        pictures: Its scene with what each pass found drawn into it.
    """
    small = small_objects(outcome.scene)
    before, after = (are_found(small, outcome.found[mode]) for mode in ("global", "tiled+global"))
    gained = [item.box for item, was, now in zip(small, before, after, strict=True) if now and not was]
    middles = np.array([(box[:2] + box[2:]) / 2 for box in gained], np.float32).reshape(-1, 2)
    height, width = outcome.scene.image.shape[:2]
    panels = [
        (f"Global pass: {before.sum()} of {len(small)} small objects", pictures["global"]),
        (f"Tiles and global pass: {after.sum()} of {len(small)}", pictures["tiled+global"]),
    ]
    return beside(panels, fullest_part(middles, (width, height)))


def fullest_part(points: npt.NDArray[np.float32], frame_wh: tuple[int, int]) -> tuple[int, int]:
    """Return the upper left corner of a part of :data:`PART_WH` that holds as many points as any other.

    Args:
        points: (n, 2) x and y, px of the frame.
        frame_wh: Width and height of the frame, px.
    """
    room = np.maximum(np.subtract(frame_wh, PART_WH), 0)
    if not len(points):
        return int(room[0] // 2), int(room[1] // 2)
    # The best part can be moved until a point touches its left side and one its upper side.
    x, y = (np.unique(np.clip(points[:, axis], 0, room[axis])) for axis in (0, 1))
    inside_x = (points[:, 0] >= x[:, None]) & (points[:, 0] < x[:, None] + PART_WH[0])
    inside_y = (points[:, 1] >= y[:, None]) & (points[:, 1] < y[:, None] + PART_WH[1])
    count = inside_x.astype(np.int64) @ inside_y.T.astype(np.int64)
    column, row = np.unravel_index(int(count.argmax()), count.shape)
    return int(x[column]), int(y[row])


def beside(panels: Sequence[tuple[str, Frame]], origin: tuple[int, int]) -> Frame:
    """Return the same part of several pictures side by side, each under its title.

    Args:
        panels: Titles and pictures, (h, w, 3) uint8 BGR.
        origin: Upper left corner of the part, px.
    """
    shown = [_panel(title, picture, origin) for title, picture in panels]
    gap = np.full((shown[0].shape[0], _GAP, 3), 255, np.uint8)
    parts = [part for panel in shown for part in (panel, gap)][:-1]
    joined: Frame = np.concatenate(parts, axis=1)
    return joined


def _panel(title: str, picture: Frame, origin: tuple[int, int]) -> Frame:
    x, y = origin
    part = picture[y : y + PART_WH[1], x : x + PART_WH[0]]
    size = (part.shape[1] // 2, part.shape[0] // 2)
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    bar = np.full((_BAR, size[0], 3), 32, np.uint8)
    cv2.putText(bar, title, (10, _BAR - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (255, 255, 255), 1, cv2.LINE_AA)
    joined: Frame = np.concatenate([bar, small.astype(np.uint8)], axis=0)
    return joined
