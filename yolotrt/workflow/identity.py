"""The ids of pictures and classes in COCO records: those of an annotations file, or our own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from yolotrt.data.coco.names import category_ids
from yolotrt.data.formats.annotated import AnnotatedImage, AnnotatedSet, plain_name
from yolotrt.data.formats.files import spellings
from yolotrt.data.formats.reader import read_annotations
from yolotrt.data.video_file import Moment
from yolotrt.errors import ArtifactError

_FRAME = re.compile(r"#\d+$")
_NUMBERED = re.compile(r"(?:COCO_\w+_)?(\d{1,18})")
"""How COCO names pictures: by their id, in the sets of 2014 behind the name of the set."""


@dataclass(frozen=True)
class RecordIds:
    """What pictures and classes are called in records.

    Attributes:
        pictures: Image ids by picture name; None numbers the frames of a video from 1.
        classes: Category id by class index; None for a class that the annotations do not know.
        categories: Class names by category id.
        sizes_wh: Width and height of pictures in px as the annotations have them, by picture name.
    """

    pictures: Mapping[str, int | str] | None
    classes: tuple[int | str | None, ...]
    categories: Mapping[int | str, str]
    sizes_wh: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def image_id(self, name: str, index: int | None) -> int | str | None:
        """Return the id of a picture or of frame ``index`` of a video; None if the annotations lack it."""
        if self.pictures is None:
            return (index or 0) + 1
        return self.pictures.get(name)


class _InOrder(Mapping[str, int]):
    """Numbers names from 1 in the order in which they are asked for: of several videos nobody knows more."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def __getitem__(self, name: str) -> int:
        return self._known.setdefault(name, len(self._known) + 1)

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


class Misfits:
    """Counts what does not go with an annotations file: what that does not know, or has in another size."""

    def __init__(self, ids: RecordIds) -> None:
        self._ids = ids
        self._seen, self._missing, self._resized = 0, 0, 0
        self._first_missing = self._first_resized = ""
        self._classes: Counter[int] = Counter()

    def see(
        self, name: str, moment: Moment | None, frame_wh: tuple[int, int], classes: Iterable[int]
    ) -> None:
        """Count a picture or frame with the classes of its objects."""
        ids = self._ids
        self._seen += 1
        if ids.image_id(name, None if moment is None else moment.index) is None:
            self._missing += 1
            self._first_missing = self._first_missing or name
        elif ids.sizes_wh.get(name, frame_wh) != frame_wh:
            self._resized += 1
            size = "{}x{} px, there {}x{} px".format(*frame_wh, *ids.sizes_wh[name])
            self._first_resized = self._first_resized or f"{name}: {size}"
        self._classes.update(c for c in map(int, classes) if ids.classes[c] is None)

    def remarks(self, annotations: Path, names: Sequence[str]) -> list[str]:
        """Return what to tell the user about it."""
        said = []
        if self._missing:
            said.append(
                f"{self._missing} of {self._seen} pictures are not in {annotations} (the first is "
                f"{self._first_missing}): --json and --coco leave them out"
            )
        if self._resized:
            said.append(
                f"{self._resized} of {self._seen} pictures are turned or of another size than in "
                f"{annotations} ({self._first_resized}): their boxes and masks are those of the pictures as "
                "they are, upright, and do not fit these annotations"
            )
        if self._classes:
            counts = ", ".join(f"{n} {names[c]}" for c, n in self._classes.most_common())
            said.append(f"{annotations} does not know: {counts}: --json and --coco leave them out")
        return said


def own_ids(names: Sequence[str], pictures: Sequence[str] | None, *, several: bool = False) -> RecordIds:
    """Return ids for those who have no annotations.

    Image ids are the numbers in the file names if all pictures are named by distinct numbers, as COCO's are,
    and else count from 1. Category ids are COCO's if all classes are classes of COCO, and else count from 1
    in the model's order.

    Args:
        names: Class names of the model, by index.
        pictures: Their names, in order; None for a video.
        several: Other videos or pictures come with the video, so its frames cannot be numbered alone.
    """
    classes = category_ids(names)
    categories: dict[int | str, str] = {}
    for key, name in zip(classes, names, strict=True):
        categories.setdefault(key, name)
    numbers = _numbered(pictures) if pictures is not None else _InOrder() if several else None
    return RecordIds(numbers, tuple(classes), categories)


def ids_of(annotations: Path, names: Sequence[str], pictures: Sequence[str] | None) -> RecordIds:
    """Return the ids of an annotations file: classes match by name, pictures by file name.

    Args:
        annotations: A COCO instances file.
        names: Class names of the model, by index.
        pictures: Their names, in order; None for a video, whose frames are called ``NAME#INDEX``.

    Raises:
        InputError: The file cannot be read.
        ArtifactError: It is no COCO instances file, knows none of the classes or pictures, or one picture of
            it may be several of ours.
    """
    instances = read_annotations(annotations)
    chosen = _categories_of(names, instances)
    if all(key is None for key in chosen):
        raise ArtifactError(
            f"{annotations} has none of the model's {len(names)} classes ({', '.join(names[:3])}, ...).",
            hint="Give annotations of the classes that the model was trained on; they match by name.",
        )
    if pictures is None:
        found = {i.name: i for i in instances.images if _FRAME.search(i.name)}
        if not found:
            raise ArtifactError(
                f"{annotations} has no frames of videos: theirs would be called NAME#0, NAME#1 and so on.",
                hint="Give a file that yolotrt predict --coco wrote, or leave --annotations out.",
            )
    else:
        found = _matched(pictures, instances.images, annotations)
        if not found:
            raise ArtifactError(
                f"{annotations} has none of the {len(pictures)} pictures (the first is {pictures[0]}).",
                hint="Give the annotations of these pictures, or leave --annotations out.",
            )
    given = instances.given_ids
    classes = tuple(None if key is None else given.get(key, key) for key in chosen)
    return RecordIds(
        {name: _own_id(image) for name, image in found.items()},
        classes,
        {given.get(key, key): name for key, name in instances.categories.items()},
        {name: image.size_wh for name, image in found.items()},
    )


def _categories_of(names: Sequence[str], instances: AnnotatedSet) -> list[int | None]:
    """Return the category of each class: of several of one name that which has objects.

    Names that differ in case, or in how words are parted, are one, except where the model itself has a class
    for each, as in :func:`yolotrt.evaluation.classes.map_classes`.
    """
    counts = Counter(one.category_id for found in instances.objects.values() for one in found)
    alike: dict[str, list[int]] = {}
    for key, name in instances.categories.items():
        alike.setdefault(plain_name(name), []).append(key)
    classes = Counter(map(plain_name, names))
    chosen = []
    for name in names:
        plain = plain_name(name)
        literal = {key for key in alike.get(plain, ()) if instances.categories[key] == name}
        fitting = literal if classes[plain] > 1 else alike.get(plain, ())
        chosen.append(max(fitting, key=lambda key: (counts[key], key in literal, -key), default=None))
    return chosen


def _numbered(pictures: Sequence[str]) -> dict[str, int]:
    numbers = [_NUMBERED.fullmatch(name.rpartition("/")[2].rpartition(".")[0]) for name in pictures]
    ids = [int(found[1]) for found in numbers if found]
    if len(set(ids)) < len(pictures):
        ids = list(range(1, len(pictures) + 1))
    return dict(zip(pictures, ids, strict=True))


def _own_id(image: AnnotatedImage) -> int | str:
    """Return an image's id as the annotations write it, for those who read both files."""
    return image.id if image.given_id is None else image.given_id


def _matched(
    pictures: Sequence[str], images: Sequence[AnnotatedImage], path: Path
) -> dict[str, AnnotatedImage]:
    """Match by as much of the paths as both have: either may name folders that the other leaves out."""
    by_base: dict[str, list[tuple[tuple[str, ...], AnnotatedImage]]] = {}
    for image in images:
        for parts in dict.fromkeys(map(_parts, spellings(image.name))):
            by_base.setdefault(parts[-1], []).append((parts, image))
    found: dict[str, AnnotatedImage] = {}
    taken: dict[int, str] = {}
    for name in pictures:
        parts = _parts(name)
        named = by_base.get(parts[-1], ())
        exact = [image for p, image in named if p == parts]
        fitting = {i.id: i for i in exact or (image for p, image in named if _agree(p, parts))}
        if len(fitting) > 1:
            raise ArtifactError(
                f"{path} has {len(fitting)} pictures that {name} may be.",
                hint="Name the folder that the file names of the annotations begin in.",
            )
        for key, image in fitting.items():
            if key in taken:
                raise ArtifactError(
                    f"{taken[key]} and {name} may both be image {_own_id(image)} of {path}.",
                    hint="Name the folder that the annotations belong to.",
                )
            found[name], taken[key] = image, name
    return found


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", ".")) or (name,)


def _agree(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    both = min(len(one), len(other))
    return one[-both:] == other[-both:]
