"""The 80 classes of COCO with their category ids, which have gaps: 91 were planned.

Source: https://cocodataset.org/#format-results and ``instances_val2017.json``.
"""

from __future__ import annotations

from collections.abc import Sequence

from yolotrt.data.formats.annotated import plain_name

_GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)

_NAMES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee",
    "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple",
    "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch",
    "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard",
    "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors",
    "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip

_OLDER = {
    "motorbike": "motorcycle", "aeroplane": "airplane", "sofa": "couch", "pottedplant": "potted plant",
    "diningtable": "dining table", "tvmonitor": "tv",
}  # fmt: skip
"""Names of the same classes in lists that began with Pascal VOC's, as darknet's ``coco.names``."""

COCO_CATEGORIES: dict[int, str] = dict(zip((i for i in range(1, 91) if i not in _GAPS), _NAMES, strict=True))
"""Class names by category id."""

_IDS = {name: key for key, name in COCO_CATEGORIES.items()}


def coco_category(name: str) -> int | None:
    """Return the category id of a class of COCO, or None for another class."""
    plain = plain_name(name)
    return _IDS.get(_OLDER.get(plain.replace(" ", ""), plain))


def category_ids(names: Sequence[str]) -> list[int]:
    """Return category ids by class index: COCO's if all classes are classes of COCO, else 1, 2, ..."""
    known = [key for key in map(coco_category, names) if key is not None]
    return known if len(known) == len(names) else list(range(1, len(names) + 1))
