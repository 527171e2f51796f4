"""Which annotated objects can be measured: the same judgement for every format."""

from __future__ import annotations

from dataclasses import dataclass

from yolotrt.data.formats.annotated import XYWH, Annotation, Tally
from yolotrt.data.formats.shapes import ODD, Shape
from yolotrt.data.formats.values import as_measure

ANNOTATIONS = "annotations"
"""What objects are called where they are counted."""


@dataclass(frozen=True)
class Draft:
    """An object as the annotations have it.

    Attributes:
        key: What identifies it in messages.
        category_id: Its category.
        shape: Its segmentation.
        box: Left, top, width and height in px, or whatever is in their place.
        area: Area of its mask in px, or whatever is in its place.
        crowd: Whether it is a region of many objects.
    """

    key: object
    category_id: int
    shape: Shape
    box: object
    area: object = None
    crowd: bool = False


def checked(draft: Draft, image_wh: tuple[int, int], tally: Tally) -> Annotation | None:
    """Return an object that can be found, or None; and count what is wrong with it.

    A box that nothing can match is replaced by the one around the mask. Objects without a mask are kept,
    since their boxes can be measured.

    Args:
        draft: What the annotations say.
        image_wh: Width and height of the image, px.
        tally: Counts.
    """
    key, shape = draft.key, draft.shape
    box, problem = _box(draft.box)
    if box is None and shape.extent is None:
        if draft.box is None and shape.problems:
            problem = shape.problems[0]
        tally.add(ANNOTATIONS, f"left out: {problem}", key)
        return None
    if box is None or shape.extent is None:
        box = box or shape.extent
        assert box is not None
    elif _overlap(box, shape.extent) < 0.1:
        tally.add(ANNOTATIONS, "have a box that is far from their segmentation, and count", key)
    if _shared(box, (0, 0, *image_wh)) <= 0:
        tally.add(ANNOTATIONS, "left out: boxes outside of their image", key)
        return None
    if problem:
        tally.add(ANNOTATIONS, f"get their box from their segmentation: {problem}", key)
    elif _reaches_out(box, image_wh):
        tally.add(ANNOTATIONS, "have boxes that reach out of their image, and count", key)
    _say_shape(shape, key, tally)
    area = _area(draft.area, shape, box)
    return Annotation(draft.category_id, box, area, draft.crowd, shape.mask)


def _say_shape(shape: Shape, key: object, tally: Tally) -> None:
    if not shape.problems and shape.mask is None:
        tally.add(ANNOTATIONS, "have no segmentation: their masks are not measured", key)
    for problem in shape.problems:
        if problem == ODD:
            tally.add(ANNOTATIONS, f"have {problem}: the last one does not count", key)
        elif shape.mask is None:
            tally.add(ANNOTATIONS, f"have {problem}: their masks are not measured", key)
        else:
            tally.add(ANNOTATIONS, f"have {problem}, which is left out of their mask", key)


def _box(value: object) -> tuple[XYWH | None, str]:
    """Return a box, or None and what is wrong with it."""
    if value is None or value == []:
        return None, "no box"
    numbers = [as_measure(v) for v in value] if isinstance(value, list) and len(value) == 4 else [None]
    if any(number is None for number in numbers):
        return None, "a box that is not four finite numbers"
    x, y, wide, high = (number or 0.0 for number in numbers)
    if wide < 0 or high < 0:
        return None, "a box of negative size"
    if wide == 0 or high == 0:
        return None, "a box without area"
    return (x, y, wide, high), ""


def _overlap(one: XYWH, other: XYWH) -> float:
    """Return the overlap of two boxes, intersection over union."""
    shared = _shared(one, other)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def _shared(one: XYWH, other: XYWH) -> float:
    """Return the area that two boxes share, px."""
    wide = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    high = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    return max(wide, 0.0) * max(high, 0.0)


def _reaches_out(box: XYWH, image_wh: tuple[int, int]) -> bool:
    """Whether a box leaves its image by more than rounding."""
    slack = max(2.0, 0.02 * max(image_wh))
    x, y, wide, high = box
    return min(x, y) < -slack or x + wide > image_wh[0] + slack or y + high > image_wh[1] + slack


def _area(value: object, shape: Shape, box: XYWH) -> float:
    from pycocotools import mask

    area = as_measure(value)
    if area is not None and area >= 0:
        return area
    return float(mask.area(shape.mask)) if shape.mask is not None else box[2] * box[3]
