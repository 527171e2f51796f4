"""Results in the shapes of other libraries, which are imported only when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from yolotrt.arrays import Bits
from yolotrt.errors import MissingDependency, UsageError
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.rle import coco_rle

if TYPE_CHECKING:
    from types import ModuleType

Record = dict[str, Any]


def masks_array(found: Detections, frame_wh: tuple[int, int]) -> Bits:
    """Return the masks as (n, h, w) booleans of the whole frame: 8 MB for each object of a 4K frame.

    Raises:
        UsageError: Masks were not asked for.
    """
    width, height = frame_wh
    if found.masks is None:
        raise UsageError(
            "There are no masks.", hint="Let the pipeline draw them: DecodeSettings(masks=True)."
        )
    array = np.zeros((len(found), height, width), np.bool_)
    for whole, mask in zip(array, found.masks, strict=True):
        rows, columns = mask.bits.shape
        whole[mask.y : mask.y + rows, mask.x : mask.x + columns] = mask.bits
    return array


def coco_objects(
    found: Detections, frame_wh: tuple[int, int], categories: Sequence[int | str | None], names: Sequence[str]
) -> list[tuple[Record, float]]:
    """Return each object as COCO's results format has it, without its image, and its area, px.

    Args:
        found: Detections in px of the frame.
        frame_wh: Width and height of the frame, px.
        categories: Category id by class index.
        names: Class names by index.
    """
    records = []
    for i in range(len(found)):
        left, top, right, bottom = (float(v) for v in found.boxes[i])
        index = int(found.classes[i])
        record: Record = {
            "category_id": categories[index],
            "category": names[index],
            "bbox": [round(v, 2) for v in (left, top, right - left, bottom - top)],
            "score": round(float(found.scores[i]), 5),
        }
        area = (right - left) * (bottom - top)
        if found.masks is not None:
            mask = found.masks[i]
            rle = coco_rle(mask, frame_wh)
            record["segmentation"] = {"size": rle["size"], "counts": rle["counts"].decode()}
            area = mask.area
        records.append((record, round(float(area), 2)))
    return records


def to_supervision(found: Detections, frame_wh: tuple[int, int], names: Sequence[str]) -> Any:
    """Return ``supervision.Detections``; see :func:`masks_array` for the memory of masks.

    Raises:
        MissingDependency: supervision is not installed.
    """
    supervision = _module("supervision")
    return supervision.Detections(
        xyxy=found.boxes.astype(np.float32),
        mask=None if found.masks is None or not len(found) else masks_array(found, frame_wh),
        confidence=found.scores,
        class_id=found.classes,
        data={"class_name": np.array([names[int(c)] for c in found.classes], dtype=str)},
    )


def to_dataframe(found: Detections, names: Sequence[str]) -> Any:
    """Return a ``pandas.DataFrame``: name, class, score, x1, y1, x2, y2 and, with masks, area, px.

    Raises:
        MissingDependency: pandas is not installed.
    """
    columns: dict[str, Any] = {
        "name": [names[int(c)] for c in found.classes],
        "class": found.classes,
        "score": found.scores,
        **{name: found.boxes[:, k] for k, name in enumerate(("x1", "y1", "x2", "y2"))},
    }
    if found.masks is not None:
        columns["area"] = [mask.area for mask in found.masks]
    return _module("pandas").DataFrame(columns)


def _module(name: str) -> ModuleType:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as exc:
        raise MissingDependency(f"{name} is not installed ({exc}).", hint=f"pip install {name}") from exc
