"""Which images to take: seeded, balanced over classes and object sizes, the same on every machine.

Images are put in one order, and a subset is the beginning of it; so 1,000 images contain the 500 of the
same seed. The next image is always one for the (class, size) pair that the images before it show least
often, among the pairs that can still be had; sizes are COCO's small, medium and large. Images without
any object count as one more such pair, so that a few of them are among the chosen ones.

The seed only breaks ties: which image shows a pair, and which of two equal pairs comes first, is decided
by the SHA-256 of seed and id. There is no random generator, floating point or set order in it, so neither
the machine nor the versions of Python and NumPy can change the list.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Sequence
from typing import Literal

from yolotrt.data.coco.instances import CocoImage, Instances
from yolotrt.errors import UsageError

Split = Literal["all", "calib", "eval"]
Pair = tuple[int, str]

_NO_OBJECT: Pair = (-1, "none")


def category_ids(instances: Instances, classes: Sequence[str]) -> tuple[int, ...]:
    """Return the category ids of class names (in any case), ascending and without repeats.

    Raises:
        UsageError: A class does not exist; close names are suggested.
    """
    by_name = {name.lower(): key for key, name in instances.categories.items()}
    ids = set()
    for name in classes:
        if name.lower() not in by_name:
            close = difflib.get_close_matches(name.lower(), sorted(by_name), n=3, cutoff=0.6)
            known = ", ".join(instances.categories.values())
            hint = f"Did you mean {' or '.join(close)}?" if close else f"The classes are: {known}."
            raise UsageError(f"There is no class {name!r} in this dataset.", hint=hint)
        ids.add(by_name[name.lower()])
    return tuple(sorted(ids))


def available(instances: Instances, classes: Sequence[str] = ()) -> int:
    """Return how many images :func:`choose` can choose from.

    Raises:
        UsageError: A class does not exist.
    """
    wanted = category_ids(instances, classes)
    return sum(bool(_pairs(image, wanted)) for image in instances.images)


def choose(instances: Instances, count: int, seed: int, classes: Sequence[str] = ()) -> tuple[CocoImage, ...]:
    """Return ``count`` images in the order in which they are chosen.

    Args:
        instances: The dataset.
        count: How many images.
        seed: Any whole number; other numbers give other images.
        classes: Only images that show one of these, balanced over these; empty for all images and classes.

    Raises:
        UsageError: A class does not exist, or there are fewer images.
    """
    wanted = category_ids(instances, classes)
    pairs = {image.id: _pairs(image, wanted) for image in instances.images}
    images = {image.id: image for image in instances.images if pairs[image.id]}
    if count > len(images):
        such = f"images with {', '.join(classes)}" if classes else "images"
        raise UsageError(
            f"There are {len(images):,} {such}, fewer than the {count:,} asked for.",
            hint=f"Ask for at most --images {len(images)}." if images else "Choose other classes.",
        )
    waiting: dict[Pair, list[int]] = {}
    for key in sorted(images, key=lambda key: _rank(seed, "image", key), reverse=True):
        for pair in pairs[key]:
            waiting.setdefault(pair, []).append(key)
    shown = dict.fromkeys(sorted(waiting, key=lambda pair: _rank(seed, "pair", pair)), 0)
    chosen: dict[int, CocoImage] = {}
    while len(chosen) < count:
        scarcest = min(shown, key=shown.__getitem__)
        while waiting[scarcest] and waiting[scarcest][-1] in chosen:
            waiting[scarcest].pop()
        if not waiting[scarcest]:
            del shown[scarcest]
            continue
        key = waiting[scarcest].pop()
        chosen[key] = images[key]
        for pair in pairs[key]:
            if pair in shown:
                shown[pair] += 1
    return tuple(chosen.values())


def split(chosen: Sequence[CocoImage], calib: int) -> tuple[Split, ...]:
    """Return the part that each chosen image belongs to.

    With ``calib`` 0 all images are one part, ``all``. Otherwise ``calib`` of them, spread evenly over the
    order of choice, are for calibration and the others for evaluation; as that order is balanced
    everywhere, so are both parts.
    """
    n = len(chosen)
    parts: list[Split] = ["all"] * n
    for i in range(n) if calib else ():
        parts[i] = "calib" if (i + 1) * calib // n > i * calib // n else "eval"
    return tuple(parts)


def _pairs(image: CocoImage, wanted: tuple[int, ...]) -> tuple[Pair, ...]:
    if wanted:
        return tuple(pair for pair in image.objects if pair[0] in wanted)
    return image.objects or (_NO_OBJECT,)


def _rank(seed: int, kind: str, key: object) -> bytes:
    return hashlib.sha256(f"yolotrt coco subset 1|{seed}|{kind}|{key}".encode()).digest()
